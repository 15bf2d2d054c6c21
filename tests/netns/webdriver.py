"""A headless Chromium on a host of the network, by the W3C's WebDriver protocol: what a person with a browser does and sees."""
import base64
import ctypes
import http.client
import json
import os
import socket
import tempfile

from networks import PREFIX
from processes import Process, until

# Chromium is kept from calling home, which it cannot reach here: it would do so all the time. Nothing about WebRTC is changed: host
# candidates stay hidden behind `.local` names.
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,1000",
]
NEW_NETWORK = 0x40000000  # CLONE_NEWNET, see setns(2)
libc = ctypes.CDLL(None, use_errno=True)


class _Connection(http.client.HTTPConnection):
    """From a namespace: its socket is made there, and stays there."""

    def __init__(self, host, port, timeout):
        super().__init__("127.0.0.1", port, timeout=timeout)
        self.namespace = f"/run/netns/{PREFIX}{host}"

    def connect(self):
        with open("/proc/thread-self/ns/net") as home, open(self.namespace) as there:
            if libc.setns(there.fileno(), NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                self.sock = socket.create_connection((self.host, self.port), self.timeout)
            finally:
                libc.setns(home.fileno(), NEW_NETWORK)


class Browser:
    """A Chromium with a profile of its own, as fresh as on the first day."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.driver = Process(host, "/usr/bin/chromedriver", f"--port={port}", "--allowed-ips=127.0.0.1", env={"TMPDIR": self.profile.name, "HOME": self.profile.name})
        until("chromedriver answers", self.is_up, 20)
        options = {"args": [*ARGUMENTS, f"--user-data-dir={self.profile.name}/profile"], "binary": "/usr/bin/chromium"}
        capabilities = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self.request("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        self.command("POST", "/timeouts", {"script": 60_000, "pageLoad": 20_000})

    def is_up(self):
        try:
            return self.request("GET", "/status")["ready"]
        except OSError:
            return False

    def request(self, method, path, body=None):
        connection = _Connection(self.host, self.port, 90)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        value = answer["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def command(self, method, path, body=None):
        return self.request(method, f"/session/{self.session}{path}", body)

    def open(self, url):
        self.command("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """Runs an async function's body in the page; what it returns, or an error."""
        wrapped = f"const done = arguments[arguments.length - 1]; (async (...args) => {{ {script} }})(...arguments)" \
            ".then((value) => done({value}), (error) => done({error: String(error?.stack ?? error)}));"
        result = self.command("POST", "/execute/async", {"script": wrapped, "args": list(arguments)})
        assert "error" not in result, result["error"]
        return result.get("value")

    def text(self, selector):
        """What a person sees there; nothing where it is hidden."""
        return self.run("return document.querySelector(args[0])?.innerText ?? null", selector)

    def shown(self, selector):
        return self.run("return Boolean(document.querySelector(args[0])?.getClientRects().length)", selector)

    def element(self, selector):
        return next(iter(self.command("POST", "/element", {"using": "css selector", "value": selector}).values()))

    def type(self, selector, text):
        element = self.element(selector)
        self.command("POST", f"/element/{element}/clear", {})
        self.command("POST", f"/element/{element}/value", {"text": text})

    def click(self, selector):
        self.command("POST", f"/element/{self.element(selector)}/click", {})

    def developer(self, command, **parameters):
        return self.command("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path, width, height, dark, phone):
        """A picture of the page as it is on such a screen."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.developer("Emulation.setEmulatedMedia", features=scheme)
        self.developer("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.run("await new Promise((resolve) => setTimeout(resolve, 600))")  # two refreshes of the page
        wide = self.run("return document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} px wide on a screen of {width}"
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.command("GET", "/screenshot")))

    def complaints(self):
        """What the browser's console says of errors: a broken policy, a failed request, an exception."""
        entries = self.command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self):
        self.command("DELETE", "")
        self.driver.kill(15)
        self.profile.cleanup()
