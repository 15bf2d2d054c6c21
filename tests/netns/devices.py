"""Two devices of a network, a code that a person carries from one to the other, and everybody else."""
import json
import os
import signal
import time

from processes import FOLDER, ROUTER, Process, until


class Device:
    """A node that runs on a host, and takes offers of paired devices only."""

    def __init__(self, host, name, port=0, options=()):
        self.host, self.name, self.port, self.options = host, name, port, options
        self.socket = os.path.join(FOLDER.name, f"{name}.sock")
        options = [*options, "--name", name, "--json", "--bind", f"127.0.0.1:{port}", "--trust", "paired", "--control", self.socket]
        self.node = Process(host, "clasp-node", "run", *options, "--router", ROUTER)
        # Its own router first, then the one it shares with the others.
        ready, _ = self.node.event("router_ready", 5)
        self.node.event("router_ready", 5, after=ready)

    def ask(self, *command):
        return Process(self.host, "clasp-node", *command, "--control", self.socket)

    def pairs(self):
        lines = finished(self.ask("pairs", "--json"))
        return [pair["name"] for pair in json.loads(lines[0])]

    def restart(self, number):
        self.node.kill(number)
        self.__init__(self.host, self.name, self.port, self.options)

    def status(self):
        return json.loads(finished(self.ask("status", "--json"))[0])


def finished(process, status=0):
    """What a command printed, when it has ended with this status."""
    assert process.child.wait(20) == status, process.log[-3:]
    until("its output is read", lambda: not process.lines.empty() or status, 5)
    return [process.lines.get_nowait()[1] for _ in range(process.lines.qsize())]


def shows(host, name):
    """Whether a host has heard that the device of that name shows a code."""
    peers = Process(host, "clasp-node", "peers", "--json", "--listen", "0.3", "--router", ROUTER)
    assert peers.child.wait(10) == 0, peers.log[-3:]
    found = []
    while not peers.lines.empty():
        found.append(json.loads(peers.lines.get_nowait()[1]))
    return any(peer["name"] == name and peer["pairing"] for peer in found)


def meets(host, name, trust="paired"):
    """What a command of the device on a host hears from the device called `name`: an empty text if it answers."""
    # The router announces the session that a moved device has left behind for up to a minute: it is tried as well.
    ping = Process(host, "clasp-node", "ping", name, "-c", "1", "--connect-timeout", "3", "--trust", trust, "--router", ROUTER)
    return "" if ping.child.wait(30) == 0 else ping.log[-1]


def pair(shows_it, types_it, called, before=lambda: None):
    """Pairs two devices as two people would; returns the machines' time, from when `before` is done."""
    shown = shows_it.ask("pair", "--show", "--json")
    _, event = shown.event("shown", 5)
    before()
    begun = time.monotonic()
    os.environ["CLASP_NODE_CODE"] = event["shown"]["code"]
    typed = types_it.ask("pair", called, "--json")
    del os.environ["CLASP_NODE_CODE"]
    _, here = typed.event("paired", 15)
    took = time.monotonic() - begun
    _, there = shown.event("paired", 10)
    assert here["paired"]["check"] == there["paired"]["check"], (here, there)
    assert took < 5, f"{took:.2f} s"
    assert typed.child.wait(5) == 0 and shown.child.wait(5) == 0
    return took


def paired_devices(network):
    """Paired by code in less than 5 s; the same after kill -9 and a restart of either, both, and a change of all addresses; never
    with a third device."""
    kitchen, garden = Device("a", "kitchen"), Device("b", "garden")
    assert "not paired" in meets("b", "kitchen"), "strangers met"
    knows = lambda: until("the other device knows", lambda: shows("b", "kitchen"), 5)
    took = pair(kitchen, garden, "kitchen", knows)

    restarts = [(kitchen,), (garden,), (kitchen, garden)]
    for devices in restarts:
        for restarted in devices:
            restarted.restart(signal.SIGKILL)
        assert (kitchen.pairs(), garden.pairs()) == (["garden"], ["kitchen"])
        assert meets("b", "kitchen") == "" and meets("a", "garden") == ""
    network.move("a", 1, 3)
    network.move("b", 2, 4)
    until("they meet at their new addresses", lambda: meets("b", "kitchen") == "", 20)
    network.move("a", 3, 1)
    network.move("b", 4, 2)

    for trust in ("paired", "open"):
        why = meets("hub", "kitchen", trust)
        assert "not paired" in why, f"a third device: {why!r}"
    finished(kitchen.ask("forget", "garden"))
    until("the forgotten one is a stranger", lambda: "not paired" in meets("b", "kitchen"), 20)
    for device in (kitchen, garden):
        assert device.node.kill(signal.SIGTERM) == 0, device.node.log[-5:]
    return f"paired in {took:.2f} s, the same after restarts and moves, and with nobody else"
