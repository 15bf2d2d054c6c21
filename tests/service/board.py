"""A board with little of everything: processor, memory, file systems that can be written to."""
import contextlib
import hashlib
import json
import os
import random
import subprocess
import time

from nodes import FOLDER, PROGRAM, ask, device, link, node, pair
from programs import Program, until

MEMORY_BYTES = 64 * 1024 * 1024
CPU_SHARE = 0.2
CGROUPS = "/sys/fs/cgroup"


class Group:
    """A control group with little memory and a part of one processor, of either version."""

    def __init__(self, name):
        period = 100_000
        quota = int(period * CPU_SHARE)
        with open("/proc/self/mounts") as mounts:
            unified = any(line.split()[1:3] == [CGROUPS, "cgroup2"] for line in mounts)
        self.name = name = f"clasp-node-test-{name}"
        if unified:
            for controller in ("+cpu", "+memory"):
                write(f"{CGROUPS}/cgroup.subtree_control", controller)
            self.folders = [f"{CGROUPS}/{name}"]
            limits = [("cpu.max", f"{quota} {period}"), ("memory.max", MEMORY_BYTES)]
            self.peak_file = f"{CGROUPS}/{name}/memory.peak"
        else:
            self.folders = [f"{CGROUPS}/{controller}/{name}" for controller in ("cpu", "memory")]
            limits = [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota), ("memory.limit_in_bytes", MEMORY_BYTES)]
            self.peak_file = f"{CGROUPS}/memory/{name}/memory.max_usage_in_bytes"
        for folder in self.folders:
            os.makedirs(folder, exist_ok=True)
        for file, value in limits:
            folder = next(folder for folder in self.folders if os.path.exists(f"{folder}/{file}"))
            write(f"{folder}/{file}", value)

    def enter(self):
        """Called in the child, before the program."""
        os.sched_setaffinity(0, {0})
        for folder in self.folders:
            write(f"{folder}/cgroup.procs", os.getpid())

    def peak(self):
        with open(self.peak_file) as peak:
            return int(peak.read())

    def throttled(self):
        """How often the group had used up its share, and had to wait."""
        with open(f"{self.folders[0]}/cpu.stat") as stat:
            return next(int(line.split()[1]) for line in stat if line.startswith("nr_throttled"))

    def remove(self):
        for folder in self.folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def write(path, value):
    with open(path, "w") as file:
        file.write(str(value))


def small_board():
    """Two nodes with 64 MB and a fifth of a processor each are paired, linked, and send a file."""
    data = random.Random(5).randbytes(16_000_000)
    groups = [Group("kitchen"), Group("garden")]
    try:
        kitchen, url = node("board-kitchen", preexec_fn=groups[0].enter)
        garden, _ = node("board-garden", "--router", url, preexec_fn=groups[1].enter)
        seen = lambda: "board-kitchen" in ask("board-garden", "peers", "--router", url, "--listen", "0.3")
        until("they see each other", seen, 30)
        begun = time.monotonic()
        pair("board-kitchen", "board-garden")
        until("they are linked", lambda: link("board-garden") and link("board-kitchen"), 30)
        linked = time.monotonic() - begun
        out = f"{FOLDER.name}/received"
        receiver = Program(PROGRAM, "recv", "-o", out, env=device("board-kitchen"))
        receiver.says("waiting as", 10)
        begun = time.monotonic()
        environment = {**os.environ, **device("board-garden")}
        subprocess.run([PROGRAM, "send", "board-kitchen"], input=data, env=environment, check=True, timeout=60, capture_output=True)
        took = time.monotonic() - begun
        receiver.finish(10)
        with open(out, "rb") as file:
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest(), "not what was sent"
        for process, group in ((kitchen, groups[0]), (garden, groups[1])):
            with open(f"/proc/{process.child.pid}/cgroup") as member:
                assert member.read().count(group.name) == len(group.folders), "it runs outside its limits"
        resident = [process.resident_kib() for process in (kitchen, garden)]
        stopped = [kitchen.stop(), garden.stop()]
        peaks = [group.peak() for group in groups]
        assert max(peaks) <= MEMORY_BYTES, peaks
        assert max(stopped) < 1, stopped
        throttled = [group.throttled() for group in groups]
    finally:
        for group in groups:
            group.remove()
    return (
        f"paired and linked in {linked:.1f} s; 16 MB byte-identical in {took:.1f} s; "
        f"memory at most {max(peaks) / 1e6:.1f} MB of the group, {max(resident) / 1e3:.1f} MB resident; made to wait for the processor {throttled} times; gone in {max(stopped):.2f} s"
    )


# Every mount is made read-only but the folder given, and what the kernel shows.
WITHOUT_WRITING = """
mount --make-rprivate /
mount --bind "$1" "$1"
while read -r _ at kind _; do
    case $at,$kind in "$1",*|*,proc|*,sysfs|*,cgroup*|/dev*) continue ;; esac
    mount -o remount,bind,ro "$at" 2>/dev/null || :
done </proc/self/mounts
for folder in / /tmp /run /var/tmp "$1/.."; do
    if touch "$folder/clasp-node-test" 2>/dev/null; then echo "$folder can be written to" >&2; exit 1; fi
done
shift
exec "$@"
"""


def on_read_only(name, writable):
    """A node that can write nowhere but to that folder."""
    return node(name, before=("unshare", "--mount", "sh", "-c", WITHOUT_WRITING, "sh", writable))[0]


def read_only():
    """A root that cannot be written to will do; where not even the state can, a node that has an identity is the same device, and says
    that it will not remember."""
    places = [os.path.join(FOLDER.name, "frozen", name) for name in ("", "run")]
    os.makedirs(places[1])
    found, logs = [], []
    for writable in places:
        process = on_read_only("frozen", writable.rstrip("/"))
        found.append(json.loads(ask("frozen", "status", "--json")))
        logs.append(process.log[:])
        assert process.stop() < 1
    ids = [status["id"] for status in found]
    assert os.path.exists(f"{places[0]}state/identity.json") and ids[0] == ids[1], (ids, logs)
    assert not logs[0], logs[0]
    assert len(logs[1]) == 1 and "new pairs are remembered until this node ends" in logs[1][0], logs[1]
    return f"the same device on both; where the state is read-only, too, it says: {logs[1][0]}"
