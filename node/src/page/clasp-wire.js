// CLASP frames in the compact encoding, as far as a peer in a page needs them. Numbers on the wire are big-endian.
//
// A number in JavaScript is a float on the wire, and a BigInt is an integer, as with the stock JavaScript client; what comes as an integer
// becomes a number if that can hold it.

import { fromUtf8, utf8 } from "./clasp-crypto.js";

const MAGIC = 0x53;
const MAX_DEPTH = 32;
const SIGNALS = ["param", "event", "stream", "gesture", "timeline"];
const TYPE = {
  1: "hello", 2: "welcome", 16: "subscribe", 17: "unsubscribe", 32: "publish", 33: "set", 35: "snapshot",
  48: "bundle", 64: "sync", 65: "ping", 66: "pong", 80: "ack", 81: "error",
};
/** ANNOUNCE, FEDERATION_SYNC, GET, REPLAY, QUERY and RESULT: what a peer has no use for. */
const OTHERS = [3, 4, 34, 36, 96, 97];
const CODE = Object.fromEntries(Object.entries(TYPE).map(([code, type]) => [type, Number(code)]));

// ---- Writing -----------------------------------------------------------------------------------------------------------------

class Writer {
  bytes = new Uint8Array(256);
  view = new DataView(this.bytes.buffer);
  length = 0;

  /** Room for so many bytes, and where they begin. */
  room(count) {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, 2 * this.bytes.length));
      larger.set(this.bytes);
      [this.bytes, this.view] = [larger, new DataView(larger.buffer)];
    }
    return at;
  }

  // The view may be another one once there is room.
  u8(value) {
    const at = this.room(1);
    this.view.setUint8(at, value);
  }

  u16(value) {
    if (value > 0xffff) throw new RangeError(`${value} is more than the 65535 that fit`);
    const at = this.room(2);
    this.view.setUint16(at, value);
  }

  u32(value) {
    const at = this.room(4);
    this.view.setUint32(at, value);
  }

  u64(value) {
    const at = this.room(8);
    this.view.setBigUint64(at, BigInt(value));
  }

  f64(value) {
    const at = this.room(8);
    this.view.setFloat64(at, value);
  }

  raw(bytes) {
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }

  data(bytes) {
    this.u16(bytes.length);
    this.raw(bytes);
  }

  text(text) {
    this.data(utf8(text));
  }

  /** The data of a value, behind its tag. */
  content(tag, value, depth) {
    if (tag === 1) this.u8(value ? 1 : 0);
    else if (tag === 5) this.u64(BigInt.asUintN(64, value));
    else if (tag === 7) this.f64(value);
    else if (tag === 8) this.text(value);
    else if (tag === 9) this.data(value);
    else if (tag === 10) {
      this.u16(value.length);
      for (const item of value) this.value(item, depth + 1);
    } else if (tag === 11) {
      const entries = Object.entries(value);
      this.u16(entries.length);
      for (const [key, item] of entries) {
        this.text(key);
        this.value(item, depth + 1);
      }
    }
  }

  value(value, depth = 0) {
    const tag = tagOf(value);
    if (depth >= MAX_DEPTH) throw new RangeError(`more than ${MAX_DEPTH} levels`);
    this.u8(tag);
    this.content(tag, value, depth);
  }
}

function tagOf(value) {
  if (value === null || value === undefined) return 0;
  if (typeof value === "boolean") return 1;
  if (typeof value === "bigint") return 5;
  if (typeof value === "number") return 7;
  if (typeof value === "string") return 8;
  if (value instanceof Uint8Array) return 9;
  if (Array.isArray(value)) return 10;
  if (typeof value === "object") return 11;
  throw new TypeError(`a ${typeof value} is no value`);
}

/** The frame of a message. @param {object} message As {@link decode} returns it. @returns {Uint8Array} */
export function encode(message) {
  const out = new Writer();
  out.u32(0);
  out.u8(CODE[message.type]);
  let confirmed = false;
  switch (message.type) {
    case "hello":
      out.u8(1);
      out.u8(0xe0);
      out.text(message.name);
      out.text(message.token ?? "");
      break;
    case "subscribe":
      confirmed = true;
      out.u32(message.id);
      out.text(message.pattern);
      out.u8(0xff);
      out.u8(0);
      break;
    case "unsubscribe":
      confirmed = true;
      out.u32(message.id);
      break;
    case "publish": {
      const signal = SIGNALS.indexOf(message.signal);
      confirmed = message.signal === "event";
      out.u8(signal << 5);
      out.text(message.address);
      out.u8(1);
      out.value(message.value);
      break;
    }
    case "set": {
      confirmed = true;
      const tag = tagOf(message.value);
      out.u8(tag | (message.revision === undefined ? 0 : 0x80));
      out.text(message.address);
      out.content(tag, message.value, 0);
      if (message.revision !== undefined) out.u64(message.revision);
      break;
    }
    case "sync":
      out.u8(message.t2 === undefined ? 0 : 3);
      out.u64(message.t1);
      if (message.t2 !== undefined) {
        out.u64(message.t2);
        out.u64(message.t2);
      }
      break;
    case "ping":
    case "pong":
      break;
    default:
      throw new TypeError(`a peer sends no ${message.type}`);
  }
  const length = out.length - 4;
  if (length > 0xffff) throw new RangeError(`the message has ${length} bytes, and 65535 fit a frame`);
  out.bytes.set([MAGIC, confirmed ? 0x41 : 0x01, length >> 8, length & 255]);
  return out.bytes.slice(0, out.length);
}

// ---- Reading -----------------------------------------------------------------------------------------------------------------

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }

  step(count) {
    const at = this.at;
    this.at += count;
    if (this.at > this.bytes.length) throw new RangeError(`the frame ends after ${this.bytes.length} bytes`);
    return at;
  }

  get left() {
    return this.bytes.length - this.at;
  }

  u8 = () => this.view.getUint8(this.step(1));
  u16 = () => this.view.getUint16(this.step(2));
  u32 = () => this.view.getUint32(this.step(4));
  u64 = () => number(this.view.getBigUint64(this.step(8)));

  data() {
    const length = this.u16();
    const at = this.step(length);
    return this.bytes.slice(at, at + length);
  }

  text = () => fromUtf8(this.data());

  content(tag, depth) {
    switch (tag) {
      case 0:
        return null;
      case 1:
        return this.u8() !== 0;
      case 2:
        return this.view.getInt8(this.step(1));
      case 3:
        return this.view.getInt16(this.step(2));
      case 4:
        return this.view.getInt32(this.step(4));
      case 5:
        return number(this.view.getBigInt64(this.step(8)));
      case 6:
        return this.view.getFloat32(this.step(4));
      case 7:
        return this.view.getFloat64(this.step(8));
      case 8:
        return this.text();
      case 9:
        return this.data();
      case 10:
        return Array.from({ length: this.count(1) }, () => this.value(depth + 1));
      case 11: {
        const entries = Array.from({ length: this.count(3) }, () => [this.text(), this.value(depth + 1)]);
        return Object.fromEntries(entries);
      }
      default:
        throw new RangeError(`no value has the tag ${tag}`);
    }
  }

  /** How many items follow, of which each has at least so many bytes. */
  count(least) {
    const count = this.u16();
    if (count * least > this.left) throw new RangeError("more items than bytes");
    return count;
  }

  value(depth = 0) {
    if (depth >= MAX_DEPTH) throw new RangeError(`more than ${MAX_DEPTH} levels`);
    return this.content(this.u8(), depth);
  }
}

const number = (big) => (Number.isSafeInteger(Number(big)) ? Number(big) : big);

/**
 * The message in a frame.
 *
 * @param {Uint8Array} frame
 * @returns {{type: string} & Record<string, unknown>} A `type` of `"other"` is a message that a peer has no use for.
 * @throws {RangeError | TypeError} if it is none.
 */
export function decode(frame) {
  if (frame.length < 5 || frame[0] !== MAGIC) throw new RangeError("this is not a frame");
  const begin = frame[1] & 0x20 ? 12 : 4;
  const length = (frame[2] << 8) | frame[3];
  if (!length || frame.length < begin + length) throw new RangeError(`the frame ends after ${frame.length} bytes`);
  return decodePayload(frame.subarray(begin, begin + length), 0);
}

function decodePayload(payload, depth) {
  const reader = new Reader(payload);
  const code = reader.u8();
  const type = TYPE[code] ?? "other";
  if (type === "other" && !OTHERS.includes(code)) throw new RangeError(`no message has the type ${code}`);
  switch (type) {
    case "welcome": {
      const [version, features, time] = [reader.u8(), reader.u8(), reader.u64()];
      return { type, version, features, time, session: reader.text(), name: reader.text(), token: reader.text() };
    }
    case "subscribe": {
      const [id, pattern, , flags] = [reader.u32(), reader.text(), reader.u8(), reader.u8()];
      for (const [bit, bytes] of [[1, 4], [2, 8], [4, 4], [8, 4]]) if (flags & bit) reader.step(bytes);
      return { type, id, pattern };
    }
    case "unsubscribe":
      return { type, id: reader.u32() };
    case "publish": {
      const [flags, address, kind] = [reader.u8(), reader.text(), reader.u8()];
      const message = { type, address, signal: SIGNALS[flags >> 5] ?? "event", value: null };
      if (kind === 1) message.value = reader.value();
      else if (kind === 2) message.value = Array.from({ length: reader.count(8) }, () => reader.content(7, 0));
      if (flags & 0x10) reader.u64();
      if (flags & 0x08) reader.u32();
      return message;
    }
    case "set": {
      const [flags, address] = [reader.u8(), reader.text()];
      const message = { type, address, value: reader.content(flags & 15, 0) };
      if (flags & 0x80) message.revision = reader.u64();
      if (flags & 0x10) reader.u32();
      return message;
    }
    case "snapshot": {
      const params = Array.from({ length: reader.count(12) }, () => {
        const param = { address: reader.text(), value: reader.value(), revision: reader.u64() };
        const flags = reader.u8();
        if (flags & 1) reader.text();
        if (flags & 2) reader.u64();
        return param;
      });
      return { type, params };
    }
    case "bundle": {
      if (depth >= MAX_DEPTH) throw new RangeError(`more than ${MAX_DEPTH} levels`);
      const [flags, count] = [reader.u8(), reader.count(2)];
      if (flags & 0x80) reader.u64();
      return { type, messages: Array.from({ length: count }, () => decodePayload(reader.data(), depth + 1)) };
    }
    case "sync": {
      const flags = reader.u8();
      const message = { type, t1: reader.u64() };
      if (flags & 1) message.t2 = reader.u64();
      if (flags & 2) message.t3 = reader.u64();
      return message;
    }
    case "error": {
      const message = { type, code: reader.u16(), message: reader.text() };
      const flags = reader.u8();
      if (flags & 1) message.address = reader.text();
      if (flags & 2) reader.u32();
      return message;
    }
    case "ping":
    case "pong":
      return { type };
    default:
      return { type: "other" };
  }
}

/** Whether an address matches a pattern, in which `*` stands for a part and a last `**` for any number of them. */
export function matches(pattern, address) {
  const [wanted, parts] = [pattern.split("/"), address.split("/")];
  const from = (w, p) => {
    if (w === wanted.length) return p === parts.length;
    if (wanted[w] === "**") return parts.some((_, n) => n >= p && from(w + 1, n)) || from(w + 1, parts.length);
    return p < parts.length && part(wanted[w], parts[p]) && from(w + 1, p + 1);
  };
  return from(0, 0);
}

function part(wanted, text) {
  const pieces = wanted.split("*");
  if (pieces.length === 1) return wanted === text;
  const [first, last] = [pieces[0], pieces[pieces.length - 1]];
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    at = text.indexOf(piece, at) + piece.length;
    if (at < piece.length) return false;
  }
  return at <= text.length - last.length;
}
