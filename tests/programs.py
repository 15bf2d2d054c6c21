"""Programs that run on this machine, for the test scripts: what they print, how they end, what they use."""
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time


class Program:
    """A program that runs, and the lines it prints."""

    running = []

    def __init__(self, *command, env=None, **more):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.child = subprocess.Popen(command, text=True, env={**os.environ, **(env or {})}, **pipes, **more)
        self.lines, self.log = queue.Queue(), []
        self.logged = threading.Condition()
        self.readers = [threading.Thread(target=self.read, daemon=True), threading.Thread(target=self.read_log, daemon=True)]
        for reader in self.readers:
            reader.start()
        Program.running.append(self)

    def read(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip())

    def read_log(self):
        for line in self.child.stderr:
            with self.logged:
                self.log.append(line.rstrip())
                self.logged.notify_all()

    def says(self, text, seconds, since=0):
        """Waits for a line on standard error, not looking at the first ones; returns how many lines there are up to it."""

        def found():
            return next((at + 1 for at, line in enumerate(self.log) if at >= since and text in line), None)

        with self.logged:
            said = self.logged.wait_for(found, seconds)
        assert said, f"{self.child.args} did not say {text!r} within {seconds} s; log: {self.log[-5:]}"
        return said

    def line(self, seconds, wanted=lambda line: True):
        """The next line that is wanted."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{self.child.args} did not print it within {seconds} s; log: {self.log[-5:]}") from None
            if wanted(line):
                return line

    def event(self, name, seconds):
        """The next JSON event of that name."""
        return json.loads(self.line(seconds, lambda line: json.loads(line).get("event") == name))

    def finish(self, seconds=120):
        """Waits for the end, which is to be a good one; returns what is left of the lines."""
        assert self.child.wait(seconds) == 0, f"{self.child.args}: {self.child.returncode}; log: {self.log[-5:]}"
        for reader in self.readers:
            reader.join()
        return [self.lines.get() for _ in range(self.lines.qsize())]

    def stop(self):
        """Has it say goodbye; returns how long that took."""
        begun = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        self.finish(10)
        return time.monotonic() - begun

    def resident_kib(self):
        return figure(self.child.pid, "VmRSS")


def figure(process, key):
    """A number in /proc/PID/status; memory is in KiB there."""
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{key}:"))


def stop_all():
    """Whatever still runs, ends."""
    for program in Program.running:
        with contextlib.suppress(ProcessLookupError):
            program.child.kill()


def until(what, condition, seconds):
    """Waits for a condition, and returns what it returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"{what} did not happen within {seconds} s")
