"""The published Python client (clasp-to 4.2.0) goes through hello, subscribe, set/get, event, stream, bundle and late
join against a router, asserting each step.

    python pubsub.py ws://127.0.0.1:7330

Prints one JSON line per check, {"check":NAME,"ok":BOOL,"detail":TEXT}, and exits with 1 if one failed. Same checks and
roles as src/bin/stock_pubsub.rs. This client stops receiving for good at the first ACK it is sent, so the one that sets
and bundles (`setter`) does nothing else until the last check, `setter_survives`.
"""

import asyncio
import contextlib
import io
import json
import sys

from clasp import Clasp

PATIENCE_S = 5.0
SAMPLES = 50
ROOT = "/interop/py"


class Client:
    @classmethod
    async def connect(cls, url, name):
        client = cls()
        client.inbox = asyncio.Queue()
        client.errors = []
        client.clasp = Clasp(url, name=name, reconnect=False)
        client.clasp._on_error.append(client.errors.append)
        await asyncio.wait_for(client.clasp.connect(), PATIENCE_S)
        return client

    async def subscribe(self, pattern):
        stop = self.clasp.subscribe(pattern, lambda value, address: self.inbox.put_nowait((address, value)))
        await frames_of_tasks()
        return stop

    async def expect(self, address, value):
        """The next delivery at this address must carry this value."""
        while True:
            at, got = await self.next(address)
            if at == address:
                assert same(got, value), f"{address}: expected {value!r}, got {got!r}"
                return f"{address} = {got!r}"

    async def until(self, address, value):
        """Everything up to and without this delivery."""
        passed = []
        while True:
            at, got = await self.next(address)
            if at == address and same(got, value):
                return passed
            passed.append((at, got))

    async def next(self, awaited):
        try:
            return await asyncio.wait_for(self.inbox.get(), PATIENCE_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"nothing at {awaited} within {PATIENCE_S} s; client errors: {self.errors}") from None


async def frames_of_tasks():
    """This client sends SUBSCRIBE and UNSUBSCRIBE from a task: without a turn of the loop, later frames overtake them."""
    await asyncio.sleep(0)


def same(got, value):
    return type(got) is type(value) and got == value


async def fence(subscriber, emitter, number):
    """Whatever the subscriber sent before has been carried out by the router when the emitter hears this."""
    await subscriber.clasp.emit(f"{ROOT}/ping", number)
    await emitter.until(f"{ROOT}/ping", number)


class Checks:
    def __init__(self, url, subscriber, emitter, setter):
        self.url, self.subscriber, self.emitter, self.setter = url, subscriber, emitter, setter

    async def hello(self):
        sessions = [client.clasp.session_id for client in (self.subscriber, self.emitter, self.setter)]
        assert len(set(sessions)) == 3 and all(len(session) == 36 for session in sessions), sessions
        return " ".join(sessions)

    async def set_echo(self):
        await self.setter.subscribe(f"{ROOT}/ready")
        await self.setter.subscribe(f"{ROOT}/setter")
        await self.setter.clasp.set(f"{ROOT}/ready", 1)
        return await self.setter.expect(f"{ROOT}/ready", 1)

    async def subscribe(self):
        """The subscription's SNAPSHOT holds what was set after the subscriber connected: it does not come from the one
        that follows WELCOME. A SET outside the pattern is not delivered (a get would find it in the client's cache)."""
        for client in (self.subscriber, self.emitter):
            await client.subscribe(f"{ROOT}/**")
            await client.expect(f"{ROOT}/ready", 1)
        await self.setter.clasp.set("/elsewhere/py", 1)
        await self.setter.clasp.set(f"{ROOT}/inside", 2)
        await self.emitter.expect(f"{ROOT}/inside", 2)
        await self.subscriber.expect(f"{ROOT}/inside", 2)
        assert "/elsewhere/py" not in self.subscriber.clasp._params, "delivered without a subscription"
        return "what matches, nothing else"

    async def event(self):
        """Everybody but the sender gets an event."""
        cue = {"cue": "intro", "bar": 12}
        await self.emitter.clasp.emit(f"{ROOT}/event", cue)
        await self.subscriber.expect(f"{ROOT}/event", cue)
        await self.subscriber.clasp.emit(f"{ROOT}/event", "from the subscriber")
        return await self.emitter.expect(f"{ROOT}/event", "from the subscriber")

    async def stream(self):
        # From 1: this client hands a 0 in an event or stream to the application as None.
        for sample in range(1, SAMPLES + 1):
            await self.emitter.clasp.stream(f"{ROOT}/stream", sample)
        for sample in range(1, SAMPLES + 1):
            await self.subscriber.expect(f"{ROOT}/stream", sample)
        return f"{SAMPLES} samples in order"

    async def set(self):
        await self.setter.clasp.set(f"{ROOT}/level", 0.5)
        return await self.subscriber.expect(f"{ROOT}/level", 0.5)

    async def values(self):
        values = [None, True, -7, -(2**63), 1.5, "Gr\u00fc\u00dfe \U0001f39b", bytes([0, 1, 254, 255]),
                  [1, "two", []], {"inner": {"deep": 0.25}, "none": None}]
        for at, value in enumerate(values):
            await self.setter.clasp.set(f"{ROOT}/value/{at}", value)
        for at, value in enumerate(values):
            await self.subscriber.expect(f"{ROOT}/value/{at}", value)
        return f"{len(values)} values of every kind"

    async def get(self):
        """The address is outside the subscriber's patterns, so its cache cannot answer for the router."""
        await self.setter.clasp.set("/interop-get/py", 42)
        await self.setter.clasp.set(f"{ROOT}/fence", 1)
        await self.subscriber.expect(f"{ROOT}/fence", 1)
        got = await self.subscriber.clasp.get("/interop-get/py", timeout=PATIENCE_S)
        assert got == 42, f"get answered {got!r}"
        return "42"

    async def bundle(self):
        await self.setter.clasp.bundle([
            {"set": [f"{ROOT}/bundle/1", 1.0]},
            {"set": [f"{ROOT}/bundle/2", 0.0]},
            {"emit": [f"{ROOT}/bundle/3", "done"]},
        ])
        await self.subscriber.expect(f"{ROOT}/bundle/1", 1.0)
        await self.subscriber.expect(f"{ROOT}/bundle/2", 0.0)
        return await self.subscriber.expect(f"{ROOT}/bundle/3", "done")

    async def query(self):
        signals = await self.subscriber.clasp.query_signals(f"{ROOT}/**", timeout=PATIENCE_S)
        assert signals == [], f"nobody announced anything, yet: {signals}"
        return "empty RESULT"

    async def unsubscribe(self):
        """The client's cache follows whatever the router delivers, subscribed or not: it must stop following."""
        stop = await self.subscriber.subscribe("/interop-un/py")
        await fence(self.subscriber, self.emitter, 1)
        await self.setter.clasp.set("/interop-un/py", 1)
        await self.subscriber.expect("/interop-un/py", 1)
        stop()
        await frames_of_tasks()
        await fence(self.subscriber, self.emitter, 2)
        await self.setter.clasp.set("/interop-un/py", 2)
        await self.setter.clasp.set(f"{ROOT}/fence", 2)
        await self.subscriber.expect(f"{ROOT}/fence", 2)
        cached = await self.subscriber.clasp.get("/interop-un/py")
        assert cached == 1, f"the router went on: {cached!r}"
        return "nothing after UNSUBSCRIBE"

    async def refused_pattern(self):
        """The client only prints what the router refuses."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            await self.subscriber.subscribe("no-slash")
            await fence(self.subscriber, self.emitter, 3)
            await self.setter.clasp.set(f"{ROOT}/fence", 3)
            await self.subscriber.expect(f"{ROOT}/fence", 3)
        assert printed.getvalue().startswith("CLASP error: 202 "), f"no ERROR 202 but {printed.getvalue()!r}"
        return printed.getvalue().strip()

    async def late_join(self):
        """A newcomer gets what was set before it came, and no event that was."""
        latecomer = await Client.connect(self.url, "latecomer")
        await latecomer.subscribe(f"{ROOT}/**")
        passed = await latecomer.until(f"{ROOT}/level", 0.5)
        await self.setter.clasp.set(f"{ROOT}/fence", 4)
        passed += await latecomer.until(f"{ROOT}/fence", 4)
        replayed = [delivery for delivery in passed if delivery[0] == f"{ROOT}/event"]
        assert not replayed, f"an old event was replayed: {replayed}"
        return "state yes, events no"

    async def setter_survives(self):
        await self.subscriber.clasp.emit(f"{ROOT}/setter", "still there?")
        return await self.setter.expect(f"{ROOT}/setter", "still there?")


async def main(url):
    clients = [await Client.connect(url, name) for name in ("subscriber", "emitter", "setter")]
    checks = Checks(url, *clients)
    failed = 0
    for name in [name for name in vars(Checks) if not name.startswith("_")]:
        try:
            ok, detail = True, await getattr(checks, name)()
        except Exception as error:  # whatever it is, the other checks go on
            ok, detail = False, str(error)
        failed += not ok
        print(json.dumps({"check": name, "ok": ok, "detail": detail}), flush=True)
    # No close(): it waits ten seconds for the Close frame that the stock router never answers.
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python pubsub.py ws://HOST:PORT")
    sys.exit(asyncio.run(main(sys.argv[1])))
