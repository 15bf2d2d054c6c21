"""One end of a measured channel, with aiortc. Commands and events are those of peer/src/line.rs, messages those of
peer/src/message.rs without framing, marks of the send buffer those of peer/src/lib.rs."""

import asyncio
import json
import struct
import sys
import time

from aiortc import RTCPeerConnection, RTCSessionDescription

BULK, END, RECEIPT, ECHO, REPLY = range(5)
CONTENT = struct.Struct("<BQQ")
SMALL_BYTES = 64
SEND_BUFFER_BYTES = 1024 * 1024
SEND_AGAIN_BYTES = 256 * 1024


def emit(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def small(kind, first=0, second=0):
    return CONTENT.pack(kind, first, second).ljust(SMALL_BYTES, b"Z")


class End:
    def __init__(self):
        self.connection = None
        self.channel = None
        self.task = {}
        self.arrived = self.arrived_bytes = 0
        self.room = asyncio.Event()

    def use(self, channel):
        self.channel = channel
        channel.bufferedAmountLowThreshold = SEND_AGAIN_BYTES
        channel.on("bufferedamountlow", self.room.set)
        channel.on("message", self.received)
        channel.on("open", self.opened)

    def opened(self):
        if "opening" in self.task:
            self.channel.send(small(ECHO, time.monotonic_ns()))

    def received(self, message):
        now = time.monotonic_ns()
        kind, first, second = CONTENT.unpack_from(message)
        if kind == BULK:
            if first != self.arrived:
                emit(event="failed", why=f"message {first} came as number {self.arrived}")
            self.arrived += 1
            self.arrived_bytes += len(message)
        elif kind == END:
            self.channel.send(small(RECEIPT, self.arrived, self.arrived_bytes))
            self.arrived = self.arrived_bytes = 0
        elif kind == ECHO:
            self.channel.send(small(REPLY, first, now))
        elif kind == RECEIPT:
            task, self.task = self.task, {}
            if first != task["sent"]:
                emit(event="failed", why=f"{first} messages of {task['sent']} arrived")
            else:
                emit(event="sent", messages=first, bytes=second, us=(now - task["begun"]) / 1e3)
        elif kind == REPLY:
            self.replied(now, first, second)

    def replied(self, now, sent, arrived):
        task = self.task
        if "opening" in task:
            self.task = {}
            emit(event="open", us=(now - task["opening"]) / 1e3)
        elif "left" in task:
            task["round_trip_us"].append((now - sent) / 1e3)
            task["one_way_us"].append((arrived - sent) / 1e3)
            if task["left"]:
                task["left"] -= 1
                self.channel.send(small(ECHO, time.monotonic_ns()))
            else:
                self.task = {}
                emit(event="echoed", round_trip_us=task["round_trip_us"], one_way_us=task["one_way_us"])

    async def send(self, size, messages, ms):
        filling = b"Z" * (size - CONTENT.size)
        self.task = {"sent": 0, "begun": time.monotonic_ns()}
        until = time.monotonic() + ms / 1e3
        while self.task["sent"] < messages and time.monotonic() < until:
            self.channel.send(CONTENT.pack(BULK, self.task["sent"], 0) + filling)
            self.task["sent"] += 1
            if self.channel.bufferedAmount >= SEND_BUFFER_BYTES:
                self.room.clear()
                await self.room.wait()
            elif self.task["sent"] % 64 == 0:
                await asyncio.sleep(0)  # sending is a task of its own
        self.channel.send(small(END, self.task["sent"]))

    async def describe(self, description):
        await self.connection.setLocalDescription(description)  # with all candidates
        whole = self.connection.localDescription
        emit(event="signal", data={"sdp": whole.sdp, "type": whole.type})

    async def obey(self, command):
        what = command["do"]
        if what == "connect":
            self.task = {"opening": time.monotonic_ns()}
            self.connection = RTCPeerConnection()
            self.use(self.connection.createDataChannel("bench"))
            await self.describe(await self.connection.createOffer())
        elif what == "signal":
            description = RTCSessionDescription(**command["data"])
            if self.connection:
                await self.connection.setRemoteDescription(description)
                return
            self.connection = RTCPeerConnection()
            self.connection.on("datachannel", self.use)
            await self.connection.setRemoteDescription(description)
            await self.describe(await self.connection.createAnswer())
        elif what == "send":
            await self.send(command["size"], command["messages"], command["ms"])
        elif what == "echo":
            self.task = {"left": command["count"] - 1, "round_trip_us": [], "one_way_us": []}
            self.channel.send(small(ECHO, time.monotonic_ns()))
        elif what == "close":
            closing, self.connection, self.channel = self.connection, None, None
            if closing:
                await closing.close()
            emit(event="closed")


async def main():
    end = End()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    emit(event="ready", session=None)
    while line := await reader.readline():
        command = json.loads(line)
        if command["do"] == "quit":
            break
        try:
            await end.obey(command)
        except Exception as error:  # whatever it is, it ends the measurement and not this loop
            emit(event="failed", why=repr(error))
    if end.connection:
        await end.connection.close()


asyncio.run(main())
