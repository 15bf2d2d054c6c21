"""Programs on the hosts, and waiting for what they say."""
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time

from networks import PREFIX

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from programs import until  # for who imports from here, too

PROGRAMS = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release")
ROUTER = "ws://10.77.0.1:7330"
FOLDER = tempfile.TemporaryDirectory()  # for control sockets and state; gone at the end


def device(host):
    """The environment of a program on a host: all programs there are one device."""
    return {**os.environ, "CLASP_NODE_STATE": os.path.join(FOLDER.name, "state", host)}


class Process:
    """A program on a host; its lines, with the time each came, are collected."""

    running = []

    def __init__(self, host, *command, stdin=None, env=None):
        full = ["ip", "netns", "exec", PREFIX + host, os.path.join(PROGRAMS, command[0]), *command[1:]]
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.child = subprocess.Popen(full, env={**device(host), **(env or {})}, **pipes)
        self.lines, self.log = queue.Queue(), []
        self.seen = []
        Process.running.append(self)
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=self.read_log, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.put((time.monotonic(), line.decode().rstrip()))

    def read_log(self):
        for line in self.child.stderr:
            self.log.append(line.decode().rstrip())

    def event(self, name, seconds, after=0.0):
        """The first JSON event of that name that came after a time."""
        def look():
            with contextlib.suppress(queue.Empty):
                while True:
                    at, line = self.lines.get_nowait()
                    self.seen.append((at, json.loads(line)))
            return next(((at, e) for at, e in self.seen if at > after and e.get("event") == name), None)
        return until(f"event {name}", look, seconds)

    def kill(self, number=signal.SIGKILL):
        self.child.send_signal(number)
        return self.child.wait(10)


def router(host="hub", address="10.77.0.1"):
    process = Process(host, "clasp-node", "router", "--bind", f"{address}:7330", "--rate", "0")
    until("the router listens", lambda: not process.lines.empty(), 5)
    return process
