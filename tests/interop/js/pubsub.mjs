// The published JavaScript client (@clasp-to/core 3.3.2) goes through hello, subscribe, set/get, event, stream, bundle
// and late join against a router, asserting each step.
//
// node pubsub.mjs ws://127.0.0.1:7330
//
// Prints one JSON line per check, {"check":NAME,"ok":BOOL,"detail":TEXT}, and exits with 1 if one failed. Same checks
// and roles as src/bin/stock_pubsub.rs.

import { isDeepStrictEqual } from "node:util";
import WebSocket from "ws";
import { Clasp } from "@clasp-to/core";

// Node has no WebSocket of its own before version 22; the client looks for the browser's global.
globalThis.WebSocket = WebSocket;

const PATIENCE_MS = 5000;
const SAMPLES = 50;
const ROOT = "/interop/js";

class Client {
  static async connect(url, name) {
    const client = new Client();
    client.clasp = await Clasp.builder(url).withName(name).withReconnect(false).connect();
    client.inbox = [];
    client.wake = () => {};
    return client;
  }

  subscribe(pattern) {
    return this.clasp.subscribe(pattern, (value, address) => {
      this.inbox.push({ address, value });
      this.wake();
    });
  }

  // The next delivery at this address must carry this value.
  async expect(address, value) {
    for (;;) {
      const got = await this.next(address);
      if (got.address !== address) continue;
      if (isDeepStrictEqual(got.value, value)) return `${address} = ${show(value)}`;
      throw new Error(`${address}: expected ${show(value)}, got ${show(got.value)}`);
    }
  }

  // Everything up to and without this delivery.
  async until(address, value) {
    const passed = [];
    for (;;) {
      const got = await this.next(address);
      if (got.address === address && isDeepStrictEqual(got.value, value)) return passed;
      passed.push(got);
    }
  }

  async next(awaited) {
    if (this.inbox.length === 0) {
      await new Promise((resolve, reject) => {
        const late = () => reject(new Error(`nothing at ${awaited} within ${PATIENCE_MS} ms`));
        const timer = setTimeout(late, PATIENCE_MS);
        this.wake = () => {
          clearTimeout(timer);
          this.wake = () => {};
          resolve();
        };
      });
    }
    return this.inbox.shift();
  }
}

function show(value) {
  return value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString("hex")}` : JSON.stringify(value);
}

// Whatever the subscriber sent before has been carried out by the router when the emitter hears this.
async function fence(subscriber, emitter, number) {
  subscriber.clasp.emit(`${ROOT}/ping`, number);
  await emitter.until(`${ROOT}/ping`, number);
}

const checks = {
  hello({ subscriber, emitter, setter }) {
    const sessions = [subscriber, emitter, setter].map((client) => client.clasp.session);
    if (new Set(sessions).size !== 3 || sessions.some((id) => id?.length !== 36)) {
      throw new Error(`not three different UUIDs: ${sessions}`);
    }
    return sessions.join(" ");
  },

  async set_echo({ setter }) {
    setter.subscribe(`${ROOT}/ready`);
    setter.subscribe(`${ROOT}/setter`);
    setter.clasp.set(`${ROOT}/ready`, 1);
    return setter.expect(`${ROOT}/ready`, 1);
  },

  // The subscription's SNAPSHOT holds what was set after the subscriber connected: it does not come from the one that
  // follows WELCOME. A SET outside the pattern is not delivered.
  async subscribe({ subscriber, emitter, setter }) {
    for (const client of [subscriber, emitter]) {
      client.subscribe(`${ROOT}/**`);
      await client.expect(`${ROOT}/ready`, 1);
    }
    setter.clasp.set("/elsewhere/js", 1);
    setter.clasp.set(`${ROOT}/inside`, 2);
    await emitter.expect(`${ROOT}/inside`, 2);
    await subscriber.expect(`${ROOT}/inside`, 2);
    const stray = subscriber.clasp.cached("/elsewhere/js");
    if (stray !== undefined) throw new Error(`delivered without a subscription: /elsewhere/js = ${show(stray)}`);
    return "what matches, nothing else";
  },

  // Everybody but the sender gets an event.
  async event({ subscriber, emitter }) {
    emitter.clasp.emit(`${ROOT}/event`, { cue: "intro", bar: 12 });
    await subscriber.expect(`${ROOT}/event`, { cue: "intro", bar: 12 });
    subscriber.clasp.emit(`${ROOT}/event`, "from the subscriber");
    return emitter.expect(`${ROOT}/event`, "from the subscriber");
  },

  async stream({ subscriber, emitter }) {
    for (let sample = 0; sample < SAMPLES; sample++) emitter.clasp.stream(`${ROOT}/stream`, sample);
    for (let sample = 0; sample < SAMPLES; sample++) await subscriber.expect(`${ROOT}/stream`, sample);
    return `${SAMPLES} samples in order`;
  },

  async set({ subscriber, setter }) {
    setter.clasp.set(`${ROOT}/level`, 0.5);
    return subscriber.expect(`${ROOT}/level`, 0.5);
  },

  async values({ subscriber, setter }) {
    const all = [
      null, true, -7, 1.5, "Gr\u00fc\u00dfe \u{1f39b}", new Uint8Array([0, 1, 254, 255]), [1, "two", []],
      { inner: { deep: 0.25 }, none: null },
    ];
    all.forEach((value, at) => setter.clasp.set(`${ROOT}/value/${at}`, value));
    for (const [at, value] of all.entries()) await subscriber.expect(`${ROOT}/value/${at}`, value);
    return `${all.length} values of every kind`;
  },

  // The address is outside the subscriber's patterns, so its cache cannot answer for the router.
  async get({ subscriber, setter }) {
    setter.clasp.set("/interop-get/js", 42);
    setter.clasp.set(`${ROOT}/fence`, 1);
    await subscriber.expect(`${ROOT}/fence`, 1);
    const got = await subscriber.clasp.get("/interop-get/js");
    if (got !== 42) throw new Error(`get answered ${show(got)}`);
    return "42";
  },

  async bundle({ subscriber, setter }) {
    setter.clasp.bundle([
      { set: [`${ROOT}/bundle/1`, 1] },
      { set: [`${ROOT}/bundle/2`, 0] },
      { emit: [`${ROOT}/bundle/3`, "done"] },
    ]);
    await subscriber.expect(`${ROOT}/bundle/1`, 1);
    await subscriber.expect(`${ROOT}/bundle/2`, 0);
    return subscriber.expect(`${ROOT}/bundle/3`, "done");
  },

  // The client's cache follows whatever the router delivers, subscribed or not: it must stop following.
  async unsubscribe({ subscriber, emitter, setter }) {
    const stop = subscriber.subscribe("/interop-un/js");
    await fence(subscriber, emitter, 1);
    setter.clasp.set("/interop-un/js", 1);
    await subscriber.expect("/interop-un/js", 1);
    stop();
    await fence(subscriber, emitter, 2);
    setter.clasp.set("/interop-un/js", 2);
    setter.clasp.set(`${ROOT}/fence`, 2);
    await subscriber.expect(`${ROOT}/fence`, 2);
    const cached = subscriber.clasp.cached("/interop-un/js");
    if (cached !== 1) throw new Error(`the router went on: ${show(cached)}`);
    return "nothing after UNSUBSCRIBE";
  },

  async refused_pattern({ subscriber, emitter, setter }) {
    subscriber.subscribe("no-slash");
    await fence(subscriber, emitter, 3);
    setter.clasp.set(`${ROOT}/fence`, 3);
    await subscriber.expect(`${ROOT}/fence`, 3);
    const error = subscriber.clasp.getLastError();
    if (error?.code !== 202) throw new Error(`expected ERROR 202, got ${show(error)}`);
    return error.message;
  },

  // A newcomer gets what was set before it came, and no event that was.
  async late_join({ url, setter }) {
    const latecomer = await Client.connect(url, "latecomer");
    latecomer.subscribe(`${ROOT}/**`);
    const before = await latecomer.until(`${ROOT}/level`, 0.5);
    setter.clasp.set(`${ROOT}/fence`, 4);
    const after = await latecomer.until(`${ROOT}/fence`, 4);
    const replayed = [...before, ...after].find(({ address }) => address === `${ROOT}/event`);
    if (replayed) throw new Error(`an old event was replayed: ${show(replayed)}`);
    latecomer.clasp.close();
    return "state yes, events no";
  },

  async setter_survives({ subscriber, setter }) {
    subscriber.clasp.emit(`${ROOT}/setter`, "still there?");
    return setter.expect(`${ROOT}/setter`, "still there?");
  },
};

const url = process.argv[2];
if (!url) {
  console.error("usage: node pubsub.mjs ws://HOST:PORT");
  process.exit(2);
}
const world = { url };
for (const name of ["subscriber", "emitter", "setter"]) world[name] = await Client.connect(url, name);
let failed = 0;
for (const [check, body] of Object.entries(checks)) {
  try {
    console.log(JSON.stringify({ check, ok: true, detail: await body(world) }));
  } catch (error) {
    failed += 1;
    console.log(JSON.stringify({ check, ok: false, detail: error.message }));
  }
}
for (const name of ["subscriber", "emitter", "setter"]) world[name].clasp.close();
process.exitCode = failed === 0 ? 0 : 1;
