#!/usr/bin/env python3
"""The programs that ship, on an emulated board: found, paired, linked, a file carried over, and the same with a board of another kind.

    cross/emulated.py FOLDER NATIVE_FOLDER [--file-mb N] [--figures FILE] [--cipher NAME] [EMULATOR ARGUMENT...]

FOLDER holds the programs of the target, NATIVE_FOLDER those of this machine. All traffic stays on the loopback interface. As root the
DTLS handshakes are looked at as well: two such boards are to agree on --cipher. --figures is a file for what was measured, as JSON.
"""
import argparse
import hashlib
import json
import os
import queue
import random
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests"))
from programs import Program, stop_all

CIPHERS = {0xC02B: "AES-128-GCM", 0xC02C: "AES-256-GCM", 0xCCA9: "ChaCha20-Poly1305"}
CIPHERS |= {0x1301: "AES-128-GCM", 0x1302: "AES-256-GCM", 0x1303: "ChaCha20-Poly1305"}


class Board:
    """A device: a node that runs, and the commands its owner gives."""

    def __init__(self, name, folder, emulator, home, router):
        self.name, self.command = name, [*emulator, os.path.join(folder, "clasp-node")]
        self.env = {"CLASP_NODE_STATE": f"{home}/{name}", "CLASP_NODE_CONTROL": f"{home}/{name}.sock"}
        options = ["--name", name, "--loopback", "--no-discovery", "--bind", "127.0.0.1:0", "--json", "--router", router]
        self.node = self.order("run", *options)
        for _ in "its own router", "the one it shares":
            self.node.event("router_ready", 30)

    def order(self, *arguments, **env):
        return Program(*self.command, *arguments, env={**self.env, **env})


def pair(shows, types):
    shown = shows.order("pair", "--show", "--json")
    code = shown.event("shown", 30)["shown"]["code"]
    typed = types.order("pair", shows.name, "--json", CLASP_NODE_CODE=code)
    here, there = typed.event("paired", 60), shown.event("paired", 60)
    assert here["paired"]["check"] == there["paired"]["check"], (here, there)
    typed.finish(), shown.finish()


def carry(source, target, data, folder):
    """Sends a file from one board to another; returns the seconds it took."""
    sent, got = f"{folder}/sent", f"{folder}/got"
    with open(sent, "wb") as file:
        file.write(data)
    receiver = target.order("recv", "-o", got)
    receiver.says("waiting as", 30)
    begun = time.monotonic()
    source.order("send", target.name, sent).finish()
    receiver.finish()
    took = time.monotonic() - begun
    with open(got, "rb") as file:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest(), "other bytes arrived"
    os.remove(got)
    return took


class Watch:
    """Which ciphers are agreed on, as the ServerHello of every DTLS handshake says (RFC 6347 §4.2, RFC 9147 §5.3)."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.bind(("lo", 0))
        self.found = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            packet = self.socket.recv(65535)
            data = packet[(packet[0] & 15) * 4 + 8 :]
            is_server_hello = packet[9] == 17 and len(data) > 62 and data[0] == 22 and data[13] == 2
            if is_server_hello:
                at = 25 + 2 + 32
                (suite,) = struct.unpack_from(">H", data, at + 1 + data[at])
                self.found.put(CIPHERS.get(suite, hex(suite)))

    def cipher(self):
        """What the handshake that is over agreed on; everybody hears every packet of this interface twice."""
        found = self.found.get(timeout=5)
        while not self.found.empty():
            assert self.found.get() == found
        return found


def play(options, home, say):
    emulator, folder = options.emulator, options.folder
    data = random.Random(11).randbytes(options.file_mb * 1_000_000)
    watch = Watch() if os.geteuid() == 0 else None
    cipher = (lambda: watch.cipher()) if watch else (lambda: "not looked at: needs root")

    begun = time.monotonic()
    router = Program(*emulator, os.path.join(folder, "router-lite"), "--bind", "127.0.0.1:0")
    url = router.line(30).split()[-1]
    say("router up", time.monotonic() - begun, "s")
    begun = time.monotonic()
    kitchen = Board("kitchen", folder, emulator, home, url)
    say("node up", time.monotonic() - begun, "s")
    garden = Board("garden", folder, emulator, home, url)
    say("idle router", router.resident_kib(), "KiB")
    say("idle node", kitchen.node.resident_kib(), "KiB")

    begun = time.monotonic()
    pair(kitchen, garden)
    say("paired", time.monotonic() - begun, "s")
    begun = time.monotonic()
    garden.order("ping", "kitchen", "-c", "1").finish()
    say("data channel open, and a ping", time.monotonic() - begun, "s")
    found = cipher()
    say("cipher", found, "")
    assert not (watch and options.cipher) or found == options.cipher, f"{found}, and not {options.cipher}"
    say(f"{options.file_mb} MB", len(data) / 1e6 / carry(garden, kitchen, data, home), "MB/s")

    office = Board("office", options.native, [], home, url)
    begun = time.monotonic()
    pair(office, kitchen)
    say("paired with a native node", time.monotonic() - begun, "s")
    for source, target in (office, kitchen), (kitchen, office):
        say(f"{options.file_mb} MB from {source.name} to {target.name}", len(data) / 1e6 / carry(source, target, data, home), "MB/s")
    say("cipher with a native node", cipher(), "")
    say("node after all that", kitchen.node.resident_kib(), "KiB")
    say("goodbye", kitchen.node.stop(), "s")
    for board in garden, office:
        board.node.stop()
    router.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("native")
    parser.add_argument("--file-mb", type=int, default=2)
    parser.add_argument("--figures")
    parser.add_argument("--cipher")
    parser.add_argument("emulator", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    figures = {}

    def say(what, value, unit):
        figures[what] = value
        shown = f"{value:.2f}" if isinstance(value, float) else value
        print(f"{what:40} {shown} {unit}".rstrip(), flush=True)

    try:
        with tempfile.TemporaryDirectory() as home:
            play(options, home, say)
    finally:
        stop_all()
    if options.figures:
        with open(options.figures, "w") as file:
            json.dump(figures, file, indent=1)


main()
