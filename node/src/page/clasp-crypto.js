// The cryptography of pairing, in plain JavaScript: a page that comes over http has no crypto.subtle.
//
// SHA-2 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869), ChaCha20-Poly1305 (RFC 8439), Ed25519 (RFC 8032) and SPAKE2 as in the
// Python package `spake2`. It is made for messages of a few hundred bytes: short before fast. Its running time depends on the
// numbers it works with, which is of use only to who can measure inside this very browser.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The bytes of a text. @param {string} text */
export const utf8 = (text) => encoder.encode(text);

/** The text of some bytes; throws if they are none. @param {Uint8Array} bytes */
export const fromUtf8 = (bytes) => decoder.decode(bytes);

/** @param {...Uint8Array} parts */
export function concat(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** @param {number} count */
export const randomBytes = (count) => crypto.getRandomValues(new Uint8Array(count));

/** Lower-case hex. @param {Uint8Array} bytes */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} text @returns {Uint8Array | null} `null` if it is not lower-case hex. */
export function unhex(text) {
  if (text.length % 2 || !/^[0-9a-f]*$/.test(text)) return null;
  return Uint8Array.from({ length: text.length / 2 }, (_, n) => parseInt(text.slice(2 * n, 2 * n + 2), 16));
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** Lower-case base32 (RFC 4648 section 6), without padding. @param {Uint8Array} bytes */
export function base32(bytes) {
  let [text, bits, count] = ["", 0, 0];
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    for (count += 8; count >= 5; count -= 5) text += BASE32[(bits >> (count - 5)) & 31];
    bits &= 31;
  }
  return count ? text + BASE32[(bits << (5 - count)) & 31] : text;
}

/** Its inverse. @param {string} text @returns {Uint8Array | null} */
export function unbase32(text) {
  const bytes = [];
  let [bits, count] = [0, 0];
  for (const letter of text) {
    const value = BASE32.indexOf(letter);
    if (value < 0) return null;
    bits = ((bits << 5) | value) & 4095;
    count += 5;
    if (count >= 8) {
      count -= 8;
      bytes.push((bits >> count) & 255);
    }
  }
  return Uint8Array.from(bytes);
}

/** Whether they are the same, without telling where they differ. @param {Uint8Array} a @param {Uint8Array} b */
export function equal(a, b) {
  let difference = a.length ^ b.length;
  for (let n = 0; n < a.length; n++) difference |= a[n] ^ b[n];
  return difference === 0;
}

// ---- Numbers -----------------------------------------------------------------------------------------------------------------

const bigEndian = (bytes) => (bytes.length ? BigInt("0x" + hex(bytes)) : 0n);
const littleEndian = (bytes) => bigEndian(bytes.slice().reverse());

function toLittleEndian(number, length) {
  const text = number.toString(16).padStart(2 * length, "0");
  return unhex(text.slice(-2 * length)).reverse();
}

const mod = (number, modulus) => ((number % modulus) + modulus) % modulus;

function power(base, exponent, modulus) {
  let result = 1n;
  for (let square = mod(base, modulus); exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

// ---- SHA-2 -------------------------------------------------------------------------------------------------------------------

const W64 = (1n << 64n) - 1n;

/** The first 64 bits of the fraction of the `degree`th root. */
function rootFraction(number, degree) {
  const scaled = BigInt(number) << (64n * degree);
  let [low, high] = [0n, 1n << 73n];
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** degree <= scaled) low = middle;
    else high = middle;
  }
  return low & W64;
}

const primes = [];
for (let n = 2; primes.length < 80; n++) if (primes.every((prime) => n % prime)) primes.push(n);

// FIPS 180-4 sections 4.2 and 5.3: both hashes take their constants from the same roots, one 32 bits of them, the other 64.
const K512 = primes.map((prime) => rootFraction(prime, 3n));
const H512 = primes.slice(0, 8).map((prime) => rootFraction(prime, 2n));
const upper = (word) => Number(word >> 32n);
const K256 = K512.slice(0, 64).map(upper);
const H256 = H512.map(upper);

function padded(message, block) {
  const length = message.length + 1 + block / 8;
  const all = new Uint8Array(Math.ceil(length / block) * block);
  all.set(message);
  all[message.length] = 0x80;
  new DataView(all.buffer).setBigUint64(all.length - 8, BigInt(message.length) * 8n);
  return new DataView(all.buffer);
}

/** @param {...Uint8Array} parts @returns {Uint8Array} 32 bytes */
export function sha256(...parts) {
  const data = padded(concat(...parts), 64);
  const state = Uint32Array.from(H256);
  const w = new Uint32Array(64);
  const turn = (word, by) => (word >>> by) | (word << (32 - by));
  for (let block = 0; block < data.byteLength; block += 64) {
    for (let t = 0; t < 64; t++) {
      if (t < 16) {
        w[t] = data.getUint32(block + 4 * t);
        continue;
      }
      const [x, y] = [w[t - 15], w[t - 2]];
      const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
      const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 64; t++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K256[t] + w[t]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, n) => (state[n] += word));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, n) => digest.setUint32(4 * n, word));
  return new Uint8Array(digest.buffer);
}

/** @param {...Uint8Array} parts @returns {Uint8Array} 64 bytes */
export function sha512(...parts) {
  const data = padded(concat(...parts), 128);
  const state = H512.slice();
  const turn = (word, by) => (word >> by) | ((word << (64n - by)) & W64);
  for (let block = 0; block < data.byteLength; block += 128) {
    const w = [];
    for (let t = 0; t < 80; t++) {
      if (t < 16) {
        w.push(data.getBigUint64(block + 8 * t));
        continue;
      }
      const [x, y] = [w[t - 15], w[t - 2]];
      const s0 = turn(x, 1n) ^ turn(x, 8n) ^ (x >> 7n);
      const s1 = turn(y, 19n) ^ turn(y, 61n) ^ (y >> 6n);
      w.push((w[t - 16] + s0 + w[t - 7] + s1) & W64);
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let t = 0; t < 80; t++) {
      const s1 = turn(e, 14n) ^ turn(e, 18n) ^ turn(e, 41n);
      const t1 = h + s1 + ((e & f) ^ (~e & W64 & g)) + K512[t] + w[t];
      const s0 = turn(a, 28n) ^ turn(a, 34n) ^ turn(a, 39n);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & W64, c, b, a, (t1 + t2) & W64];
    }
    [a, b, c, d, e, f, g, h].forEach((word, n) => (state[n] = (state[n] + word) & W64));
  }
  const digest = new DataView(new ArrayBuffer(64));
  state.forEach((word, n) => digest.setBigUint64(8 * n, word));
  return new Uint8Array(digest.buffer);
}

/** HMAC-SHA-256. @param {Uint8Array} key @param {...Uint8Array} parts */
export function hmac(key, ...parts) {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha256(key) : key);
  const inner = sha256(block.map((byte) => byte ^ 0x36), ...parts);
  return sha256(block.map((byte) => byte ^ 0x5c), inner);
}

/** HKDF-SHA-256. @param {Uint8Array} salt @param {Uint8Array} secret @param {Uint8Array} info @param {number} length */
export function hkdf(salt, secret, info, length = 32) {
  const key = hmac(salt, secret);
  let [all, last] = [new Uint8Array(0), new Uint8Array(0)];
  for (let n = 1; all.length < length; n++) {
    last = hmac(key, last, info, Uint8Array.of(n));
    all = concat(all, last);
  }
  return all.slice(0, length);
}

// ---- ChaCha20-Poly1305 -------------------------------------------------------------------------------------------------------

const SIGMA = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];

function chachaBlock(key, counter, nonce) {
  const words = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return Array.from({ length: bytes.length / 4 }, (_, n) => view.getUint32(4 * n, true));
  };
  const start = Uint32Array.from([...SIGMA, ...words(key), counter, ...words(nonce)]);
  const x = start.slice();
  const turn = (word, by) => (word << by) | (word >>> (32 - by));
  const quarter = (a, b, c, d) => {
    x[a] += x[b];
    x[d] = turn(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = turn(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = turn(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = turn(x[b] ^ x[c], 7);
  };
  for (let round = 0; round < 10; round++) {
    for (let n = 0; n < 4; n++) quarter(n, 4 + n, 8 + n, 12 + n);
    for (let n = 0; n < 4; n++) quarter(n, 4 + ((n + 1) % 4), 8 + ((n + 2) % 4), 12 + ((n + 3) % 4));
  }
  const out = new DataView(new ArrayBuffer(64));
  x.forEach((word, n) => out.setUint32(4 * n, word + start[n], true));
  return new Uint8Array(out.buffer);
}

function chacha(key, nonce, text) {
  const out = text.slice();
  for (let at = 0; at < out.length; at += 64) {
    const stream = chachaBlock(key, 1 + at / 64, nonce);
    for (let n = at; n < Math.min(at + 64, out.length); n++) out[n] ^= stream[n - at];
  }
  return out;
}

const P1305 = (1n << 130n) - 5n;

function poly1305(key, message) {
  const r = littleEndian(key.slice(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const part = message.slice(at, at + 16);
    sum = ((sum + littleEndian(part) + (1n << BigInt(8 * part.length))) * r) % P1305;
  }
  return toLittleEndian(sum + littleEndian(key.slice(16)), 16);
}

function tagOf(key, nonce, sealed, aad) {
  const fill = (bytes) => concat(bytes, new Uint8Array((16 - (bytes.length % 16)) % 16));
  const lengths = concat(toLittleEndian(BigInt(aad.length), 8), toLittleEndian(BigInt(sealed.length), 8));
  return poly1305(chachaBlock(key, 0, nonce).slice(0, 32), concat(fill(aad), fill(sealed), lengths));
}

/** The text and its tag. @param {Uint8Array} key @param {Uint8Array} nonce @param {Uint8Array} text @param {Uint8Array} aad */
export function seal(key, nonce, text, aad) {
  const sealed = chacha(key, nonce, text);
  return concat(sealed, tagOf(key, nonce, sealed, aad));
}

/** @param {Uint8Array} key @param {Uint8Array} nonce @param {Uint8Array} box @param {Uint8Array} aad @returns {Uint8Array | null} */
export function open(key, nonce, box, aad) {
  if (box.length < 16) return null;
  const sealed = box.slice(0, -16);
  return equal(tagOf(key, nonce, sealed, aad), box.slice(-16)) ? chacha(key, nonce, sealed) : null;
}

// ---- Ed25519 -----------------------------------------------------------------------------------------------------------------

const P = (1n << 255n) - 19n;
const L = (1n << 252n) + 27742317777372353535851937790883648493n;
const inverse = (number) => power(number, P - 2n, P);
const D = mod(-121665n * inverse(121666n), P);
const ROOT_OF_MINUS_1 = power(2n, (P - 1n) / 4n, P);
const ZERO = [0n, 1n, 1n, 0n];

/** Addition in extended coordinates (RFC 8032 section 5.1.4). */
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = ((y1 - x1 + P) * (y2 - x2 + P)) % P;
  const b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (2n * t1 * D * t2) % P;
  const d = (2n * z1 * z2) % P;
  const [e, f, g, h] = [b - a + P, d - c + P, d + c, b + a];
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

const negated = ([x, y, z, t]) => [mod(-x, P), y, z, mod(-t, P)];

function times(scalar, point) {
  let result = ZERO;
  for (let double = point; scalar > 0n; scalar >>= 1n) {
    if (scalar & 1n) result = add(result, double);
    double = add(double, double);
  }
  return result;
}

function encodePoint([x, y, z]) {
  const scale = inverse(z);
  const bytes = toLittleEndian((y * scale) % P, 32);
  if ((x * scale) % P & 1n) bytes[31] |= 0x80;
  return bytes;
}

/** `null` for what is no point, or not written as it should be. */
function decodePoint(bytes) {
  if (bytes.length !== 32) return null;
  const sign = BigInt(bytes[31] >> 7);
  const y = littleEndian(bytes) & ((1n << 255n) - 1n);
  if (y >= P) return null;
  const [u, v] = [mod(y * y - 1n, P), mod(D * y * y + 1n, P)];
  let x = (u * power(v, 3n, P) * power(u * power(v, 7n, P), (P - 5n) / 8n, P)) % P;
  if ((v * x * x) % P !== u) x = (x * ROOT_OF_MINUS_1) % P;
  if ((v * x * x) % P !== u || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, (x * y) % P];
}

const isZero = ([x, y, z]) => x === 0n && y === z;
const BASE = decodePoint(toLittleEndian((4n * inverse(5n)) % P, 32));

function secretScalar(seed) {
  const digest = sha512(seed);
  const low = digest.slice(0, 32);
  low[0] &= 248;
  low[31] = (low[31] & 127) | 64;
  return { scalar: littleEndian(low), prefix: digest.slice(32) };
}

/** The public key of a secret one. @param {Uint8Array} seed 32 bytes */
export const publicKey = (seed) => encodePoint(times(secretScalar(seed).scalar, BASE));

/** @param {Uint8Array} seed @param {Uint8Array} message @returns {Uint8Array} 64 bytes */
export function sign(seed, message) {
  const { scalar, prefix } = secretScalar(seed);
  const r = mod(littleEndian(sha512(prefix, message)), L);
  const point = encodePoint(times(r, BASE));
  const k = littleEndian(sha512(point, publicKey(seed), message));
  return concat(point, toLittleEndian(mod(r + k * scalar, L), 32));
}

/** Strict: one way of writing each number, and no key that everybody knows. */
export function verify(key, message, signature) {
  const [a, r] = [decodePoint(key), decodePoint(signature.slice(0, 32))];
  const s = littleEndian(signature.slice(32));
  if (!a || !r || signature.length !== 64 || s >= L || isZero(times(8n, a)) || isZero(times(8n, r))) return false;
  const k = mod(littleEndian(sha512(signature.slice(0, 32), key, message)), L);
  return equal(encodePoint(add(times(s, BASE), times(k, negated(a)))), signature.slice(0, 32));
}

// ---- SPAKE2 ------------------------------------------------------------------------------------------------------------------

const M = decodePoint(unhex("15cfd18e385952982b6a8f8c7854963b58e34388c8e6dae891db756481a02312"));
const N = decodePoint(unhex("f04f2e7eb734b2a8f8b472eaf9c3c632576ac64aea650b496a8a20ff00e583c3"));

/**
 * The first side of SPAKE2, which says "A".
 *
 * @param {Uint8Array} password
 * @param {Uint8Array} idA @param {Uint8Array} idB
 * @param {Uint8Array} random 64 bytes, used once
 * @returns {{message: Uint8Array, finish: (reply: Uint8Array) => Uint8Array | null}} `finish` takes the other side's message.
 */
export function spake2(password, idA, idB, random) {
  const secret = mod(bigEndian(hkdf(new Uint8Array(0), password, utf8("SPAKE2 pw"), 48)), L);
  const x = mod(littleEndian(random), L);
  const ours = encodePoint(add(times(x, BASE), times(secret, M)));
  const finish = (reply) => {
    const theirs = reply.length === 33 && reply[0] === 0x42 ? decodePoint(reply.slice(1)) : null;
    if (!theirs || isZero(theirs) || !isZero(times(L, theirs))) return null;
    const shared = encodePoint(times(x, add(theirs, times(secret, negated(N)))));
    return sha256(sha256(password), sha256(idA), sha256(idB), ours, reply.slice(1), shared);
  };
  return { message: concat(utf8("A"), ours), finish };
}
