"""The unit under a real systemd: a Debian in a folder, booted in a container of its own."""
import json
import os
import shutil
import subprocess
import time

from nodes import FOLDER, PROGRAM
from programs import until

HERE = os.path.dirname(os.path.abspath(__file__))
DEBIAN = os.path.join(HERE, "../debian-12")
UNIT = os.path.join(HERE, "../../cross/debian/clasp-node.service")
STATE = "/var/lib/clasp-node"


class Board:
    """A Debian whose systemd runs."""

    def __init__(self):
        self.root = os.path.join(FOLDER.name, "board")
        os.makedirs(self.root)
        subprocess.run([DEBIAN, self.root], check=True)
        shutil.copy(PROGRAM, f"{self.root}/usr/bin/clasp-node")
        units = f"{self.root}/etc/systemd/system"
        shutil.copy(UNIT, units)
        os.makedirs(f"{units}/multi-user.target.wants", exist_ok=True)
        os.symlink("../clasp-node.service", f"{units}/multi-user.target.wants/clasp-node.service")
        # As an administrator would: a shorter time, so that the test need not wait a minute.
        os.makedirs(f"{units}/clasp-node.service.d")
        with open(f"{units}/clasp-node.service.d/quicker.conf", "w") as drop_in:
            drop_in.write("[Service]\nWatchdogSec=3\nRestartSec=1\n")
        with open(f"{self.root}/etc/machine-id", "w"):
            pass
        command = ["systemd-nspawn", "-q", "-D", self.root, "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        unified = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.container = subprocess.Popen(command, env=unified, **pipes)

    def first(self):
        """The container's systemd."""
        with open(f"/proc/{self.container.pid}/task/{self.container.pid}/children") as children:
            return children.read().split()[0]

    def on(self, *command, status=0):
        """What a command of root prints there."""
        done = subprocess.run(["nsenter", "-a", "-t", self.first(), *command], capture_output=True, text=True, timeout=30)
        assert status is None or done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
        return (done.stdout + done.stderr).strip()

    def shows(self, what):
        return self.on("systemctl", "show", "clasp-node", "--value", "-p", what, status=None)

    def is_ready(self):
        try:
            return self.shows("SubState") == "running" and self.shows("ActiveState") == "active"
        except (IndexError, OSError):
            return False  # not booted yet

    def signal(self, name):
        self.on("systemctl", "kill", "--kill-who=main", f"--signal={name}", "clasp-node")

    def restarted(self, times):
        until(f"restart {times}", lambda: self.shows("NRestarts") == str(times) and self.is_ready(), 30)
        return self.identity()

    def identity(self):
        return json.loads(self.on("clasp-node", "id", "--json"))["id"]

    def halt(self):
        self.container.terminate()
        try:
            self.container.wait(20)
        except subprocess.TimeoutExpired:
            self.container.kill()
            self.container.wait(10)


def booted():
    """Started at boot; restarted when it hangs or dies, as the same device; root's commands reach it, and nobody else's."""
    begun = time.monotonic()
    board = Board()
    try:
        until("the service runs", board.is_ready, 60)
        boot = time.monotonic() - begun
        assert board.shows("StatusText").startswith("listening on ws://"), board.shows("StatusText")
        user = board.shows("MainPID") and board.on("stat", "-c", "%u", "/run/clasp-node")
        assert user != "0", "it runs as root"
        device = json.loads(board.on("clasp-node", "status", "--json"))
        assert device["storage"]["identity_stored"] and device["storage"]["directory"] == STATE, device
        as_nobody = board.on("setpriv", "--reuid", "61000", "--regid", "61000", "--clear-groups", "clasp-node", "status", status=1)
        assert "try again with `sudo`" in as_nobody, as_nobody
        exposure = board.on("systemd-analyze", "security", "--no-pager", "clasp-node", status=None).splitlines()[-1]

        board.signal("STOP")
        begun = time.monotonic()
        assert board.restarted(1) == device["id"]
        hung = time.monotonic() - begun
        board.signal("KILL")
        assert board.restarted(2) == device["id"]
        for count in range(3, 9):  # more often than systemd allows by default
            board.signal("KILL")
            board.restarted(count)

        begun = time.monotonic()
        board.on("systemctl", "stop", "clasp-node")
        stopped = time.monotonic() - begun
        assert stopped < 1 and board.shows("Result") == "success", (stopped, board.shows("Result"))
        # With the service stopped, root's commands work on its files, and leave them the service's.
        board.on("clasp-node", "token", "add", "made-meanwhile", "--scope", "read:/**")
        owners = board.on("find", f"{STATE}/", "-printf", "%U %m %P\n").splitlines()
        assert all(line.split()[:2] in ([user, "600"], [user, "700"]) for line in owners), owners
        # A file of root's that the service has given a second name stays root's.
        board.on("touch", "/var/lib/private/of-root")
        board.on("ln", "-f", "/var/lib/private/of-root", f"{STATE}/tokens.lock")
        board.on("clasp-node", "token", "add", "trapped", "--scope", "read:/**", status=1)
        assert board.on("stat", "-c", "%u", "/var/lib/private/of-root") == "0", "root has given a file of its own away"
        board.on("rm", f"{STATE}/tokens.lock")
        board.on("systemctl", "start", "clasp-node")
        assert board.identity() == device["id"] and "made-meanwhile" in board.on("clasp-node", "token", "list")
        board.on("clasp-node", "token", "revoke", "made-meanwhile")
        memory = board.on("grep", "VmHWM", f"/proc/{board.shows('MainPID')}/status").split()[1]
    finally:
        board.halt()
    return (
        f"runs {boot:.1f} s after the beginning; a hang of 3 s is noticed and over after {hung:.1f} s; restarted 8 times, always {device['id'][:6]}…; "
        f"stopped in {stopped:.2f} s; {memory} KiB at most; {exposure}"
    )
