"""A sensor at a steady pace, on the published Python client: python sensor.py URL ADDRESS COUNT PER_SECOND

Each event says which one it is, and when it was sent (Unix time in ms).
"""
import asyncio
import sys
import time

from clasp import Clasp


async def main(url, address, count, per_second):
    clasp = Clasp(url, name="sensor")
    await clasp.connect()
    begun = time.monotonic()
    for number in range(int(count)):
        await clasp.emit(address, {"n": number, "at": time.time() * 1000})
        await asyncio.sleep(max(0, begun + (number + 1) / float(per_second) - time.monotonic()))
    await clasp.close()


asyncio.run(main(*sys.argv[1:]))
