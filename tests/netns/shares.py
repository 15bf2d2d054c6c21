"""Programs on two devices that know nothing of links: what one of them says to its own node reaches the other one through its own."""
import contextlib
import queue
import signal
import subprocess
import threading
import time

from devices import Device, finished, pair, shows
from processes import Process, until

PORT = 7330
EVERY = 0.01  # a sensor at 100 Hz


def client(host, *command, **options):
    return Process(host, "clasp-node", *command, "--router", f"ws://127.0.0.1:{PORT}", **options)


def stream(sensor, display, count, disturb=lambda: None):
    """Publishes numbers, one every 10 ms; returns how long each took to arrive, in their order. None is lost or doubled."""
    sent = []
    for number in range(count):
        if number == count // 3:
            threading.Thread(target=disturb, daemon=True).start()
        sent.append(time.monotonic())
        sensor.child.stdin.write(f"{number}\n".encode())
        sensor.child.stdin.flush()
        time.sleep(max(0, sent[0] + (number + 1) * EVERY - time.monotonic()))  # the sensor's own clock
    got = []

    def all_arrived():
        with contextlib.suppress(queue.Empty):
            while True:
                got.append(display.lines.get_nowait())
        return len(got) >= count
    until(f"all {count} arrive", all_arrived, 20)
    assert [text.split("\t")[1] for _, text in got] == [str(number) for number in range(count)], got[-3:]
    return [came - went for (came, _), went in zip(got, sent)]


def shared_addresses(network):
    """Events at 100 Hz between the clients of two paired devices: quick, and complete and in order though one device moves to another
    subnet meanwhile and its node stays; who comes late gets the parameters; two writers in an outage agree."""
    share = ["--share", "/sensors/**"]
    kitchen, garden = Device("a", "kitchen", PORT, share), Device("b", "garden", PORT, share)
    pair(kitchen, garden, "kitchen", lambda: until("the other device knows", lambda: shows("b", "kitchen"), 5))

    display = client("b", "sub", "/sensors/door")
    until("the wish has travelled", lambda: kitchen.status()["shares"]["links"][:1] and kitchen.status()["shares"]["links"][0]["asked"], 10)
    sensor = client("a", "pub", "/sensors/door", "-", stdin=subprocess.PIPE)
    calm = sorted(stream(sensor, display, 600))
    p50, p99 = calm[len(calm) // 2] * 1e3, calm[len(calm) * 99 // 100] * 1e3
    assert p99 < 20, f"p99 {p99:.1f} ms"
    longest = max(stream(sensor, display, 600, lambda: network.move("a", 1, 3)))
    assert longest < 5, f"interrupted for {longest:.2f} s"
    network.move("a", 3, 1)

    finished(client("a", "set", "/sensors/temp", "21.5"))
    late = client("b", "sub", "/sensors/temp", "-c", "1")
    until("who comes late gets what is there", lambda: not late.lines.empty(), 20)
    assert late.lines.get()[1] == "/sensors/temp\t21.5"

    listeners = [client(host, "sub", "/sensors/*") for host in ("a", "b")]
    network.leave("a", 1)
    for value in (1, 2, 3):
        finished(client("a", "set", "/sensors/temp", str(value)))
    finished(client("b", "set", "/sensors/temp", "9"))
    network.join("a", 1)
    both = lambda: {tuple(finished(client(host, "get", "/sensors/temp"))) for host in ("a", "b")}
    until("both have the value that was written more often", lambda: both() == {("3",)}, 40)
    for process in (display, late, *listeners):
        process.child.poll() is None and process.kill(signal.SIGINT)
    for device in (kitchen, garden):
        assert device.node.kill(signal.SIGTERM) == 0, device.node.log[-5:]
    return f"100 Hz p50 {p50:.2f} ms, p99 {p99:.2f} ms; nothing lost when the device moved, longest wait {longest:.2f} s; writers agree"
