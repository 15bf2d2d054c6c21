"""The published Python client (clasp-to 4.2.0) uses a router from elsewhere, with a token for `read:/pub/*` and
`write:/desk/**`, and asserts what that lets it do.

    python access.py LOCAL REMOTE TOKEN

LOCAL and REMOTE are two addresses of one router: on the first it takes us for a program of its machine, on the second for
one of another. Prints one JSON line per check, as pubsub.py; before the last, which waits to be thrown out, it prints
{"event":"waiting"}.
"""

import asyncio
import contextlib
import io
import json
import sys

from clasp import Clasp

PATIENCE_S = 5.0


class Client:
    @classmethod
    async def connect(cls, url, token=None):
        client = cls()
        client.inbox = asyncio.Queue()
        client.gone = asyncio.Event()
        client.clasp = Clasp(url, name="access", token=token, reconnect=False)
        client.clasp.on_disconnect(lambda why: client.gone.set())
        await asyncio.wait_for(client.clasp.connect(), PATIENCE_S)
        return client

    async def subscribe(self, pattern):
        self.clasp.subscribe(pattern, lambda value, address: self.inbox.put_nowait((address, value)))
        await asyncio.sleep(0)  # this client subscribes from a task

    async def expect(self, address, value):
        async def come():
            while await self.inbox.get() != (address, value):
                pass

        await asyncio.wait_for(come(), PATIENCE_S)


class Checks:
    def __init__(self, remote, token):
        self.remote, self.token = remote, token

    async def wrong_token(self):
        """Refused and closed: this client would wait for ever otherwise."""
        try:
            await Client.connect(self.remote, "cpsk_" + 32 * "0")
        except asyncio.TimeoutError:
            raise AssertionError("still connecting") from None
        except Exception as error:
            return str(error)
        raise AssertionError("welcome")

    async def snapshot(self):
        self.guest = await Client.connect(self.remote, self.token)
        await self.guest.subscribe("/pub/*")
        await self.guest.expect("/pub/a", 1)
        seen = self.guest.clasp._params
        assert "/secret/key" not in seen, f"the snapshot after WELCOME holds {seen}"
        return f"{seen}"

    async def write(self):
        await self.guest.subscribe("/desk/**")
        await self.guest.clasp.set("/desk/1", 2)
        await self.guest.expect("/desk/1", 2)
        return "/desk/1"

    async def refused_write(self):
        return await self.refused(self.guest.clasp.set("/pub/a", 9))

    async def refused_subscription(self):
        return await self.refused(self.guest.subscribe("/pub/**"))

    async def revoked(self):
        print(json.dumps({"event": "waiting"}), flush=True)
        await asyncio.wait_for(self.guest.gone.wait(), PATIENCE_S)
        return "disconnected"

    async def refused(self, request):
        """This client only prints what the router refuses."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            await request
            self.fence = getattr(self, "fence", 100) + 1
            await self.guest.clasp.set("/desk/fence", self.fence)
            await self.guest.expect("/desk/fence", self.fence)
        assert printed.getvalue().startswith("CLASP error: 301 "), f"no ERROR 301 but {printed.getvalue()!r}"
        return printed.getvalue().strip()


async def main(local, remote, token):
    owner = await Client.connect(local)
    await owner.subscribe("/**")
    for address in ("/secret/key", "/pub/a"):
        await owner.clasp.set(address, 1)
        await owner.expect(address, 1)
    checks = Checks(remote, token)
    failed = 0
    for name in ("wrong_token", "snapshot", "write", "refused_write", "refused_subscription", "revoked"):
        try:
            ok, detail = True, await getattr(checks, name)()
        except Exception as error:  # whatever it is, the other checks go on
            ok, detail = False, repr(error)
        failed += not ok
        print(json.dumps({"check": name, "ok": ok, "detail": detail}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python access.py ws://LOCAL:PORT ws://REMOTE:PORT TOKEN")
    sys.exit(asyncio.run(main(*sys.argv[1:])))
