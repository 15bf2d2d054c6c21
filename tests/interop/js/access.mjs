// The published JavaScript client (@clasp-to/core 3.3.2) uses a router from elsewhere, with a token for `read:/pub/*` and
// `write:/desk/**`, and asserts what that lets it do.
//
// node access.mjs LOCAL REMOTE TOKEN
//
// Same checks and output as py/access.py.

import WebSocket from "ws";
import { Clasp } from "@clasp-to/core";

// Node has no WebSocket of its own before version 22; the client looks for the browser's global.
globalThis.WebSocket = WebSocket;

const PATIENCE_MS = 5000;

function within(work, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

class Client {
  static async connect(url, token) {
    const client = new Client();
    const builder = Clasp.builder(url).withName("access").withReconnect(false);
    client.clasp = await within((token ? builder.withToken(token) : builder).connect(), "no welcome or refusal");
    client.waiting = [];
    client.gone = new Promise((resolve) => client.clasp.onDisconnect(resolve));
    return client;
  }

  subscribe(pattern) {
    this.clasp.subscribe(pattern, (value, address) => {
      this.waiting = this.waiting.filter((one) => one.address !== address || one.value !== value || one.resolve());
    });
  }

  // Asked for before it is caused.
  expect(address, value) {
    const come = new Promise((resolve) => this.waiting.push({ address, value, resolve }));
    return within(come, `no ${address} = ${value}`);
  }
}

async function refused(world, request) {
  request();
  world.fence = (world.fence ?? 100) + 1;
  const come = world.guest.expect("/desk/fence", world.fence);
  world.guest.clasp.set("/desk/fence", world.fence);
  await come;
  const error = world.guest.clasp.getLastError();
  if (error?.code !== 301) throw new Error(`expected ERROR 301, got ${JSON.stringify(error)}`);
  return `${error.message} at ${error.address}`;
}

const checks = {
  async wrong_token({ remote }) {
    const wrong = Client.connect(remote, `cpsk_${"0".repeat(32)}`);
    const outcome = await wrong.then(() => "welcome", (error) => error.message);
    if (/^welcome$|within/.test(outcome)) throw new Error(outcome);
    return outcome;
  },

  async snapshot(world) {
    world.guest = await Client.connect(world.remote, world.token);
    const come = world.guest.expect("/pub/a", 1);
    world.guest.subscribe("/pub/*");
    await come;
    const secret = world.guest.clasp.cached("/secret/key");
    if (secret !== undefined) throw new Error(`the snapshot after WELCOME holds /secret/key = ${secret}`);
    return "what may be read";
  },

  async write({ guest }) {
    guest.subscribe("/desk/**");
    const come = guest.expect("/desk/1", 2);
    guest.clasp.set("/desk/1", 2);
    await come;
    return "/desk/1";
  },

  refused_write: (world) => refused(world, () => world.guest.clasp.set("/pub/a", 9)),

  refused_subscription: (world) => refused(world, () => world.guest.subscribe("/pub/**")),

  async revoked({ guest }) {
    console.log(JSON.stringify({ event: "waiting" }));
    await within(guest.gone, "not disconnected");
    return "disconnected";
  },
};

const [local, remote, token] = process.argv.slice(2);
if (!token) {
  console.error("usage: node access.mjs ws://LOCAL:PORT ws://REMOTE:PORT TOKEN");
  process.exit(2);
}
const owner = await Client.connect(local);
owner.subscribe("/**");
for (const address of ["/secret/key", "/pub/a"]) {
  const come = owner.expect(address, 1);
  owner.clasp.set(address, 1);
  await come;
}
const world = { remote, token };
let failed = 0;
for (const [check, body] of Object.entries(checks)) {
  try {
    console.log(JSON.stringify({ check, ok: true, detail: await body(world) }));
  } catch (error) {
    failed += 1;
    console.log(JSON.stringify({ check, ok: false, detail: error.message }));
  }
}
process.exit(failed === 0 ? 0 : 1);
