"""Two devices out of the box, and their neighbour: found, paired, and from then on linked by themselves."""
import glob
import hashlib
import json
import os
import random
import signal
import time

from devices import pair
from processes import FOLDER, Process, until


class Device:
    """A node that runs on a host with nothing but a name. Its state outlives it."""

    def __init__(self, host):
        self.host = host
        self.socket = os.path.join(FOLDER.name, f"{host}.sock")
        self.start()

    def start(self, env=None):
        options = ["--name", self.host, "--trust", "paired", "--json", "--control", self.socket]
        self.node = Process(self.host, "clasp-node", "--log", "info,clasp_node=debug", "run", *options, env=env)
        self.node.event("router_ready", 5)

    def stop(self, number):
        self.node.kill(number)

    def ask(self, *command):
        return Process(self.host, "clasp-node", *command, "--control", self.socket)

    def answer(self, *command):
        process = self.ask(*command, "--json")
        assert process.child.wait(20) == 0, process.log[-3:]
        until("its output is read", lambda: not process.lines.empty(), 5)
        return json.loads(process.lines.get_nowait()[1])

    def discovers(self, seconds):
        return {device["name"]: device for device in self.answer("discover", "--wait", str(seconds))["devices"]}

    def links(self):
        return [link for link in self.answer("status")["links"] if link["state"] == "open"]

    def complains(self):
        """What `doctor` finds wrong: the beginning of it, by its layer."""
        checks = self.answer("doctor")["checks"]
        return {check["layer"]: check["what"].split(":")[0] for check in checks if check["verdict"] != "ok"}


def linked(*devices):
    return all(len(device.links()) == 1 for device in devices)


def transfer(receives, sends, called):
    """100 MB from one device to another, both by the nodes that run on them; returns the rate in MB/s."""
    data = random.Random(9).randbytes(100_000_000)
    source, target = (os.path.join(FOLDER.name, name) for name in ("source", "target"))
    with open(source, "wb") as file:
        file.write(data)
    receiver = receives.ask("recv", "-o", target)
    until("somebody receives", lambda: any("waiting" in line or "receiv" in line for line in receiver.log), 5)
    begun = time.monotonic()
    sender = sends.ask("send", called, source)
    assert sender.child.wait(60) == 0, sender.log[-3:]
    took = time.monotonic() - begun
    assert receiver.child.wait(10) == 0, receiver.log[-3:]
    with open(target, "rb") as file:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest(), "other bytes arrived"
    # Standard error is no terminal here: there is no bar.
    assert not any("\r" in line or "%" in line for line in sender.log + receiver.log), sender.log
    return len(data) / 1e6 / took


def clocks_that_lie(kitchen, garden):
    """Boards without a battery wake up in 1970, and time jumps when they are told what it is. Nothing here depends on it."""
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    clocks = {device: os.path.join(FOLDER.name, f"{device.host}.clock") for device in (kitchen, garden)}

    def set_clock(device, at):
        with open(clocks[device], "w") as file:
            file.write(at)

    for device in (kitchen, garden):
        device.stop(signal.SIGTERM)
        set_clock(device, "@1970-01-01 00:00:10")
        preload = {"LD_PRELOAD": library[0], "FAKETIME_TIMESTAMP_FILE": clocks[device], "FAKETIME_NO_CACHE": "1"}
        device.start({**preload, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    until("linked in 1970", lambda: linked(kitchen, garden), 10)
    for device in (kitchen, garden):
        logged = device.answer("logs")
        assert logged["unix_ms"] < 365 * 86_400_000, f"it is not 1970 for the {device.host}: {logged}"
    forgotten = kitchen.ask("forget", "garden"), garden.ask("forget", "kitchen")
    assert all(process.child.wait(5) == 0 for process in forgotten)
    pair(kitchen, garden, "kitchen")
    for at in ("+10y", "-10y", "+0"):
        set_clock(kitchen, at)
        ping = garden.ask("ping", "kitchen", "-c", "2", "-i", "0.1")
        assert ping.child.wait(10) == 0, (at, ping.log)
    garden.stop(signal.SIGKILL)
    garden.start()
    until("linked with clocks that differ", lambda: linked(kitchen, garden), 10)


def neighbours(network):
    """Nobody tells the devices of a router or of each other. They are found < 3 s, paired < 5 s, and linked by themselves after
    restarts of either, both, and a change of all addresses, whatever their clocks say; by broadcast where multicast is blocked, and by a typed address where that
    is, too; never with the neighbour."""
    begun = time.monotonic()
    kitchen, garden, neighbour = (Device(host) for host in ("kitchen", "garden", "neighbour"))
    for device, others, wait in ((kitchen, {"garden", "neighbour"}, 1.5), (garden, {"kitchen", "neighbour"}, 0.5)):
        found = device.discovers(wait)
        assert set(found) == others, found
        assert all(not f["paired"] and f["sources"] for f in found.values()), found
    found_after = time.monotonic() - begun
    assert found_after < 3, f"found after {found_after:.2f} s"
    assert set(found["kitchen"]["sources"]) == {"mdns", "broadcast"}, found["kitchen"]
    assert found["kitchen"]["routers"][0] == f"ws://{network.address('kitchen')}:7330", found["kitchen"]

    took = pair(kitchen, garden, "kitchen")
    until("one link", lambda: linked(kitchen, garden), 5)
    ping = garden.ask("ping", "kitchen", "-c", "3", "-i", "0.1")
    assert ping.child.wait(10) == 0, ping.log
    for device in (kitchen, garden):
        status = device.answer("status")
        strangers = {end["peer"] for end in status["ended"]} & {link["peer"] for link in status["links"]}
        assert not strangers, f"linked, and told of as not connected: {status}"
    by_link = lambda device: any("[fe80::" in router["url"] and router["state"] == "ready" for router in device.answer("status")["routers"])
    until("a router at an address of the link", lambda: by_link(kitchen) or by_link(garden), 10)
    for device in (kitchen, garden):
        assert device.answer("doctor")["ok"]
    rate = transfer(kitchen, garden, "kitchen")
    assert linked(kitchen, garden), "the link is there for its own sake"

    clocks_that_lie(kitchen, garden)
    for restarted in ([kitchen], [garden], [kitchen, garden]):
        for device in restarted:
            device.stop(signal.SIGKILL)
        for device in restarted:
            device.start()
        until(f"linked after {[d.host for d in restarted]} restarted", lambda: linked(kitchen, garden), 15)
    for device in (kitchen, garden):
        device.stop(signal.SIGKILL)
    network.renumber(1)
    for device in (kitchen, garden):
        device.start()
    until("linked at other addresses", lambda: linked(kitchen, garden), 10)
    moved = time.monotonic()
    network.renumber(2)
    here = (f"{network.address('kitchen')}:", f"{network.address('garden')}:", "[fe80::")
    moved_over = lambda device: all(link["path"]["local"].startswith(here) for link in device.links())
    until("linked after a change of all addresses", lambda: linked(kitchen, garden) and moved_over(kitchen) and moved_over(garden), 20)
    healed = time.monotonic() - moved

    # Goodbye is said, and heard.
    kitchen.stop(signal.SIGTERM)
    until("the kitchen is missed", lambda: "mdns" not in garden.discovers(0.1)["kitchen"]["sources"], 5)
    garden.stop(signal.SIGTERM)

    network.allow(multicast=False)
    for device in (kitchen, garden):
        device.start()
    until("linked without multicast", lambda: linked(kitchen, garden), 10)
    assert garden.discovers(2)["kitchen"]["sources"][0] == "broadcast"
    assert garden.complains() == {"multicast": "multicast blocked"}

    network.allow(broadcast=False)
    assert garden.complains() == {"broadcast": "broadcast blocked"}
    network.allow(multicast=False, broadcast=False)
    for device in (kitchen, garden):
        forgotten = device.ask("forget", {"kitchen": "garden", "garden": "kitchen"}[device.host])
        assert forgotten.child.wait(5) == 0, forgotten.log
        device.stop(signal.SIGTERM)
        device.start()
    assert "kitchen" not in garden.discovers(1)
    pair(kitchen, garden, network.address("kitchen"))
    until("linked by a typed address", lambda: linked(kitchen, garden), 5)
    network.allow()

    assert neighbour.links() == [] and not neighbour.answer("status")["ended"]
    for device in (kitchen, garden, neighbour):
        assert device.node.kill(signal.SIGTERM) == 0, device.node.log[-5:]
    return f"found by each other within {found_after:.1f} s of their start, paired in {took:.2f} s, 100 MB at {rate:.0f} MB/s, healed {healed:.1f} s after a change of all addresses"
