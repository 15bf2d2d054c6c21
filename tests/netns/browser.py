"""People with browsers: the page of a device, paired by code, and the module it is made of, in a real Chromium on a third host."""
import json
import os
import signal
import subprocess
import time

from neighbours import Device
from networks import PREFIX, sh
from processes import Process, until
from webdriver import Browser

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.join(HERE, "../interop/.venv/bin/python")  # with the published client: `tests/interop/run clients` makes it
LAPTOP = "neighbour"
PORT = 7330
PICTURES = os.environ.get("PICTURES")  # a folder for screenshots, if they are to be kept
SHARES = ["--share", "/sensors/**", "--share", "/lamps/**", "--share", "/echo/**"]

# A tab of its own, in which the module is used without the page.
BARE = "/clasp-wire.js"
PEER = """
    const { Identity, Peer } = await import("/clasp-peer.js");
    const becomes = (target, done, seconds = 20) => new Promise((resolve, reject) => {
        const look = () => done() && resolve();
        setTimeout(() => reject(new Error(`it did not happen within ${seconds} s: ${window.link?.state} ${window.link?.why}`)), 1000 * seconds);
        target.addEventListener("change", look);
        look();
    });
    const open = async (options = {}) => {
        window.identity = await Identity.load();
        window.peer = new Peer({ url: `ws://${location.host}/`, identity, ...options });
        await becomes(peer, () => peer.state === "ready" && identity.pairs.every((pair) => peer.find(pair.device)));
    };
"""


class Home(Device):
    """A device that shares what it has."""

    def start(self, env=None):
        options = ["--name", self.host, "--trust", "paired", "--json", "--control", self.socket, "--rate", "2000", *SHARES]
        self.node = Process(self.host, "clasp-node", "run", *options, env=env)
        self.node.event("router_ready", 5)

    def client(self, *command, **options):
        return Process(self.host, "clasp-node", *command, "--router", f"ws://127.0.0.1:{PORT}", **options)


def laptop(network):
    """Has a way to the rest of the world, as at home: without one Chromium looks for no addresses of its own."""
    sh(f"ip -n {PREFIX}{LAPTOP} route replace default via {network.address('kitchen')}")


def url(network, host, path="/"):
    return f"http://{network.address(host)}:{PORT}{path}"


def done(process):
    """A command has ended well."""
    assert process.child.wait(20) == 0, process.log[-3:]
    return True


def sign_in(browser, device):
    """Pairs a browser whose page is open, as a person would; returns the digits both say."""
    shown = device.ask("pair", "--show", "--json")
    code = shown.event("shown", 5)[1]["shown"]["code"]
    browser.type("#code", code)
    browser.click("#pair-button")
    paired = shown.event("paired", 20)[1]["paired"]
    until("the page shows the device", lambda: browser.shown("#signed-in"), 10)
    until("the link is open", lambda: browser.text("#state") == "open", 10)
    assert paired["check"] in browser.text("#check"), (paired, browser.text("#check"))
    return paired


def unpaired(browser, network):
    """What a browser that is not paired gets: the form to sign in, and a router that refuses everything but signals."""
    browser.open(url(network, "kitchen"))
    until("the page asks for a code", lambda: browser.shown("#sign-in"), 10)
    assert not browser.shown("#signed-in")
    seen = browser.run("""
        const { encode, decode } = await import("/clasp-wire.js");
        const socket = new WebSocket(`ws://${location.host}/`, "clasp");
        socket.binaryType = "arraybuffer";
        await new Promise((resolve) => (socket.onopen = resolve));
        const got = [];
        socket.onmessage = ({ data }) => got.push(decode(new Uint8Array(data)));
        for (const message of [
            { type: "hello", name: "stranger" },
            { type: "subscribe", id: 1, pattern: "/**" },
            { type: "set", address: "/sensors/temp", value: 1 },
            { type: "publish", signal: "event", address: "/sensors/door", value: 1 },
            { type: "ping" },
        ]) socket.send(encode(message));
        while (!got.some(({ type }) => type === "pong")) await new Promise((resolve) => setTimeout(resolve, 5));
        socket.close();
        return got.map(({ type, code, params }) => code ?? (params ? params.length : type));
    """)
    assert seen == ["welcome", 0, 301, 301, 301, "pong"], f"an unpaired browser got {seen}"
    browser.type("#code", "0000-0000")
    browser.click("#pair-button")
    until("it is told that nobody shows a code", lambda: "no device shows a code" in browser.text("#pair-error"), 5)


def hides(browser):
    """Whether the browser hides its address from the page, and so from the node."""
    return browser.run("""
        const pc = new RTCPeerConnection();
        pc.createDataChannel("");
        const candidate = new Promise((resolve) => (pc.onicecandidate = ({ candidate }) => candidate && resolve(candidate.address)));
        await pc.setLocalDescription();
        const address = await candidate;
        pc.close();
        return address.endsWith(".local");
    """)


def wrong_code(browser, device):
    shown = device.ask("pair", "--show", "--json")
    code = shown.event("shown", 5)[1]["shown"]["code"]
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    browser.type("#code", wrong)
    browser.click("#pair-button")
    until("it is told so", lambda: "not the code" in browser.text("#pair-error"), 15)
    shown.kill(signal.SIGINT)


def asks(kitchen, pattern):
    """How many ask the kitchen for this."""
    return sum(pattern in link["asked"] for link in kitchen.answer("status")["shares"]["links"])


def sensor(kitchen, address, count):
    """A hundred a second, from the published Python client."""
    return Process(kitchen.host, PYTHON, os.path.join(HERE, "sensor.py"), f"ws://127.0.0.1:{PORT}", address, str(count), "100")


def latency(browser, kitchen, garden):
    """A sensor at 100 Hz on the kitchen: what its page and a client in the garden get, each value once and in order, and how old. Where
    this machine has been busy with something else, they are given another run: not for what is lost."""
    browser.run(PEER + """
        await open();
        window.link = peer.link(identity.pairs[0].device);
        await becomes(link, () => link.state === "open");
    """)
    for left in (2, 1, 0):
        told, worst = aged(browser, kitchen, garden)
        if worst < 20:
            return f"100 Hz {told}"
        assert left, told
    return None


def aged(browser, kitchen, garden):
    count = 1000
    display = garden.client("sub", "/sensors/clock", "--json")
    browser.run("""
        window.got = [];
        window.enough = link.subscribe("/sensors/clock", ({ value }) => got.push([value.n, performance.timeOrigin + performance.now() - value.at]));
    """)
    until("both ask for it", lambda: asks(kitchen, "/sensors/clock") == 2, 10)
    begun = time.time() * 1000 - time.monotonic() * 1000
    sensor(kitchen, "/sensors/clock", count)
    until("the page got all", lambda: browser.run("return got.length") >= count, 40)
    until("the garden got all", lambda: display.lines.qsize() >= count, 10)
    lines = [display.lines.get_nowait() for _ in range(count)]
    values = [(json.loads(line)["value"], begun + came * 1000) for came, line in lines]
    heard = {"the page": browser.run("return got"), "the garden": [(value["n"], came - value["at"]) for value, came in values]}
    told, worst = [], 0
    for who, got in heard.items():
        assert [number for number, _ in got] == list(range(count)), f"{who}: lost, doubled or out of order"
        ages = sorted(age for _, age in got)
        p50, p99 = ages[count // 2], ages[count * 99 // 100]
        worst = max(worst, p99)
        told.append(f"to {who} p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    display.kill(signal.SIGINT)
    browser.run("enough()")
    until("nobody asks any more", lambda: asks(kitchen, "/sensors/clock") == 0, 10)
    return ", ".join(told), worst


def outage(network, browser, kitchen, garden):
    """No datagram leaves the kitchen for two seconds: nothing is lost to anybody, and no program is started again. After some more the
    link to the page would end: then what is on its way is lost, and only parameters come again."""
    count = 800
    display = garden.client("sub", "/sensors/bell", "--json")
    browser.run("window.rings = []; link.subscribe('/sensors/bell', ({ value }) => rings.push(value.n))")
    until("both ask for it", lambda: asks(kitchen, "/sensors/bell") == 2, 10)
    sensor(kitchen, "/sensors/bell", count)
    until("it has begun", lambda: display.lines.qsize() > 100, 10)
    cut = ["ip", "netns", "exec", f"{PREFIX}kitchen", "nft"]
    block = "table inet cut { chain out { type filter hook output priority 0; meta l4proto udp drop; }; }"
    subprocess.run([*cut, "-f", "-"], input=block, text=True, check=True)
    time.sleep(2)  # as long as the outage is to last
    subprocess.run([*cut, "delete", "table", "inet", "cut"], check=True)
    begun = time.monotonic()
    until("the page got all", lambda: browser.run("return rings.length") >= count, 30)
    until("the garden got all", lambda: display.lines.qsize() >= count, 30)
    took = time.monotonic() - begun
    rings = browser.run("return rings")
    assert rings == list(range(count)), f"the page got {len(rings)}, wrong from number {next(n for n, ring in enumerate(rings) if ring != n)}"
    assert [json.loads(line)["value"]["n"] for _, line in display.lines.queue] == list(range(count)), "the garden"
    done(kitchen.client("set", "/sensors/late", "1"))
    late = garden.client("sub", "/sensors/late", "-c", "1")
    until("a late joiner gets the last value", lambda: not late.lines.empty(), 10)
    assert late.lines.get_nowait()[1] == "/sensors/late\t1"
    display.kill(signal.SIGINT)
    return f"all {count} of an outage of 2 s within {took:.1f} s of its end"


def sizes(browser, kitchen):
    """Messages of all sizes both ways."""
    listener = kitchen.client("sub", "/echo/in", "--json")
    until("it listens", lambda: listener.child.poll() is None and kitchen.answer("status"), 5)
    wanted = [1, 2, 100, 1000, 16 * 1024 - 40, 16 * 1024, 60_000]
    browser.run("window.back = []; link.subscribe('/echo/**', ({ address, value }) => back.push([address, value.length]))")
    heard = lambda: list(listener.lines.queue)
    # Until the subscription of the client is known at the router, what comes for it goes nowhere.
    until("the client hears", lambda: browser.run("return link.publish('/echo/in', 'x')") and heard(), 10)
    already = len(heard())
    sent = browser.run("return args[0].map((size) => link.publish('/echo/in', 'x'.repeat(size)))", wanted)
    assert all(sent), sent
    lengths = lambda: [len(json.loads(line)["value"]) for _, line in heard()[already:]]
    until("all have arrived", lambda: lengths()[-len(wanted):] == wanted, 10)
    done(kitchen.client("pub", "/echo/out", "--text", "y"))
    for size in wanted[1:]:
        speaker = kitchen.client("pub", "/echo/out", "--text", "-", stdin=subprocess.PIPE)
        speaker.child.stdin.write(b"y" * size + b"\n")
        speaker.child.stdin.close()
        assert speaker.child.wait(10) == 0, speaker.log
    until("all are back", lambda: [size for address, size in browser.run("return back") if address == "/echo/out"] == wanted, 10)
    limit = browser.run("return link.maxMessageSize")
    refused = browser.run("try { link.send(new Uint8Array(link.maxMessageSize + 1)); return null } catch (error) { return error.name }")
    assert refused == "RangeError", refused
    listener.kill(signal.SIGINT)
    return f"1 to {max(wanted)} bytes both ways (the node takes {limit})"


def thousand_hertz(browser, kitchen):
    """A stream at 1 kHz for 10 s to the page's module, over the channel that may lose."""
    count = 10_000
    browser.run("window.streamed = 0; link.subscribe('/sensors/fast', () => (streamed += 1))")
    until("the wish has travelled", lambda: any(
        "/sensors/fast" in link["asked"] for link in kitchen.answer("status")["shares"]["links"]), 10)
    source = kitchen.client("pub", "--stream", "/sensors/fast", "-", stdin=subprocess.PIPE)
    begun = time.monotonic()
    for number in range(count):
        source.child.stdin.write(f"{number}\n".encode())
        if number % 10 == 9:
            source.child.stdin.flush()
            time.sleep(max(0, begun + (number + 1) / 1000 - time.monotonic()))  # the source's own clock
    source.child.stdin.close()
    assert source.child.wait(10) == 0, source.log[-3:]
    took = time.monotonic() - begun
    until("the last ones came", lambda: browser.run("return streamed") > 0.99 * count, 10)
    return f"1 kHz for {took:.1f} s: {browser.run('return streamed')} of {count}"


def again(browser):
    """Closed and opened again."""
    begun = time.monotonic()
    browser.run(PEER + """
        link.close();
        if (link.state !== "closed" || peer.links.length) throw new Error("it is still there");
        window.link = peer.link(identity.pairs[0].device);
        await becomes(link, () => link.state === "open");
    """)
    return time.monotonic() - begun


def restarted(browser, kitchen):
    """The node is killed while the link is open, and started again; what the page has subscribed to, it gets again."""
    browser.run("window.after = []; link.subscribe('/sensors/after', ({ value }) => after.push(value))")
    kitchen.stop(signal.SIGKILL)
    begun = time.monotonic()
    kitchen.start()
    browser.run(PEER + "await becomes(link, () => link.state !== 'open'); await becomes(link, () => link.state === 'open')")
    took = time.monotonic() - begun
    until("it hears", lambda: done(kitchen.client("set", "/sensors/after", "1")) and browser.run("return after.length"), 10)
    return took


def called(browser, network, host):
    """The module waits for the device to call: it answers, on both channels."""
    browser.open(url(network, host, BARE))
    browser.run(PEER + """
        window.calls = [];
        const identity = await Identity.load();
        window.peer = new Peer({ url: `ws://${location.host}/`, identity, accept: true });
        peer.addEventListener("link", ({ detail }) => {
            window.link = detail;
            detail.subscribe("/sensors/**", ({ value }) => calls.push(value));
        });
        await becomes(peer, () => peer.links[0]?.state === "connecting" || peer.links[0]?.state === "open", 30);
        window.link = peer.links[0];
        await becomes(link, () => link.state === "open");
    """)


def page_in_a_browser(network):
    """Sign-in only until paired; then values, both channels, restarts; as offerer and as answerer; two browsers at once."""
    laptop(network)
    kitchen, garden = Home("kitchen"), Home("garden")
    first, second = Browser(LAPTOP, 9515), Browser(LAPTOP, 9516)
    unpaired(first, network)
    assert hides(first), "the candidates of this browser are plain"
    wrong_code(first, kitchen)
    begun = time.monotonic()
    paired = sign_in(first, kitchen)
    took = time.monotonic() - begun
    shown = garden.ask("pair", "--show", "--json")
    os.environ["CLASP_NODE_CODE"] = shown.event("shown", 5)[1]["shown"]["code"]
    done(kitchen.ask("pair", "garden"))
    del os.environ["CLASP_NODE_CODE"]

    for number, value in enumerate((20.5, 21.0, 21.25, 21.0, 20.75)):
        done(kitchen.client("set", "/sensors/temp", str(value)))
        done(kitchen.client("set", "/sensors/door", json.dumps({"open": number % 2 == 0})))
    until("the page shows the value", lambda: "20.75" in first.text("#values"), 10)
    until("and the chart", lambda: "now 20.75" in first.text("#chart-note"), 10)
    until("and the device's links", lambda: "garden" in first.text("#links"), 15)
    until("and the path", lambda: network.address("kitchen") in first.text("#about"), 10)
    lamp = kitchen.client("sub", "/lamps/1", "-c", "1")
    until("the page sets a lamp", lambda: first.click("#send button") or not lamp.lines.empty(), 10)
    assert lamp.lines.get_nowait()[1] == "/lamps/1\t0.5"
    if PICTURES:
        pictures(first, kitchen)
    assert first.complaints() == [], first.complaints()

    first.open(url(network, "kitchen", BARE))
    timely = latency(first, kitchen, garden)
    through = outage(network, first, kitchen, garden)
    sized = sizes(first, kitchen)
    fast = thousand_hertz(first, kitchen)
    reopened = again(first)
    back = restarted(first, kitchen)

    # The second one as a phone does: its camera opens the page with the text of the QR code behind it.
    shown = kitchen.ask("pair", "--show", "--json")
    invitation = shown.event("shown", 5)[1]["shown"]
    assert invitation["page"] == url(network, "kitchen"), invitation["page"]
    second.open(f"{invitation['page']}#{invitation['qr']}")
    until("the second one's link is open", lambda: second.text("#state") == "open", 20)
    assert shown.event("paired", 5)[1]["paired"]["check"] in second.text("#check")
    assert "clasp:pair" not in second.run("return location.href"), "the secret stays in the address"
    done(kitchen.client("set", "/sensors/both", "7"))
    until("both get it", lambda: "/sensors/both" in second.text("#values"), 10)
    until("the garden is back as well", lambda: len(kitchen.links()) == 3, 20)

    called(first, network, "kitchen")
    done(kitchen.client("set", "/sensors/called", "8"))
    until("who was called gets it", lambda: 8 in first.run("return calls"), 10)

    done(kitchen.ask("forget", paired["name"]))
    first.open(url(network, "kitchen"))
    until("the forgotten one is told", lambda: "not paired" in first.text("#state"), 15)
    assert first.text("#values") == "", first.text("#values")
    until("and asked for a code", lambda: first.shown("#sign-in"), 5)
    sign_in(first, kitchen)
    for browser in (first, second):
        browser.close()
    for device in (kitchen, garden):
        device.stop(signal.SIGTERM)
    return f"paired in {took:.2f} s; {timely}; {through}; {sized}; {fast}; reopened in {reopened:.2f} s; after a restart {back:.2f} s"


ECHO = """
    // One message after the other, each of which has to come back as it was.
    window.echo = (bytes, reliable = true) => new Promise((resolve, reject) => {
        const back = ({ detail }) => {
            link.removeEventListener("data", back);
            const same = detail.reliable === reliable && detail.bytes.length === bytes.length && detail.bytes.every((byte, n) => byte === bytes[n]);
            same ? resolve() : reject(new Error(`${bytes.length} bytes came back as ${detail.bytes.length}`));
        };
        link.addEventListener("data", back);
        if (!link.send(bytes, { reliable })) reject(new Error("not taken"));
    });
    window.noise = (size) => Uint8Array.from({ length: size }, (_, n) => (n * 31 + size) & 255);
"""


def echo_in_a_browser(network):
    """Messages of one's own to a node and back: every size, byte by byte; round trips and throughput."""
    laptop(network)
    node = Process("kitchen", "examples/echo")
    code = until("the node shows a code", lambda: not node.lines.empty() and node.lines.get_nowait()[1], 5).removeprefix("code ")
    browser = Browser(LAPTOP, 9515)
    browser.open(url(network, "kitchen", BARE))
    browser.run(PEER + """
        await open();
        await becomes(peer, () => [...peer.seen.values()].some((seen) => seen.pairing));
        const { device } = await peer.pair(args[0]);
        window.link = peer.link(device);
        await becomes(link, () => link.state === "open");
    """ + ECHO, code)
    limit = browser.run("return link.maxMessageSize")
    sizes = [1, 2, 3, 15, 16, 17, 100, 1200, 4096, 16 * 1024, 32 * 1024, 65_535]
    assert limit >= sizes[-1], limit
    browser.run("for (const size of args[0]) await echo(noise(size))", sizes)
    browser.run("for (const size of args[0]) await echo(noise(size), false)", [1, 100, 1000])
    # What is a control frame to a node is an application's message to a peer that is none.
    browser.run("await echo(Uint8Array.of(0x53, 1, 0, 2, 0x40, 0))")
    rtt = sorted(browser.run("""
        const times = [];
        for (let n = 0; n < 2000; n++) {
            const begun = performance.now();
            await echo(noise(64));
            times.push(performance.now() - begun);
        }
        return times;
    """))
    # A node ends a link whose application does not take its data in time: no more is on its way than it sends back meanwhile.
    rates = [browser.run("""
        const [size, total, window] = [args[0], 20_000_000, 128 * 1024];
        const count = Math.ceil(total / size);
        let [sent, back, wake] = [0, 0, () => {}];
        link.addEventListener("data", ({ detail }) => ((back += detail.bytes.length), wake()));
        const message = noise(size);
        const begun = performance.now();
        while (back < count * size) {
            while (sent < count && sent * size - back < window && link.send(message)) sent += 1;
            if (link.state !== "open") throw new Error(link.why);
            await new Promise((resolve) => (wake = resolve));
        }
        return total / 1000 / (performance.now() - begun);
    """, size) for size in (1200, 16 * 1024)]
    browser.close()
    node.kill(signal.SIGTERM)
    p50, p99 = rtt[len(rtt) // 2], rtt[len(rtt) * 99 // 100]
    return f"1 to {sizes[-1]} bytes come back; round trip of 64 bytes p50 {p50:.2f} ms, p99 {p99:.2f} ms; " \
        f"there and back at once: {rates[0]:.1f} MB/s in messages of 1200 bytes, {rates[1]:.1f} MB/s in 16 KiB"


def pictures(browser, kitchen):
    """A minute's worth of a sensor, and the page on four screens."""
    import math
    sensor = kitchen.client("set", "/sensors/temp", "-", stdin=subprocess.PIPE)
    for number in range(300):
        sensor.child.stdin.write(f"{21 + 2 * math.sin(number / 25) + 0.3 * math.sin(number / 3):.2f}\n".encode())
        sensor.child.stdin.flush()
        time.sleep(0.05)
    os.makedirs(PICTURES, exist_ok=True)
    for name, width, height, phone in (("desktop", 1100, 860, False), ("phone", 390, 844, True)):
        for dark in (False, True):
            browser.screenshot(os.path.join(PICTURES, f"{name}-{'dark' if dark else 'light'}.png"), width, height, dark, phone)
    sensor.child.stdin.close()
