"""The programs of examples/README.md on two devices, which are two nodes here: they print what is shown there, to the letter.

    python examples.py NODE ACTUATOR

NODE and ACTUATOR are the built programs; the published clients are those that `run` has installed beside this file.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "../../examples")
sys.path.insert(0, os.path.join(HERE, ".."))
from programs import Program, stop_all, until

NODE, ACTUATOR = (os.path.abspath(program) for program in sys.argv[1:3])
PYTHON = os.path.join(HERE, ".venv/bin/python")
SHARE = ("--share", "/sensors/**", "--share", "/actuators/**")
SHOWN_URL = "ws://127.0.0.1:7330"
SOON = 20  # seconds


class Device:
    """A node with a router, a state and a control socket of its own; everything stays on the loopback interface."""

    def __init__(self, folder, name, *options):
        place = os.path.join(folder, name)
        os.mkdir(place)
        self.env = {
            "CLASP_NODE_STATE": f"{place}/state",
            "CLASP_NODE_CONTROL": f"{place}/control.sock",
            "CLASP_NODE_CONFIG": "/dev/null",
            "CLASP_NODE_NO_DISCOVERY": "1",
        }
        bind = ("--bind", "127.0.0.1:0", "--loopback")
        self.node = Program(NODE, "run", "--json", "--name", name, *bind, *SHARE, *options, env=self.env)
        self.url = self.node.event("listening", SOON)["url"]

    def start(self, *command, **env):
        return Program(NODE, *command, env={**self.env, **env})

    def share(self):
        """How the one link of this device is used, if it has one."""
        links = json.loads(self.start("status", "--json").finish()[0])["shares"]["links"]
        return links[0] if links else {"asked": [], "wishes": []}


def shown(heading, url, block=0):
    """What the README says is printed: the lines of this block of output below a heading."""
    with open(os.path.join(EXAMPLES, "README.md"), encoding="utf-8") as file:
        section = re.split(r"^## ", file.read(), flags=re.MULTILINE)
    section = next(text for text in section if text.startswith(f"{heading}\n"))
    blocks = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    return blocks[block].replace(SHOWN_URL, url).splitlines()


def prints(program, wanted):
    """It prints these lines next."""
    got = []
    for line in wanted:
        got.append(program.line(SOON))
        assert got[-1] == line, f"{program.child.args} printed {got!r} where the README has {wanted!r}"


def pair(kitchen, garden):
    """As a person does it who carries the code from one to the other."""
    code = (shows := kitchen.start("pair", "--json")).event("shown", SOON)["shown"]["code"]

    def typed():
        done = garden.start("pair", "kitchen", CLASP_NODE_CODE=code)
        return done.child.wait(SOON) == 0
    until("the devices are paired", typed, SOON)
    shows.finish(SOON)


def dashboard(folder, url):
    """The dashboard beside the installed packages, which are those that it asks for."""
    wants, has = (json.load(open(f"{place}/package.json", encoding="utf-8")) for place in (f"{EXAMPLES}/dashboard", f"{HERE}/js"))
    assert wants["dependencies"] == has["dependencies"], (wants, has)
    shutil.copy(f"{EXAMPLES}/dashboard/dashboard.mjs", folder)
    os.symlink(f"{HERE}/js/node_modules", f"{folder}/node_modules")
    return Program("node", f"{folder}/dashboard.mjs", url)


def quick_start(folder, kitchen, garden):
    """The sensor in the README of the project."""
    with open(f"{EXAMPLES}/../README.md", encoding="utf-8") as file:
        program = next(code for code in re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL) if "/sensors/temp" in code)
    assert SHOWN_URL in program, program
    display = garden.start("sub", "/sensors/**", "-c", "1", "--router", garden.url)
    until("kitchen knows what is wanted", lambda: kitchen.share()["asked"] == ["/sensors/**"], SOON)
    Program(PYTHON, "-c", program.replace(SHOWN_URL, kitchen.url)).finish(SOON)
    assert display.finish(SOON) == ["/sensors/temp\t21.5"]
    return "the five lines of the README reach garden"


def sensors(folder, kitchen, garden):
    display = garden.start("sub", "/sensors/**", "--router", garden.url)
    watching = dashboard(folder, garden.url)
    prints(watching, shown("Dashboard", garden.url)[:1])
    until("kitchen knows what is wanted", lambda: kitchen.share()["asked"] == ["/sensors/**"], SOON)
    assert f"clasp-to=={installed('clasp-to')}\n" in open(f"{EXAMPLES}/README.md", encoding="utf-8").read()
    sensor = Program(PYTHON, f"{EXAMPLES}/sensor.py", kitchen.url)
    prints(sensor, shown("Sensor", kitchen.url))
    prints(display, shown("Display", garden.url))
    prints(watching, shown("Dashboard", garden.url)[1:])
    for program in (sensor, watching):
        program.child.kill()
        program.child.wait(SOON)
    display.stop()
    return "what sensor.py says on kitchen is on the display and the dashboard on garden"


def installed(package):
    listed = subprocess.check_output([PYTHON, "-c", f"from importlib.metadata import version; print(version('{package}'))"], text=True)
    return listed.strip()


def actuator(folder, kitchen, garden):
    led = os.path.join(folder, "brightness")
    actuator = Program(ACTUATOR, kitchen.url, led)
    waiting, *acts = shown("Actuator", kitchen.url)
    prints(actuator, [waiting])
    listener = garden.start("sub", "/actuators/led/state", "--router", garden.url)
    until("both know what is wanted", lambda: garden.share()["asked"] == ["/actuators/led"] and kitchen.share()["asked"] == ["/actuators/led/state"], SOON)
    times = []
    for value, act, answer in zip(("true", "false"), acts, shown("Actuator", garden.url, 1)):
        begun = time.monotonic()
        garden.start("set", "/actuators/led", value, "--router", garden.url).finish(SOON)
        prints(actuator, [act])
        prints(listener, [answer])
        times.append(time.monotonic() - begun)
        with open(led, encoding="utf-8") as file:
            assert file.read() == {"true": "1", "false": "0"}[value]
    actuator.child.kill()
    actuator.child.wait(SOON)
    listener.stop()
    return f"acknowledged on the other device {max(times) * 1e3:.0f} ms after the command was started, at most"


def main():
    for scenario in (quick_start, sensors, actuator):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="clasp-examples-") as folder:
            kitchen = Device(folder, "kitchen")
            garden = Device(folder, "garden", "--router", kitchen.url)
            pair(kitchen, garden)
            result = scenario(folder, kitchen, garden)
            for device in (garden, kitchen):
                device.node.stop()
        print(f"ok      {scenario.__name__}: {result} ({time.monotonic() - begun:.1f} s)", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples.py NODE ACTUATOR")
    try:
        main()
    finally:
        stop_all()
