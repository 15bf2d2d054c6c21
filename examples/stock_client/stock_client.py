# You will see what a sensor sends through the router arrive at a display, by the published Python client alone:
# two values that the router keeps (SET), an event, three stream samples, then the kept value read back twice.
#
#   cargo run --release -p router-lite                            (in another terminal)
#   python3 -m venv venv && venv/bin/pip install clasp-to==4.2.0
#   venv/bin/python examples/stock_client/stock_client.py [ws://127.0.0.1:7330]

import asyncio
import sys

from clasp import Clasp
from clasp.client import ClaspError

ROOM = "/sensors/kitchen"


def within(awaitable, seconds=5.0):
    return asyncio.wait_for(awaitable, seconds)


async def connect(url, name):
    client = Clasp(url, name=name, reconnect=False)
    await within(client.connect())
    return client


async def main(url):
    sensor, display = await connect(url, "sensor"), await connect(url, "display")
    print(f"connected to {url}")

    seen = asyncio.Queue()
    display.subscribe("/sensors/**", lambda value, address: seen.put_nowait((address, value)))
    # SUBSCRIBE has no reply. A SET comes back to its sender: when it does, the subscription is there.
    await display.set("/sensors/display", display.session_id)
    while await within(seen.get()) != ("/sensors/display", display.session_id):
        pass
    while not seen.empty():  # what an earlier run left in the router
        seen.get_nowait()

    await sensor.set(f"{ROOM}/temperature", 21.5)
    await sensor.set(f"{ROOM}/temperature", 21.75)
    await sensor.emit(f"{ROOM}/door", {"state": "open"})
    for loudness in (0.31, 0.28, 0.35):
        await sensor.stream(f"{ROOM}/loudness", loudness)
    for _ in range(6):
        address, value = await within(seen.get())
        print(f"display  sees {address} = {value}")

    newcomer = await connect(url, "newcomer")
    for name, client in (("sensor", sensor), ("newcomer", newcomer)):
        print(f"{name:8} gets {ROOM}/temperature = {await client.get(f'{ROOM}/temperature')}")
    for client in (sensor, display, newcomer):
        await client.close()


try:
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:7330"))
except (ClaspError, asyncio.TimeoutError, OSError) as error:
    sys.exit(f"stock_client: {str(error) or 'nothing arrived within 5 s'}")
