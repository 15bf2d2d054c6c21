"""Nodes and their commands, in a network and a file system of their own."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from programs import Program

PROGRAM = os.path.join(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release"), "clasp-node")
WATCHDOG_SECONDS = 6
# An address of this machine that is not a loopback one: who comes from there is a stranger to a router, as from another machine.
ELSEWHERE = "192.0.2.1"
FOLDER = tempfile.TemporaryDirectory(prefix="clasp-node-service-")


def device(name):
    """The environment of a device: where its state and its control socket are."""
    place = os.path.join(FOLDER.name, name)
    os.makedirs(f"{place}/run", exist_ok=True)
    return {"CLASP_NODE_STATE": f"{place}/state", "CLASP_NODE_CONTROL": f"{place}/run/control.sock"}


def node(name, *options, before=(), env=None, **more):
    """A node that runs, and has its router ready; returns it and the router's address."""
    command = (*before, PROGRAM, "run", "--json", "--name", name, "--bind", "127.0.0.1:0", *options)
    process = Program(*command, env={**device(name), **(env or {})}, **more)
    return process, process.event("listening", 10)["url"]


def ask(name, *command, code=None, status=0):
    """What a command says to the node of that name: its output and its log. It ends with this status, or with any if that is none."""
    env = {**os.environ, **device(name), **({"CLASP_NODE_CODE": code} if code else {})}
    done = subprocess.run([PROGRAM, *command], env=env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert status is None or done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def link(name):
    """The link of a node, if it is open."""
    return next((link for link in json.loads(ask(name, "status", "--json"))["links"] if link["state"] == "open"), None)


def pair(shows, types):
    """Pairs two nodes that run."""
    shown = Program(PROGRAM, "pair", "--show", "--json", env=device(shows))
    code = shown.event("shown", 10)["shown"]["code"]
    ask(types, "pair", shows, code=code)
    shown.finish(20)


class Manager:
    """A service manager: what it starts, and what it hears."""

    def __init__(self):
        self.path = os.path.join(FOLDER.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.env = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}

    def is_told(self, url):
        """That a program is ready, and listens there; it does."""
        ready = self.hears(10)
        assert ready == f"READY=1\nSTATUS=listening on {url}\n", ready
        host, port = url.removeprefix("ws://").split(":")
        socket.create_connection((host, int(port)), 1).close()

    def is_fed(self, what):
        """The watchdog is, three times a period; it begins to count from now."""
        self.forget()
        begun = time.monotonic()
        for _ in range(3):
            heard = self.hears(WATCHDOG_SECONDS)
            assert heard == "WATCHDOG=1\n", f"{what}: {heard!r}"
        took = time.monotonic() - begun
        assert took < WATCHDOG_SECONDS + 1, f"{what}: three times in {took:.1f} s"

    def last(self):
        """The last of what has been said."""
        last = None
        while (heard := self.hears(0.1)) is not None:
            last = heard
        return last

    def close(self):
        self.socket.close()
        os.unlink(self.path)

    def hears(self, seconds):
        """The next message, or nothing."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return None

    def forget(self):
        """What has been said is of no interest."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            pass
