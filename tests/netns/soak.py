"""A long run: values shared at a thousand a second over a link that loses datagrams."""
import contextlib
import os
import queue
import signal
import subprocess
import threading
import time

from devices import Device, pair, shows
from networks import PREFIX
from processes import until
from programs import figure
from shares import PORT, client

MINUTES = float(os.environ.get("MINUTES", "30"))
LOSS = int(os.environ.get("LOSS", "1"))  # datagrams of a hundred
# With a filter (`LOG=clasp_node=debug,sctp_proto=debug`), what both nodes logged around each gap of a second is printed.
LOG = os.environ.get("LOG")
LINES = 300
PER_SECOND = 1000
# What may wait on a link when it stands still for longest: shared messages, those the other node has not confirmed, those SCTP repeats, and
# as much again for what keeps them in order.
MAY_WAIT_KIB = 2 * (512 + 512 + 128)
LOSSY = f"table ip lossy {{ chain through {{ type filter hook forward priority 0; meta l4proto udp numgen random mod 100 < {LOSS} drop; }}; }}"


def shares_soak(network):
    """Nothing is lost, doubled or out of order; memory grows by no more than what may wait. MINUTES says how long."""
    options = ["--share", "/sensors/**", "--rate", "0", *(["--log", LOG] if LOG else [])]
    kitchen, garden = Device("a", "kitchen", PORT, options), Device("b", "garden", PORT, options)
    pair(kitchen, garden, "kitchen", lambda: until("the other device knows", lambda: shows("b", "kitchen"), 5))
    for host in "ab":
        # Datagrams that are sent together would come to the hub as one, and be lost together.
        network.on(host, "ip link set eth0 gso_max_segs 1")
    subprocess.run(["ip", "netns", "exec", f"{PREFIX}hub", "nft", "-f", "-"], input=LOSSY, text=True, check=True)
    display = client("b", "sub", "/sensors/load")
    until("the wish has travelled", lambda: any(link["asked"] for link in kitchen.status()["shares"]["links"]), 20)
    sensor = client("a", "pub", "/sensors/load", "-", stdin=subprocess.PIPE)
    count = int(MINUTES * 60 * PER_SECOND)
    begun = time.monotonic()

    def play():
        for number in range(count):
            sensor.child.stdin.write(f'"{number} {time.monotonic():.6f} {"x" * 64}"\n'.encode())
            if number % 10 == 9:
                sensor.child.stdin.flush()
                time.sleep(max(0, begun + (number + 1) / PER_SECOND - time.monotonic()))  # the sensor's own clock
        sensor.child.stdin.close()
    threading.Thread(target=play, daemon=True).start()

    ages, memory, got, longest, last = [], [], 0, 0.0, None
    next_look = begun + 60
    while got < count:
        try:
            came, line = display.lines.get(timeout=20)
        except queue.Empty:
            raise AssertionError(f"nothing came for 20 s, after {got} of {count}; {kitchen.status()['shares']}") from None
        number, sent = line.split("\t")[1].split(" ")[:2]
        assert int(number) == got, f"{number} came, {got} was next"
        got += 1
        if got % 10 == 0:
            ages.append(came - float(sent))
        gap, last = came - last if last else 0.0, came
        longest = max(longest, gap)
        if gap > 1:
            print(f"        gap of {gap:.2f} s before {number}", flush=True)
            for device in (kitchen, garden) if LOG else ():
                print(f"        {device.name}:", *device.node.log[-LINES:], sep="\n", flush=True)
        if time.monotonic() > next_look:
            memory.append([figure(device.node.child.pid, "VmRSS") for device in (kitchen, garden)])
            next_look += 60
            print(f"        {len(memory)} min: {got} messages, RSS {memory[-1]} KiB, longest gap {longest:.2f} s", flush=True)
    took = time.monotonic() - begun
    ages.sort()
    p50, p99 = ages[len(ages) // 2] * 1e3, ages[len(ages) * 99 // 100] * 1e3
    status = kitchen.status()
    assert status["shares"]["dropped"] == 0, status["shares"]
    if len(memory) > 2:
        grown = [end - start for start, end in zip(memory[0], memory[-1])]
        assert max(grown) < MAY_WAIT_KIB, f"memory grew by {grown} KiB"
    with contextlib.suppress(ProcessLookupError):
        display.kill(signal.SIGINT)
    for device in (kitchen, garden):
        assert device.node.kill(signal.SIGTERM) == 0, device.node.log[-5:]
    checks = status["links"][0]["checks"]
    return f"{count} messages in {took:.0f} s with {LOSS} % loss each way, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest gap {longest:.2f} s; " \
        f"RSS {memory[:1]} to {memory[-1:]} KiB; checks lost {checks['recent_lost']} of {checks['recent']}"
