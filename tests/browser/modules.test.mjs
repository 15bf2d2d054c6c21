// The modules of the page outside of a browser, against known answers: node --test tests/browser/modules.test.mjs

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as c from "../../node/src/page/clasp-crypto.js";
import { deviceOf } from "../../node/src/page/clasp-identity.js";
import {
  checkDescription, claimOf, Initiator, PairingError, readCode, sealSignal, signDescription, unsealSignal,
} from "../../node/src/page/clasp-pairing.js";
import { decode, encode, matches } from "../../node/src/page/clasp-wire.js";

const json = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url)));
const pairing = json("../../node/tests/vectors/pairing.json");
const wire = json("../../router-lite/wire/tests/vectors.json");
const bytes = (text) => c.unhex(text);

/** A deterministic stream of bytes, for tests that try many. */
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("SHA-2, HMAC and HKDF are those of OpenSSL, for every length around a block", () => {
  for (let length = 0; length < 300; length++) {
    const text = Uint8Array.from({ length }, (_, n) => n * 7);
    assert.equal(c.hex(c.sha256(text)), createHash("sha256").update(text).digest("hex"), `${length}`);
    if (length % 9 === 0) assert.equal(c.hex(c.sha512(text)), createHash("sha512").update(text).digest("hex"), `${length}`);
  }
  // RFC 4231 section 4.7 and RFC 5869 appendix A.1.
  const long = c.hmac(new Uint8Array(131).fill(0xaa), c.utf8("Test Using Larger Than Block-Size Key - Hash Key First"));
  assert.equal(c.hex(long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  const okm = c.hkdf(bytes("000102030405060708090a0b0c"), new Uint8Array(22).fill(11), bytes("f0f1f2f3f4f5f6f7f8f9"), 42);
  assert.equal(c.hex(okm), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
});

test("ChaCha20-Poly1305 is that of RFC 8439, and no changed bit opens", () => {
  const key = Uint8Array.from({ length: 32 }, (_, n) => 0x80 + n);
  const [nonce, aad] = [bytes("070000004041424344454647"), bytes("50515253c0c1c2c3c4c5c6c7")];
  const text = c.utf8("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.");
  const box = c.seal(key, nonce, text, aad);
  assert.equal(c.hex(box.slice(-16)), "1ae10b594f09e26a7e902ecbd0600691"); // section 2.8.2
  assert.equal(c.hex(box.slice(0, 16)), "d31a8d34648e60db7b86afbc53ef7ec2");
  assert.deepEqual(c.open(key, nonce, box, aad), text);
  for (let at = 0; at < box.length; at++) {
    const changed = box.slice();
    changed[at] ^= 1 << at % 8;
    assert.equal(c.open(key, nonce, changed, aad), null, `byte ${at}`);
  }
  assert.equal(c.open(key, nonce, box, aad.slice(1)), null);
  assert.equal(c.open(key, nonce, box.slice(0, 15), aad), null);
});

test("Ed25519 is that of RFC 8032, and strict", () => {
  // Section 7.1, tests 1 and 3.
  const answers = [
    ["9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"],
    ["c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"],
  ];
  for (const [seed, key, message, signature] of answers) {
    assert.equal(c.hex(c.publicKey(bytes(seed))), key);
    assert.equal(c.hex(c.sign(bytes(seed), bytes(message))), signature);
    assert.ok(c.verify(bytes(key), bytes(message), bytes(signature)));
    for (const at of [0, 31, 32, 63]) {
      const changed = bytes(signature);
      changed[at] ^= 1;
      assert.ok(!c.verify(bytes(key), bytes(message), changed), `byte ${at}`);
    }
    assert.ok(!c.verify(bytes(key), c.utf8("another"), bytes(signature)));
  }
  const [, key, message, signature] = answers[0];
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = BigInt("0x" + c.hex(bytes(signature).slice(32).reverse())) + order;
  const again = c.concat(bytes(signature).slice(0, 32), bytes(s.toString(16).padStart(64, "0")).reverse());
  assert.ok(!c.verify(bytes(key), bytes(message), again), "the same number written in another way");
  // With the neutral element as key and as R, and 0 as S, every message would be signed.
  const neutral = c.concat(Uint8Array.of(1), new Uint8Array(31));
  assert.ok(!c.verify(neutral, c.utf8("anything"), c.concat(neutral, new Uint8Array(32))));
});

test("a pairing gives the keys and boxes that were computed without our code", async () => {
  const { initiator, responder } = pairing;
  for (const side of [initiator, responder]) {
    assert.equal(c.hex(c.publicKey(bytes(side.secret_key))), side.public_key);
    assert.equal(deviceOf(bytes(side.public_key)), side.device_id);
  }
  const known = readCode(pairing.code);
  const begun = c.spake2(known.password, c.utf8("I"), c.utf8("R"), bytes(initiator.scalar));
  assert.equal(c.hex(begun.message), initiator.pake);
  assert.equal(c.hex(begun.finish(bytes(responder.pake))), pairing.spake2_key);
  const transcript = c.sha256(c.utf8("clasp-pair-v1"), ...[pairing.correlation, initiator.nonce, responder.nonce, initiator.pake, responder.pake].map(bytes));
  assert.equal(c.hex(transcript), pairing.transcript);
  for (const [label, key] of Object.entries(pairing.keys)) {
    const derived = c.hkdf(transcript, bytes(pairing.spake2_key), c.utf8(`clasp-pair-v1 ${label}`));
    assert.equal(c.hex(derived), key, label);
  }
  // The whole run: with the same random numbers it says the same, and takes the other side's box.
  const identity = identityOf(initiator);
  const random = [bytes(pairing.correlation), bytes(initiator.nonce)];
  const { getRandomValues } = crypto;
  crypto.getRandomValues = (array) => (array.set(random.shift()), array);
  const said = [];
  const run = new Initiator(identity, known, "session", (letter) => said.push(letter), bytes(initiator.scalar));
  crypto.getRandomValues = getRandomValues;
  const letter = (fields) => run.onLetter("session", { correlation_id: pairing.correlation, ...fields });
  assert.deepEqual([said[0].type, said[0].v, said[0].scanned, c.hex(said[0].pake)], ["pair1", 1n, false, initiator.pake]);
  run.onLetter("somebody", { correlation_id: pairing.correlation, type: "pair_err", error: "busy" });
  letter({ type: "pair2", nonce: bytes(responder.nonce), pake: bytes(responder.pake) });
  assert.equal(c.hex(said[1].box), pairing.initiator_box);
  letter({ type: "pair4", box: bytes(pairing.responder_box) });
  const { pair, check } = await run.done;
  assert.equal(check, pairing.check);
  assert.deepEqual([pair.device, pair.name, pair.fingerprint], [responder.device_id, responder.name, responder.fingerprint]);
  assert.equal(c.hex(pair.key), pairing.keys.pair);
});

function identityOf({ secret_key, public_key, device_id, fingerprint, name }) {
  const seed = bytes(secret_key);
  return {
    seed, publicKey: bytes(public_key), device: device_id, fingerprint: bytes(fingerprint), name, pairs: [],
    epoch: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), count: 0n, seenNonces: new Map(),
  };
}

test("a run with another code, or with no point, ends with an error for people", async () => {
  const identity = identityOf(pairing.initiator);
  for (const pake of [pairing.responder.pake, "42" + "ff".repeat(32), "42" + "01" + "00".repeat(31), "41" + pairing.responder.pake.slice(2)]) {
    const said = [];
    const run = new Initiator(identity, readCode("8765-4321"), "s", (letter) => said.push(letter));
    const id = said[0].correlation_id;
    run.onLetter("s", { correlation_id: id, type: "pair2", nonce: bytes(pairing.responder.nonce), pake: bytes(pake) });
    run.onLetter("s", { correlation_id: id, type: "pair4", box: bytes(pairing.responder_box) });
    await assert.rejects(run.done, (error) => error instanceof PairingError && /not the code/.test(error.message), pake);
  }
});

test("codes are read as people write them, and nothing else is a code", () => {
  for (const text of ["1234-5678", " 12345678 ", "1234 5678"]) assert.deepEqual(readCode(text), readCode("12345678"));
  const scanned = readCode(`clasp:pair?v=1&id=${pairing.responder.device_id}&fp=00&k=abcdef`);
  assert.deepEqual([scanned.scanned, scanned.device, c.fromUtf8(scanned.password)], [true, pairing.responder.device_id, "clasp-pair-v1abcdef"]);
  for (const text of ["", "1234-567", "123456789", "abcd-efgh", "clasp:pair?v=2&k=a", "clasp:pair?v=1", "http:pair?v=1&k=a"]) {
    assert.equal(readCode(text), null, text);
  }
});

const both = () => {
  const [a, b] = [identityOf(pairing.initiator), identityOf(pairing.responder)];
  const key = bytes(pairing.keys.pair);
  return {
    a, b,
    ofA: { device: b.device, fingerprint: pairing.responder.fingerprint, key },
    ofB: { device: a.device, fingerprint: pairing.initiator.fingerprint, key },
  };
};
const colons = (text) => text.toUpperCase().match(/../g).join(":");
const sdpOf = (fingerprint) => `v=0\r\ns=-\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 ${colons(fingerprint)}\r\na=setup:actpass\r\n`;

test("a description is believed once, of the paired device, with its certificate, unchanged", () => {
  const { a, b, ofA, ofB } = both();
  const plain = sdpOf(pairing.initiator.fingerprint);
  const { sdp, tag } = signDescription(a, ofA, "offer", plain);
  assert.equal(claimOf(sdp).rest, plain);
  assert.deepEqual(checkDescription(b, ofB, "offer", sdp), tag);
  assert.equal(checkDescription(b, ofB, "offer", sdp), null, "said before");
  assert.equal(checkDescription(b, ofB, "answer", signDescription(a, ofA, "offer", plain).sdp), null, "another kind");
  for (let at = 0; at < sdp.length; at += 3) {
    const changed = sdp.slice(0, at) + String.fromCharCode(sdp.charCodeAt(at) ^ 1) + sdp.slice(at + 1);
    assert.equal(checkDescription(b, ofB, "offer", changed), null, `letter ${at}`);
  }
  const other = signDescription(a, ofA, "offer", sdpOf(pairing.responder.fingerprint));
  assert.equal(checkDescription(b, ofB, "offer", other.sdp), null, "another certificate");
  const two = signDescription(a, ofA, "offer", plain + `a=fingerprint:sha-256 ${colons(pairing.responder.fingerprint)}\r\n`);
  assert.equal(checkDescription(b, ofB, "offer", two.sdp), null, "two certificates");
  const answer = signDescription(b, ofB, "answer", sdpOf(pairing.responder.fingerprint), tag);
  assert.equal(checkDescription(a, ofA, "answer", answer.sdp, c.randomBytes(32)), null, "to another offer");
  assert.ok(checkDescription(a, ofA, "answer", answer.sdp, tag));
  for (const text of ["", "a=x-clasp-auth:1\r\n", sdp + sdp]) assert.equal(claimOf(text), null);
});

test("a sealed signal opens once, for its link, in its direction", () => {
  const { a, b, ofA, ofB } = both();
  const sealed = () => sealSignal(a, ofA, "link", { type: "ice_candidate", candidate: "{}" });
  const first = sealed();
  assert.equal(unsealSignal(b, ofB, first).candidate, "{}");
  assert.equal(unsealSignal(b, ofB, first), null, "again");
  assert.equal(unsealSignal(b, ofB, { ...sealed(), correlation_id: "other" }), null);
  assert.equal(unsealSignal(a, ofA, sealed()), null, "reflected");
  assert.equal(unsealSignal(b, { ...ofB, key: new Uint8Array(32) }, sealed()), null);
  const many = Array.from({ length: 70 }, sealed);
  assert.ok(unsealSignal(b, ofB, many[69]), "later ones first");
  assert.ok(unsealSignal(b, ofB, many[20]), "one that was overtaken");
  assert.equal(unsealSignal(b, ofB, many[2]), null, "too long ago to be told from a repeated one");
});

test("frames of the real implementations are read, and none that they refuse", () => {
  const read = new Set(["WELCOME", "SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "SET", "SNAPSHOT", "BUNDLE", "SYNC", "PING", "PONG", "ERROR"]);
  let seen = 0;
  for (const { name, hex, message } of wire.vectors) {
    const frame = bytes(hex);
    const payload = frame[frame[1] & 0x20 ? 12 : 4];
    if ((payload >= 0x80 && payload <= 0x8f) || payload >= 0xde || !read.has(message?.type)) continue;
    const got = decode(frame);
    assert.equal(got.type.toUpperCase(), message.type, name);
    if (message.address !== undefined) assert.equal(got.address, message.address, name);
    if (message.session !== undefined) assert.equal(got.session, message.session, name);
    if (message.pattern !== undefined) assert.equal(got.pattern, message.pattern, name);
    if (typeof message.value === "string" || typeof message.value === "boolean") assert.equal(got.value, message.value, name);
    seen += 1;
  }
  assert.ok(seen > 80, `only ${seen}`);
  let refused = 0;
  for (const { name, hex, result } of wire.rejects) {
    if (result["@clasp-to/core 3.3.2"] === true) continue;
    const ours = () => decode(bytes(hex));
    try {
      const { type } = ours();
      assert.equal(type, "other", name); // of a kind a peer does not read
    } catch (error) {
      assert.ok(error instanceof RangeError || error instanceof TypeError, `${name}: ${error}`);
      refused += 1;
    }
  }
  assert.ok(refused > 30, `only ${refused}`);
});

test("what is written is read again, and no cut or changed frame does more than throw", () => {
  const messages = [
    { type: "subscribe", id: 7, pattern: "/a/**" },
    { type: "unsubscribe", id: 7 },
    { type: "set", address: "/a", value: 0.5, revision: 3 },
    { type: "set", address: "/a", value: { b: [null, true, "ä", new Uint8Array([1, 2]), { c: -1.5 }] } },
    { type: "publish", signal: "event", address: "/e", value: 12 },
    { type: "publish", signal: "stream", address: "/s", value: "x".repeat(1000) },
    { type: "sync", t1: 5, t2: 6, t3: 6 },
    { type: "ping" },
    { type: "pong" },
  ];
  const next = numbers(1);
  for (const message of messages) {
    const frame = encode(message);
    assert.deepEqual({ ...decode(frame) }, message, message.type);
    for (let end = 0; end < frame.length; end++) assert.throws(() => decode(frame.slice(0, end)));
    for (let n = 0; n < 500; n++) {
      const changed = frame.slice();
      changed[next(changed.length)] = next(256);
      try {
        decode(changed);
      } catch (error) {
        assert.ok(error instanceof RangeError || error instanceof TypeError, String(error));
      }
    }
  }
  assert.deepEqual(decode(encode({ type: "set", address: "/i", value: 42n })).value, 42);
  assert.deepEqual(decode(encode({ type: "set", address: "/i", value: 2n ** 62n })).value, 2n ** 62n);
  assert.throws(() => encode({ type: "set", address: "/a", value: "x".repeat(65_536) }), RangeError);
  assert.throws(() => encode({ type: "set", address: "/a", value: Array(40).fill("x".repeat(2000)) }), /65535/);
  const deep = (levels) => (levels ? [deep(levels - 1)] : 1);
  assert.throws(() => encode({ type: "set", address: "/a", value: deep(40) }), /levels/);
  assert.equal(decode(encode({ type: "publish", signal: "event", address: "/p", value: JSON.parse('{"__proto__": 1}') })).value.constructor, Object);
});

test("patterns match as on the router", () => {
  const cases = [
    ["/a/*", "/a/b", true], ["/a/*", "/a/", true], ["/a/*", "/a/b/c", false], ["/a/**", "/a", true], ["/a/**", "/a/b/c", true],
    ["/a/**/z", "/a/z", true], ["/a/**/z", "/a/b/c/z", true], ["/a/**/z", "/a/b", false], ["/a/b*", "/a/bc", true], ["/a/b*", "/a/c", false],
    ["/a/*b*c", "/a/xbyc", true], ["/a/*b*c", "/a/xcyb", false], ["/**", "/x/y", true], ["/a.b", "/axb", false], ["/a", "/a", true],
  ];
  for (const [pattern, address, wanted] of cases) assert.equal(matches(pattern, address), wanted, `${pattern} ${address}`);
});

test("the constants of the tests are what they claim", () => {
  assert.ok(wire.vectors.length > 160 && wire.rejects.length > 60);
  assert.deepEqual(c.unbase32(c.base32(bytes(pairing.correlation))), bytes(pairing.correlation));
  assert.equal(c.unhex("0g"), null);
  assert.equal(c.unbase32("a1"), null);
});
