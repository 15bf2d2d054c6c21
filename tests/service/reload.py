"""SIGHUP, and a router that is a service on its own."""
import json
import os
import signal
import time

from nodes import ELSEWHERE, FOLDER, PROGRAM, Manager, ask, device
from programs import Program

DEBUG = "clasp_node=debug"
LOOKED = "tokens are known"  # a debug line, whenever the stored tokens have been taken over


class Service:
    """A program with a configuration file and tokens, to which clients come from elsewhere."""

    def __init__(self, name, command, *options, env=None):
        self.file = f"{FOLDER.name}/{name}.toml"
        self.tokens = f"{FOLDER.name}/{name}/state/tokens.json"
        self.configure('log = "warn"')
        made = {token: ask(name, "token", "add", token, "--scope", "read:/**,write:/**", "--json") for token in ("kept", "gone")}
        self.secrets = {token: json.loads(answer.splitlines()[0])["token"] for token, answer in made.items()}
        command = (PROGRAM, "--config", self.file, command, "--bind", f"{ELSEWHERE}:0", *options)
        self.process = Program(*command, env={**device(name), **(env or {})})
        self.url = self.process.line(10).removeprefix("listening on ")

    def configure(self, *lines):
        with open(self.file, "w") as file:
            file.writelines(f"{line}\n" for line in lines)

    def stored(self):
        with open(self.tokens) as file:
            return file.read()

    def store(self, text):
        """Replaces the stored tokens, as another process would."""
        new = f"{self.tokens}.new"
        with open(new, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
        os.rename(new, self.tokens)

    def hang_up(self, *lines):
        """SIGHUP: the log has these lines then, in this order, and nothing between them. Returns how many it has up to the last."""
        begin = told = len(self.process.log)
        self.process.child.send_signal(signal.SIGHUP)
        for line in lines:
            told = self.process.says(line, 10, since=told)
        assert told == begin + len(lines), self.process.log[begin:told]
        return told

    def client(self, token, *command):
        return Program(PROGRAM, *command, "--router", self.url, env={"CLASP_NODE_TOKEN": self.secrets[token]})

    def switches(self, value, *subscribers):
        """The lamp is switched, and these see it."""
        self.client("kept", "set", "/attic/lamp", str(value)).finish(10)
        for client in subscribers:
            assert client.line(10) == f"/attic/lamp\t{value}"

    def subscribed(self, token):
        """A client with this token, which has been told of the lamp."""
        client = self.client(token, "sub", "/attic/*")
        client.line(10)
        return client

    def takes_back(self):
        """A token is taken out of the file, and its session is over at SIGHUP; how long after it, and a session that is not over."""
        self.switches(0)
        kept, gone = self.subscribed("kept"), self.subscribed("gone")
        both = self.stored()
        # Once the program has seen a change by itself, it does not look again for two seconds.
        told = len(self.process.log)
        self.store(both)
        self.process.says(LOOKED, 10, since=told)
        tokens = json.loads(both)
        self.store(json.dumps({**tokens, "tokens": [token for token in tokens["tokens"] if token["name"] == "kept"]}))
        begun = time.monotonic()
        self.process.child.send_signal(signal.SIGHUP)
        assert gone.child.wait(10) == 1
        took = time.monotonic() - begun
        gone.says("Token was revoked (300)", 1)
        assert took < 1, took
        self.switches(1, kept)
        return took, kept


def reload():
    """SIGHUP has the log's filter and the tokens taken over, and nothing else; what is faulty is named, and changes nothing."""
    service = Service("reloaded", "run")
    before = ask("reloaded", "id", "--json")
    service.configure(f'log = "{DEBUG}"')
    service.hang_up(LOOKED)
    took, kept = service.takes_back()

    # The line of the tokens is one for debugging: it is there because the filter still is.
    file = service.file
    for fault, lines in {
        "rate = -1": [f"{file}:2: rate: -1 is not allowed"],
        'naem = "x"': [f'{file}:2: "naem": no such setting'],
        "name = ": [f"{file}:2: "],
        f'bind = ["nowhere"]\nrate = "much"': [f"{file}:2: bind: ", f"{file}:3: rate: "],
    }.items():
        service.configure('log = "error"', fault)
        service.hang_up(*(f"not taken over: {line}" for line in lines), LOOKED)
    service.configure('log = "clasp_node=loud"')
    service.hang_up("not taken over: ", LOOKED)
    os.rename(file, f"{file}.away")
    service.hang_up(f"not taken over: {file}: ", LOOKED)
    service.configure(f'log = "{DEBUG}"', "rate = 5", 'name = "other"')
    service.hang_up("needs a restart: name, rate", LOOKED)

    tokens = service.stored()
    service.store("{")
    service.hang_up("needs a restart: ", "the tokens stay as they were: ")
    service.switches(2, kept)
    service.store(tokens)
    service.configure('log = "warn"', 'name = "other"')
    service.hang_up("needs a restart: name")  # so it has been taken over
    service.configure("rate = -1")
    quiet = service.hang_up("not taken over: ")  # and no line of the tokens
    service.switches(3, kept)
    assert ask("reloaded", "id", "--json") == before
    stopped = service.process.stop()
    assert stopped < 1 and len(service.process.log) == quiet, (stopped, service.process.log[quiet:])
    return f"a session is over {took * 1000:.0f} ms after its token was taken back; 8 faults change nothing; gone in {stopped:.2f} s"


def lone_router():
    """`clasp-node router` is ready, well, reloaded and stopped as a node is."""
    manager = Manager()
    service = Service("alone", "router", env=manager.env)
    manager.is_told(service.url)
    service.configure(f'log = "{DEBUG}"')
    service.hang_up(LOOKED)
    took, kept = service.takes_back()
    service.configure('log = "error"', "rate = -1")
    service.hang_up(f"not taken over: {service.file}:2: rate: -1 is not allowed", LOOKED)
    manager.is_fed("a router that is in use")
    stopped = service.process.stop()
    last = manager.last()
    manager.close()
    assert last == "STOPPING=1\n" and stopped < 1, (last, stopped)
    assert kept.child.wait(1) == 1
    kept.says("1001", 1)
    return f"ready, and fed three times in a period; a session is over {took * 1000:.0f} ms after its token was taken back; clients are told at the end, and it is gone in {stopped:.2f} s"
