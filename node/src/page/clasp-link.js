// A link to one paired device: two WebRTC data channels, opened again for as long as the link is not closed.

import { hex, randomBytes } from "./clasp-crypto.js";
import { checkDescription, claimOf, signDescription } from "./clasp-pairing.js";
import { decode, encode, matches } from "./clasp-wire.js";

/** An attempt to connect is given up after this, ms. */
const OPEN_WITHIN = 15_000;

/** A connection without a sign of life, which the browser notices after 5 s, is given up after so much more, ms. */
const LOST_AFTER = 3_000;

/** A new attempt is made somewhere within this, ms, doubled each time up to the longest: so not everybody comes back at once. */
const FIRST_RETRY = 500;
const LONGEST_RETRY = 30_000;

/** Candidates that wait for the answer they belong to. */
const MAX_EARLY = 16;

/** Subscriptions of a link; a node takes no more. */
const MAX_SUBSCRIPTIONS = 64;

/** What may wait in a channel, in bytes; and from where on there is room again. */
const MAX_WAITING = 256 * 1024;
const ROOM_AGAIN = 64 * 1024;

/** When to try again. */
export class Backoff {
  #within = FIRST_RETRY;

  /** In how many ms, this time. */
  next() {
    const wait = this.#within * Math.random();
    this.#within = Math.min(2 * this.#within, LONGEST_RETRY);
    return wait;
  }

  reset() {
    this.#within = FIRST_RETRY;
  }
}

/**
 * Events: `change` (of `state`), `refused` (`detail` is `{code, message, address}`), and `data` (`detail` is `{bytes, reliable}`) for each
 * message that is not about addresses.
 */
export class Link extends EventTarget {
  #peer;
  #pair;
  #attempt = null;
  #subscriptions = new Map();
  #nextId = 1;
  #backoff = new Backoff();
  #retryTimer = null;

  /** `connecting`, `open`, `waiting` to try again, or `closed`. */
  state = "waiting";
  /** Why it is not open. @type {string | null} */
  why = null;

  /** @private Links are made by a peer. */
  constructor(peer, pair) {
    super();
    this.#peer = peer;
    this.#pair = pair;
    /** The device at the other end. */
    this.device = pair.device;
  }

  /** What the device is called. */
  get name() {
    return this.#pair.name;
  }

  /** Who offers a connection, as an offer says. @param {string} sdp */
  static offerer = (sdp) => claimOf(sdp)?.from ?? null;

  // ---- What an application does ------------------------------------------------------------------------------------------

  /**
   * Asks the device for what it shares at these addresses, now and whenever the link opens again. Parameters come as they are, then as
   * they change.
   *
   * @param {string} pattern `/sensors/**`
   * @param {(message: {address: string, value: unknown, signal: string, revision?: number}) => void} receive
   * @returns {() => void} Ends it.
   */
  subscribe(pattern, receive) {
    if (this.#subscriptions.size >= MAX_SUBSCRIPTIONS) throw new RangeError(`a link has ${MAX_SUBSCRIPTIONS} subscriptions at most`);
    const id = this.#nextId++;
    this.#subscriptions.set(id, { pattern, receive });
    this.#say({ type: "subscribe", id, pattern });
    return () => {
      if (this.#subscriptions.delete(id)) this.#say({ type: "unsubscribe", id });
    };
  }

  /** Sets a parameter. @returns {boolean} Whether the channel has taken it: not if the link is not open, or too much waits. */
  set(address, value) {
    return this.#say({ type: "set", address, value });
  }

  /** Publishes an event; arrives, once and in order. @returns {boolean} As {@link set}. */
  publish(address, value) {
    return this.#say({ type: "publish", signal: "event", address, value });
  }

  /** Publishes a value of a stream; may be lost. @returns {boolean} As {@link set}. */
  stream(address, value) {
    return this.send(encode({ type: "publish", signal: "stream", address, value }), { reliable: false });
  }

  /** Sends a message of one's own. @param {Uint8Array} bytes At most {@link maxMessageSize}, and not none. */
  send(bytes, { reliable = true } = {}) {
    const channel = this.#channel(reliable);
    if (!channel) return false;
    if (!bytes.length || bytes.length > this.maxMessageSize) throw new RangeError(`a message has 1 to ${this.maxMessageSize} bytes`);
    if (channel.bufferedAmount > 0 && channel.bufferedAmount + bytes.length > MAX_WAITING) return false;
    channel.send(bytes);
    return true;
  }

  /** Waits until a channel has room for more, or the link is not open. */
  async writable({ reliable = true } = {}) {
    const channel = this.#channel(reliable);
    if (!channel || channel.bufferedAmount <= ROOM_AGAIN) return;
    await new Promise((resolve) => {
      channel.addEventListener("bufferedamountlow", resolve, { once: true });
      channel.addEventListener("close", resolve, { once: true });
    });
  }

  /** The largest message that the device takes, in bytes. A frame has at most 65,539. */
  get maxMessageSize() {
    return this.#attempt?.pc.sctp?.maxMessageSize ?? 0;
  }

  /**
   * The path in use.
   *
   * @returns {Promise<{rtt: number, local: string, remote: string, kind: string} | null>} `rtt` in ms, of the last check; `kind` is the local
   * candidate's: `host`, `prflx`, `srflx` or `relay`.
   */
  async stats() {
    if (this.state !== "open") return null;
    const report = await this.#attempt.pc.getStats();
    const all = [...report.values()];
    const transport = all.find(({ type }) => type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId) ?? all.find(({ nominated }) => nominated);
    if (!pair) return null;
    const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
    const place = (candidate) => (candidate?.address ? `${candidate.address}:${candidate.port}` : "hidden");
    return { rtt: 1000 * (pair.currentRoundTripTime ?? NaN), local: place(local), remote: place(remote), kind: local?.candidateType ?? "?" };
  }

  /** Ends the link; the device is told. @param {string} [why] */
  close(why = "closed") {
    if (this.state === "closed") return;
    clearTimeout(this.#retryTimer);
    const { session, correlation } = this.#attempt ?? {};
    if (session) this.#signal(session, correlation, { type: "disconnected", reason: why });
    this.#drop();
    this.#enter("closed", why);
    this.#peer.dropLink(this);
  }

  // ---- What the peer tells -----------------------------------------------------------------------------------------------

  /** @private Whether the signal belongs to the attempt there is. */
  has(correlation) {
    return this.#attempt?.correlation === correlation;
  }

  /** @private The router is there again. */
  onRouter() {
    if (this.state === "waiting") this.#later();
  }

  /** @private The device has announced itself: perhaps it was started again. */
  onSeen(seen) {
    const isAnother = this.#attempt?.instance && seen.instance && this.#attempt.instance !== seen.instance;
    if (!seen.resident || this.state === "closed") return;
    if (isAnother || this.state === "waiting") {
      this.#backoff.reset();
      this.dial();
    }
  }

  /** @private A session is gone from the router. */
  onGone(session) {
    if (this.state === "connecting" && this.#attempt?.session === session) this.#fail("the device has left the router");
  }

  /** @private `device` has sealed it, if anybody has. */
  onSignal(from, correlation, body, device) {
    const attempt = this.#attempt;
    const isIts = device === this.device;
    if (body.type === "answer" && attempt.offers && !attempt.answered && typeof body.sdp === "string") {
      if (!checkDescription(this.#peer.identity, this.#pair, "answer", body.sdp, attempt.tag)) return;
      attempt.answered = true;
      this.#describe(attempt, { type: "answer", sdp: body.sdp }).catch((error) => this.#give(attempt, error));
    } else if (body.type === "ice_candidate" && isIts && typeof body.candidate === "string") {
      this.#candidate(attempt, body.candidate);
    } else if (body.type === "disconnected" && body.reason !== "session ended" && (isIts || this.state === "connecting")) {
      // Who has forgotten this browser has no key to say so with; it can end nothing that is open.
      this.#fail(typeof body.reason === "string" ? body.reason : "the device has ended the link");
    }
  }

  // ---- Connecting --------------------------------------------------------------------------------------------------------

  /** @private Calls the device. */
  async dial() {
    clearTimeout(this.#retryTimer);
    if (this.state === "closed") return;
    this.#drop();
    const seen = this.#peer.find(this.device);
    if (!seen) return this.#enter("waiting", this.#peer.state === "ready" ? "the device is not on this router" : "the router is out of reach");
    const attempt = this.#begin(seen.session, `${this.#peer.session}-${seen.session}-${hex(randomBytes(16))}`, seen.instance);
    attempt.offers = true;
    this.#adopt(attempt, attempt.pc.createDataChannel("clasp-reliable", { ordered: true }));
    this.#adopt(attempt, attempt.pc.createDataChannel("clasp", { ordered: false, maxRetransmits: 0 }));
    try {
      await attempt.pc.setLocalDescription();
      const { sdp, tag } = signDescription(this.#peer.identity, this.#pair, "offer", attempt.pc.localDescription.sdp);
      attempt.tag = tag;
      this.#peer.signal(attempt.session, { type: "offer", correlation_id: attempt.correlation, sdp });
      this.#release(attempt);
    } catch (error) {
      this.#give(attempt, error);
    }
  }

  /** @private Answers an offer of the device; says whether it is one. */
  async answer(session, correlation, offer) {
    const tag = checkDescription(this.#peer.identity, this.#pair, "offer", offer);
    if (!tag || this.state === "closed") return false;
    clearTimeout(this.#retryTimer);
    this.#drop();
    const attempt = this.#begin(session, correlation, this.#peer.seen.get(session)?.instance);
    attempt.pc.ondatachannel = ({ channel }) => this.#adopt(attempt, channel);
    try {
      await this.#describe(attempt, { type: "offer", sdp: offer });
      await attempt.pc.setLocalDescription();
      const { sdp } = signDescription(this.#peer.identity, this.#pair, "answer", attempt.pc.localDescription.sdp, tag);
      this.#peer.signal(session, { type: "answer", correlation_id: correlation, sdp });
      this.#release(attempt);
    } catch (error) {
      this.#give(attempt, error);
    }
    return true;
  }

  #begin(session, correlation, instance) {
    const { identity, iceServers } = this.#peer;
    const pc = new RTCPeerConnection({ certificates: [identity.certificate], iceServers });
    const attempt = { pc, session, correlation, instance, early: [], own: [], channels: {}, lost: null };
    attempt.timer = setTimeout(() => this.#give(attempt, "no direct path was found"), OPEN_WITHIN);
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      if (attempt.own) attempt.own.push(candidate);
      else this.#trickle(attempt, candidate);
    };
    pc.onconnectionstatechange = () => this.#onState(attempt);
    this.#attempt = attempt;
    this.#enter("connecting", null);
    return attempt;
  }

  /** The description is on its way: candidates of ours may follow. */
  #release(attempt) {
    const own = attempt.own;
    attempt.own = null;
    for (const candidate of own) this.#trickle(attempt, candidate);
  }

  #trickle({ session, correlation }, candidate) {
    this.#signal(session, correlation, { type: "ice_candidate", candidate: JSON.stringify(candidate) });
  }

  #signal(session, correlation, body) {
    this.#peer.signalSealed(session, correlation, this.#pair, body);
  }

  /** Takes the device's description, and then the candidates that came before it. */
  async #describe(attempt, description) {
    await attempt.pc.setRemoteDescription(description);
    const early = attempt.early;
    attempt.early = null;
    for (const candidate of early) this.#candidate(attempt, candidate);
  }

  #candidate(attempt, text) {
    if (attempt.early) {
      if (attempt.early.length >= MAX_EARLY) attempt.early.shift();
      attempt.early.push(text);
      return;
    }
    let init;
    try {
      init = JSON.parse(text);
    } catch {
      return console.debug("unreadable candidate");
    }
    if (!init?.candidate) return; // there are no more
    attempt.pc.addIceCandidate({ ...init, sdpMid: init.sdpMid || "0" }).catch((error) => console.debug("unusable candidate:", error.message));
  }

  #adopt(attempt, channel) {
    const kind = channel.label === "clasp-reliable" ? "reliable" : channel.label === "clasp" ? "stream" : null;
    if (!kind || attempt.channels[kind]) return channel.close();
    attempt.channels[kind] = channel;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = ROOM_AGAIN;
    channel.onopen = () => this.#onOpen(attempt);
    channel.onclose = () => this.#give(attempt, "the device has ended the link");
    channel.onmessage = ({ data }) => data instanceof ArrayBuffer && this.#onData(attempt, new Uint8Array(data), kind === "reliable");
    if (channel.readyState === "open") this.#onOpen(attempt);
  }

  #onOpen(attempt) {
    const { reliable, stream } = attempt.channels;
    const isOpen = [reliable, stream].every((channel) => channel?.readyState === "open");
    if (attempt !== this.#attempt || this.state === "open" || !isOpen) return;
    clearTimeout(attempt.timer);
    this.#backoff.reset();
    this.#signal(attempt.session, attempt.correlation, { type: "connected" });
    for (const [id, { pattern }] of this.#subscriptions) reliable.send(encode({ type: "subscribe", id, pattern }));
    this.#enter("open", null);
  }

  #onState(attempt) {
    clearTimeout(attempt.lost);
    const state = attempt.pc.connectionState;
    if (state === "failed") this.#give(attempt, "the path is lost");
    else if (state === "disconnected") attempt.lost = setTimeout(() => this.#give(attempt, "the path is lost"), LOST_AFTER);
  }

  /** An attempt is at its end. */
  #give(attempt, why) {
    if (attempt !== this.#attempt) return;
    const reason = String(why.message ?? why);
    this.#signal(attempt.session, attempt.correlation, { type: "disconnected", reason });
    this.#fail(reason);
  }

  #fail(why) {
    this.#drop();
    this.#enter("waiting", why);
    this.#later();
  }

  #later() {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.dial(), this.#backoff.next());
  }

  #drop() {
    const attempt = this.#attempt;
    this.#attempt = null;
    if (!attempt) return;
    clearTimeout(attempt.timer);
    clearTimeout(attempt.lost);
    attempt.pc.close();
  }

  #enter(state, why) {
    if (this.state === state && this.why === why) return;
    Object.assign(this, { state, why });
    this.dispatchEvent(new Event("change"));
  }

  // ---- Messages ----------------------------------------------------------------------------------------------------------

  #channel(reliable) {
    return this.state === "open" ? this.#attempt.channels[reliable ? "reliable" : "stream"] : null;
  }

  #say = (message) => this.send(encode(message));

  #onData(attempt, bytes, reliable) {
    if (attempt !== this.#attempt || !bytes.length) return;
    let message = null;
    try {
      message = decode(bytes);
    } catch {
      // An application's own.
    }
    if (!message || !this.#take(message, reliable)) this.dispatchEvent(new CustomEvent("data", { detail: { bytes, reliable } }));
  }

  /** Whether a message was about addresses, or of the link itself. */
  #take(message, reliable) {
    switch (message.type) {
      case "set":
      case "publish":
        return this.#deliver({ signal: "param", ...message });
      case "snapshot":
        for (const param of message.params) this.#deliver({ signal: "param", ...param });
        return true;
      case "bundle":
        return message.messages.filter((inner) => this.#take(inner, reliable)).length === message.messages.length;
      case "error":
        this.dispatchEvent(new CustomEvent("refused", { detail: message }));
        return true;
      case "ping":
        return this.send(encode({ type: "pong" }), { reliable });
      case "sync":
        if (message.t2 === undefined) this.send(encode({ ...message, t2: Math.round(1000 * performance.now()) }), { reliable });
        return true;
      case "subscribe":
      case "unsubscribe":
      case "pong":
        return true; // a page keeps nothing that others could ask for
      default:
        return false;
    }
  }

  #deliver(message) {
    let isWanted = false;
    for (const { pattern, receive } of [...this.#subscriptions.values()]) {
      if (!matches(pattern, message.address)) continue;
      isWanted = true;
      receive(message);
    }
    return isWanted;
  }
}
