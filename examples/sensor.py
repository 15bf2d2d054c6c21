# A sensor: sets a value once a second at the node on its own machine, with the published Python client.
# examples/README.md says what you will see, and where.
#
#   venv/bin/python examples/sensor.py [ws://127.0.0.1:7330]

import asyncio
import itertools
import sys

from clasp import Clasp


async def main(url="ws://127.0.0.1:7330"):
    clasp = Clasp(url, name="thermometer")
    await clasp.connect()
    for celsius in itertools.cycle((21.5, 21.6, 21.7)):  # where a real one would be read
        await clasp.set("/sensors/temp", celsius)
        print("/sensors/temp", celsius, flush=True)
        await asyncio.sleep(1)


asyncio.run(main(*sys.argv[1:]))
