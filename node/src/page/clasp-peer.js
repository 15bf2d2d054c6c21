// A CLASP peer in a web page: it signals through a router and talks to clasp-edge nodes over WebRTC data channels.
//
//   const identity = await Identity.load();
//   const peer = new Peer({ url: "ws://kitchen.local:7330", identity });
//   await peer.pair("1234-5678");                          // once: the code that `clasp-node pair` shows
//   const link = peer.link(identity.pairs[0].device);
//   link.subscribe("/sensors/**", ({ address, value }) => console.log(address, value));
//   link.set("/lamps/1", 0.5);
//
// It needs the other files beside it whose names begin with `clasp-`. docs/browser.md describes all of it.

import { Backoff, Link } from "./clasp-link.js";
import { Initiator, PairingError, readCode, sealSignal, unsealSignal } from "./clasp-pairing.js";
import { decode, encode } from "./clasp-wire.js";

export { Identity } from "./clasp-identity.js";
export { Link, PairingError };

const ANNOUNCE = "/clasp/p2p/announce";
const SIGNAL = "/clasp/p2p/signal/";

/** Sessions of others that are remembered; the oldest go first. */
const MAX_SEEN = 256;

/** The longest id of a session; routers give them 36 characters. */
const MAX_SESSION_ID = 128;

/** A router that says nothing is given up after this, ms. */
const WELCOME_WITHIN = 10_000;

/** A stock router forgets sessions that it has sent nothing for 300 s: a signal to oneself, ms. */
const KEEP_ALIVE = 60_000;

/** After the code was right a link has to open within this, ms. */
const LINK_WITHIN = 30_000;

/** Another session on the router, as it announces itself, which proves nothing. */
class Seen {
  constructor({ session_id: session, name, features }) {
    const words = Array.isArray(features) ? features.filter((word) => typeof word === "string") : [];
    const word = (prefix) => words.find((text) => text.startsWith(prefix))?.slice(prefix.length) ?? null;
    this.session = session;
    this.name = typeof name === "string" ? name.slice(0, 63) : null;
    this.device = word("id/");
    this.instance = word("node/");
    this.pairing = words.includes("pair/1");
    this.resident = words.includes("resident/1");
  }
}

/**
 * A session with a router, and the links to paired devices.
 *
 * Events: `change` (its `state`, `seen` or a pairing), and `link` (`detail` is a {@link Link} that a device has opened).
 */
export class Peer extends EventTarget {
  #socket = null;
  #timers = new Set();
  #backoff = new Backoff();
  #links = new Map();
  #run = null;
  #awaited = null;
  #closed = false;

  /** `connecting`, `ready`, or `waiting` to try again. */
  state = "connecting";
  /** Why the router was lost the last time. @type {string | null} */
  why = null;
  /** Our session id while the router knows us. @type {string | null} */
  session = null;
  /** What the router calls itself. @type {string | null} */
  router = null;
  /** The sessions of others, by id, the latest last. @type {Map<string, Seen>} */
  seen = new Map();

  /**
   * @param {object} options
   * @param {string} options.url Of the router, `ws://…`.
   * @param {Identity} options.identity Who this is.
   * @param {string} [options.token] For the router, where it wants one.
   * @param {boolean} [options.accept] Whether paired devices are to call this page by themselves. [default: false]
   * @param {RTCIceServer[]} [options.iceServers] None unless given: on a LAN none is needed.
   */
  constructor({ url, identity, token = "", accept = false, iceServers = [] }) {
    super();
    Object.assign(this, { url, identity, token, accept, iceServers });
    this.#dial();
  }

  /** The link to a paired device, which is opened, and opened again, for as long as it is not closed. @param {string} device */
  link(device) {
    const pair = this.identity.pair(device);
    if (!pair) throw new PairingError("not paired with this device");
    let link = this.#links.get(device);
    if (!link) {
      link = new Link(this, pair);
      this.#links.set(device, link);
      link.dial();
    }
    return link;
  }

  /** The links there are. @returns {Link[]} */
  get links() {
    return [...this.#links.values()];
  }

  /** The sessions of devices that show a code now. @returns {Seen[]} */
  get pairable() {
    return [...this.seen.values()].filter((seen) => seen.pairing);
  }

  /** The session in which a device can be called, the latest one. @param {string} device */
  find(device) {
    return [...this.seen.values()].reverse().find((seen) => seen.device === device && seen.resident) ?? null;
  }

  /**
   * Pairs with the device that shows a code, or a QR code with this text. One code, one try: whoever is at the other end learns whether
   * it knew the same.
   *
   * @param {string} code `1234-5678`, or `clasp:pair?…`
   * @param {string} [session] Of the device; needed if several show a code.
   * @returns {Promise<{device: string, name: string, check: string}>} `check`: six digits that both devices show.
   * @throws {PairingError} with a `message` for people.
   */
  async pair(code, session) {
    const known = readCode(code);
    if (!known) throw new PairingError("a code has eight digits, as in 1234-5678");
    if (this.state !== "ready") throw new PairingError("the router is not connected");
    if (this.#run || this.#awaited) throw new PairingError("another device is being paired at this moment");
    const open = this.pairable.filter((seen) => !known.device || seen.device === known.device);
    const target = session ? open.find((seen) => seen.session === session) : open.length === 1 ? open[0] : null;
    if (!target) {
      throw new PairingError(open.length ? "several devices show a code: choose one" : "no device shows a code: run `clasp-node pair` on it");
    }
    const say = (letter) => this.signal(target.session, letter);
    this.#run = new Initiator(this.identity, known, target.session, say);
    try {
      const { pair, check } = await this.#run.done;
      await this.#settle(pair);
      return { device: pair.device, name: pair.name, check };
    } finally {
      this.#run = null;
      this.#awaited = null;
      this.#changed();
    }
  }

  /** A pair is kept when a link has shown the certificate that its card spoke of. */
  async #settle(pair) {
    this.#links.get(pair.device)?.close("pairing");
    this.#awaited = pair;
    const link = new Link(this, pair);
    this.#links.set(pair.device, link);
    link.dial();
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new PairingError("the link between the devices did not open")), LINK_WITHIN);
      link.addEventListener("change", () => {
        if (link.state !== "open") return;
        clearTimeout(timer);
        resolve();
      });
    }).catch((error) => {
      link.close("not paired");
      throw error;
    });
    await this.identity.keep(pair);
  }

  /** Forgets a paired device. It is not told, and hears that it is not paired when it calls. @param {string} device */
  async forget(device) {
    this.#links.get(device)?.close("the devices are not paired any more");
    await this.identity.forget(device);
    this.#changed();
  }

  /** Ends all links and the session. */
  close() {
    this.#closed = true;
    for (const link of this.links) link.close("the page has ended");
    for (const timer of this.#timers) clearTimeout(timer);
    this.#socket?.close();
  }

  // ---- For links -----------------------------------------------------------------------------------------------------------

  /** @private Sends a signal to a session; false if there is no router. */
  signal(session, body) {
    const value = { ...body, from: this.session ?? "" };
    return this.#send({ type: "publish", signal: "event", address: SIGNAL + session, value });
  }

  /** @private The same, so that only the paired device can read it. */
  signalSealed(session, correlation, pair, body) {
    return this.signal(session, sealSignal(this.identity, pair, correlation, body));
  }

  /** @private */
  dropLink(link) {
    if (this.#links.get(link.device) === link) this.#links.delete(link.device);
    this.#changed();
  }

  /** @private */
  after(milliseconds, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, milliseconds);
    this.#timers.add(timer);
    return timer;
  }

  // ---- The router ----------------------------------------------------------------------------------------------------------

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #dial() {
    this.state = "connecting";
    const socket = new WebSocket(this.url, "clasp");
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const silent = this.after(WELCOME_WITHIN, () => socket.close());
    const heard = () => {
      clearTimeout(silent);
      this.#timers.delete(silent);
    };
    socket.onopen = () => this.#send({ type: "hello", name: this.identity.name, token: this.token });
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket || !(data instanceof ArrayBuffer)) return;
      let message;
      try {
        message = decode(new Uint8Array(data));
      } catch (error) {
        console.debug("unreadable frame from the router:", error.message);
        return;
      }
      if (message.type === "welcome") heard();
      this.#onMessage(message);
    };
    socket.onclose = ({ reason }) => {
      heard();
      if (socket === this.#socket) this.#lost(reason || "the router is out of reach");
    };
    this.#changed();
  }

  #lost(why) {
    Object.assign(this, { state: "waiting", session: null, why });
    this.seen.clear();
    this.#run?.fail("the router is gone");
    if (!this.#closed) this.after(this.#backoff.next(), () => this.#dial());
    this.#changed();
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(encode(message));
    return true;
  }

  #onMessage(message) {
    switch (message.type) {
      case "welcome":
        this.router = message.name;
        this.#ready(message.session);
        break;
      case "ping":
        this.#send({ type: "pong" });
        break;
      case "publish":
        if (message.address === ANNOUNCE) this.#onAnnounce(message.value);
        else if (message.address === SIGNAL + this.session) this.#onSignal(message.value);
        break;
      case "error":
        this.#onError(message);
        break;
    }
  }

  #ready(session) {
    Object.assign(this, { session, state: "ready", why: null });
    this.#backoff.reset();
    this.#send({ type: "subscribe", id: 1, pattern: SIGNAL + session });
    this.#send({ type: "subscribe", id: 2, pattern: ANNOUNCE });
    this.#announce();
    this.#keepAlive(session);
    this.#changed();
    for (const link of this.links) link.onRouter();
  }

  #announce() {
    const features = ["webrtc", "reliable", "unreliable", `id/${this.identity.device}`];
    if (this.accept) features.push("resident/1");
    const value = { session_id: this.session, p2p_capable: true, features, name: this.identity.name };
    this.#send({ type: "publish", signal: "event", address: ANNOUNCE, value });
  }

  #keepAlive(session) {
    this.after(KEEP_ALIVE, () => {
      if (this.session !== session) return;
      this.signal(session, { type: "keep_alive" });
      this.#keepAlive(session);
    });
  }

  #onAnnounce(value) {
    const session = value?.session_id;
    if (typeof session !== "string" || session.length > MAX_SESSION_ID || session === this.session) return;
    const seen = new Seen(value);
    const isNew = !this.seen.delete(seen.session);
    this.seen.set(seen.session, seen);
    if (this.seen.size > MAX_SEEN) this.seen.delete(this.seen.keys().next().value);
    // A router that does not repeat announces to newcomers leaves that to those who are there.
    if (isNew) this.after(400 * Math.random(), () => this.session && this.#announce());
    this.#links.get(seen.device)?.onSeen(seen);
    this.#changed();
  }

  #onError({ code, message, address }) {
    if (code !== 404 || !address?.startsWith(SIGNAL)) {
      console.debug("the router says:", code, message);
      return;
    }
    const session = address.slice(SIGNAL.length);
    if (session === this.session) return this.#socket.close(); // forgotten: begin again
    this.seen.delete(session);
    if (this.#run?.session === session) this.#run.fail("the device has left the router");
    for (const link of this.links) link.onGone(session);
    this.#changed();
  }

  #onSignal(value) {
    const { type, from, correlation_id: correlation } = value ?? {};
    if (typeof type !== "string" || typeof from !== "string" || typeof correlation !== "string") return;
    if (type.startsWith("pair")) return this.#run?.onLetter(from, value);
    let [body, device] = [value, null];
    if (type === "sealed") {
      const pair = this.#pairOf(value.device);
      body = pair && unsealSignal(this.identity, pair, value);
      if (!body) return console.debug("a sealed signal that does not open");
      device = pair.device;
    }
    const link = this.links.find((link) => link.has(correlation));
    if (link) link.onSignal(from, correlation, body, device);
    else if (body.type === "offer" && !device) this.#onOffer(from, correlation, body.sdp);
  }

  #pairOf(device) {
    return this.#awaited?.device === device ? this.#awaited : this.identity.pair(device);
  }

  /** A paired device calls; not one of its commands, which are the same device for a moment. What was open is what it left behind. */
  #onOffer(from, correlation, sdp) {
    const refuse = (reason) => this.signal(from, { type: "disconnected", correlation_id: correlation, reason });
    const pair = typeof sdp === "string" && this.#pairOf(Link.offerer(sdp));
    if (!pair) return refuse("not paired: pair the two devices (again)");
    const existing = this.#links.get(pair.device);
    const isAwaited = this.accept || (existing && existing.state !== "open");
    if (!isAwaited || !this.seen.get(from)?.resident) return refuse("this page takes no calls");
    const link = existing ?? new Link(this, pair);
    this.#links.set(pair.device, link); // at once: candidates may be right behind
    link.answer(from, correlation, sdp).then((taken) => {
      if (existing) return;
      if (!taken) return this.#links.delete(pair.device);
      this.dispatchEvent(new CustomEvent("link", { detail: link }));
      this.#changed();
    });
  }
}
