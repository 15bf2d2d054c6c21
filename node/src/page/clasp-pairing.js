// Pairing, the proof in descriptions, and sealed signals: docs/pairing.md, on the side where the code is typed.

import {
  concat, equal, fromUtf8, hex, hkdf, hmac, open, randomBytes, seal, sha256, sign, spake2, unbase32, unhex, utf8, verify,
} from "./clasp-crypto.js";
import { deviceOf, MAX_PAIRS } from "./clasp-identity.js";
import { decode, encode } from "./clasp-wire.js";

const LABEL = utf8("clasp-pair-v1");

/** A run of the four messages, ms. */
const RUN = 10_000;

const FAULTS = {
  wrong_code: "this is not the code",
  busy: "another device is being paired at this moment",
  closed: "the device shows no code any more",
  version: "the device speaks another version",
  too_many: "the device is paired with as many as it can be",
};

/** Why devices were not paired; `message` is for people. */
export class PairingError extends Error {
  name = "PairingError";
}

/** What a person has typed or scanned. @returns {{password: Uint8Array, scanned: boolean, device: string | null} | null} */
export function readCode(text) {
  const digits = text.trim().replace(/[\s-]/g, "");
  if (/^\d{8}$/.test(digits)) return { password: concat(LABEL, utf8(digits)), scanned: false, device: null };
  const scanned = /^clasp:pair\?(.+)$/.exec(text.trim());
  const fields = new URLSearchParams(scanned?.[1] ?? "");
  if (fields.get("v") !== "1" || !fields.get("k")) return null;
  return { password: concat(LABEL, utf8(fields.get("k"))), scanned: true, device: fields.get("id") };
}

/** A run, from its first message to the pair or an error in `done`. */
export class Initiator {
  #identity;
  #known;
  #say;
  #spake;
  #correlation = randomBytes(16);
  #nonce = randomBytes(16);
  #shared = null;
  #settle;

  constructor(identity, known, session, say, random = randomBytes(64)) {
    this.session = session;
    this.#identity = identity;
    this.#known = known;
    this.#spake = spake2(known.password, utf8("I"), utf8("R"), random);
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.#say = (letter) => say({ ...letter, correlation_id: hex(this.#correlation) });
    if (identity.pairs.length >= MAX_PAIRS) return this.fail(`${MAX_PAIRS} devices are paired: forget one first`);
    const timer = setTimeout(() => this.fail("the device does not answer"), RUN);
    this.done.finally(() => clearTimeout(timer)).catch(() => {});
    this.#say({ type: "pair1", v: 1n, scanned: known.scanned, nonce: this.#nonce, pake: this.#spake.message });
  }

  fail(why) {
    this.#settle.reject(new PairingError(why));
  }

  onLetter(from, letter) {
    if (from !== this.session || letter.correlation_id !== hex(this.#correlation)) return;
    if (letter.type === "pair2" && !this.#shared) this.#onReply(letter);
    else if (letter.type === "pair4" && this.#shared) this.#onCard(letter.box);
    else if (letter.type === "pair_err") this.fail(FAULTS[letter.error] ?? "the device declines");
  }

  #onReply({ nonce, pake }) {
    const [isNonce, isPake] = [nonce, pake].map((part) => part instanceof Uint8Array);
    const key = isNonce && isPake && nonce.length === 16 ? this.#spake.finish(pake) : null;
    if (!key) return this.fail(FAULTS.wrong_code);
    const transcript = sha256(LABEL, this.#correlation, this.#nonce, nonce, this.#spake.message, pake);
    const derive = (label) => hkdf(transcript, key, concat(LABEL, utf8(` ${label}`)));
    this.#shared = { transcript, derive };
    const { publicKey, fingerprint, name, seed } = this.#identity;
    const nameBytes = utf8(name); // 63 bytes at most, see Identity
    const card = concat(publicKey, fingerprint, Uint8Array.of(0, 0, nameBytes.length), nameBytes);
    const signed = concat(card, sign(seed, concat(utf8("clasp-card-v1"), utf8("I"), transcript, card)));
    this.#say({ type: "pair3", box: seal(derive("I to R"), new Uint8Array(12), signed, transcript) });
  }

  #onCard(box) {
    const { transcript, derive } = this.#shared;
    const opened = box instanceof Uint8Array ? open(derive("R to I"), new Uint8Array(12), box, transcript) : null;
    if (!opened || opened.length < 67 + 64) return this.fail(FAULTS.wrong_code);
    const [card, signature] = [opened.slice(0, -64), opened.slice(-64)];
    const signedPart = concat(utf8("clasp-card-v1"), utf8("R"), transcript, card);
    const key = card.slice(0, 32);
    const device = deviceOf(key);
    if (card.length !== 67 + card[66] || !verify(key, signedPart, signature)) return this.fail(FAULTS.wrong_code);
    if (device === this.#identity.device) return this.fail("this is the same device");
    if (this.#known.device && device !== this.#known.device) return this.fail("another device has answered");
    const pair = { device, name: fromUtf8(card.slice(67)), fingerprint: hex(card.slice(32, 64)), key: derive("pair") };
    const number = new DataView(derive("check").buffer).getBigUint64(0) % 1_000_000n;
    this.#settle.resolve({ pair, check: number.toString().padStart(6, "0") });
  }
}

// ---- Descriptions ------------------------------------------------------------------------------------------------------------

const LINE = "a=x-clasp-auth:";

function nextNonce(identity) {
  identity.count += 1n;
  const count = new DataView(new ArrayBuffer(8));
  count.setBigUint64(0, identity.count);
  return concat(identity.epoch, new Uint8Array(count.buffer));
}

/** Whether a nonce of a device is new; 64 numbers of each of its last 8 processes are remembered. */
function note(identity, kind, device, nonce) {
  const key = `${kind} ${device}`;
  const epochs = identity.seenNonces.get(key) ?? new Map();
  identity.seenNonces.set(key, epochs);
  const [epoch, count] = [hex(nonce.slice(0, 8)), new DataView(nonce.buffer, nonce.byteOffset + 8, 8).getBigUint64(0)];
  const seen = epochs.get(epoch);
  if (!seen) {
    if (epochs.size >= 8) epochs.delete(epochs.keys().next().value);
    epochs.set(epoch, { highest: count, before: 1n });
    return true;
  }
  if (count > seen.highest) {
    const ahead = count - seen.highest;
    seen.before = ((ahead < 64n ? seen.before << ahead : 0n) | 1n) & ((1n << 64n) - 1n);
    seen.highest = count;
    return true;
  }
  const bit = 1n << (seen.highest - count < 64n ? seen.highest - count : 64n);
  if (bit > 1n << 63n || seen.before & bit) return false;
  seen.before |= bit;
  return true;
}

function tagOf(key, kind, from, to, nonce, offer, sdp) {
  const parts = [utf8("clasp-auth-v1"), utf8(kind), unbase32(from), unbase32(to), nonce, offer, sha256(utf8(sdp))];
  const lengths = parts.map((part) => {
    const length = new DataView(new ArrayBuffer(8));
    length.setBigUint64(0, BigInt(part.length));
    return new Uint8Array(length.buffer);
  });
  return hmac(key, ...parts.flatMap((part, n) => [lengths[n], part]));
}

/** Puts our proof into a description. @param {Uint8Array} offer The tag of the offer that is answered; empty in offers. */
export function signDescription(identity, pair, kind, sdp, offer = new Uint8Array(0)) {
  const nonce = nextNonce(identity);
  const tag = tagOf(pair.key, kind, identity.device, pair.device, nonce, offer, sdp);
  const at = sdp.indexOf("m=");
  const line = `${LINE}1 ${identity.device} ${hex(nonce)} ${hex(tag)}\r\n`;
  return { sdp: sdp.slice(0, at) + line + sdp.slice(at), tag };
}

/** Who says to have written a description. @returns {{from: string, nonce: Uint8Array, tag: Uint8Array, rest: string} | null} */
export function claimOf(sdp) {
  const lines = sdp.split("\r\n");
  const proofs = lines.filter((line) => line.startsWith(LINE));
  const [version, from, nonce, tag, more] = (proofs[0] ?? "").slice(LINE.length).split(" ");
  const [nonceBytes, tagBytes] = [unhex(nonce ?? "x"), unhex(tag ?? "x")];
  if (proofs.length !== 1 || version !== "1" || more !== undefined) return null;
  if (nonceBytes?.length !== 16 || tagBytes?.length !== 32 || unbase32(from)?.length !== 20) return null;
  return { from, nonce: nonceBytes, tag: tagBytes, rest: lines.filter((line) => line !== proofs[0]).join("\r\n") };
}

/** Checks that a paired device has written a description, with the certificate it was paired with. @returns the tag, or `null` */
export function checkDescription(identity, pair, kind, sdp, offer = new Uint8Array(0)) {
  const claim = claimOf(sdp);
  if (claim?.from !== pair.device) return null;
  const tag = tagOf(pair.key, kind, pair.device, identity.device, claim.nonce, offer, claim.rest);
  const shown = claim.rest.split("\r\n").filter((line) => line.startsWith("a=fingerprint:"));
  const wanted = `a=fingerprint:sha-256 ${pair.fingerprint}`;
  const isPinned = shown.length > 0 && shown.every((line) => line.replaceAll(":", "").toLowerCase() === wanted.replaceAll(":", ""));
  const isGood = equal(tag, claim.tag) && isPinned && note(identity, "description", pair.device, claim.nonce);
  return isGood ? tag : null;
}

// ---- Sealed signals ----------------------------------------------------------------------------------------------------------

function keyOf(pair, from, to, nonce) {
  const info = concat(utf8("clasp-relay-v1"), unbase32(from), unbase32(to), nonce.slice(0, 8));
  return { key: hkdf(new Uint8Array(0), pair.key, info), number: concat(new Uint8Array(4), nonce.slice(8)) };
}

/** @param {object} body The signal, without `from` and `correlation_id`. */
export function sealSignal(identity, pair, correlation, body) {
  const nonce = nextNonce(identity);
  const { key, number } = keyOf(pair, identity.device, pair.device, nonce);
  const value = { ...body, from: "", correlation_id: "" };
  const text = encode({ type: "publish", signal: "event", address: "/clasp/p2p/signal/", value });
  const sealed = seal(key, number, text, utf8(correlation));
  return { type: "sealed", correlation_id: correlation, device: identity.device, nonce, sealed };
}

/** What a sealed signal of a paired device says; `null` if it is not its, or was said before. */
export function unsealSignal(identity, pair, { correlation_id: correlation, nonce, sealed }) {
  if (!(nonce instanceof Uint8Array) || nonce.length !== 16 || !(sealed instanceof Uint8Array)) return null;
  const { key, number } = keyOf(pair, pair.device, identity.device, nonce);
  const text = open(key, number, sealed, utf8(correlation));
  if (!text || !note(identity, "sealed", pair.device, nonce)) return null;
  try {
    const { value } = decode(text);
    return typeof value?.type === "string" && value.type !== "sealed" ? value : null;
  } catch {
    return null;
  }
}
