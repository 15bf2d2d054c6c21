// Who this browser is, and whom it is paired with; kept in the browser's own database, for this origin alone.

import { base32, hex, publicKey, randomBytes, sha256, unhex, utf8 } from "./clasp-crypto.js";

/** Devices that can be paired. */
export const MAX_PAIRS = 64;

/** The longest that browsers let a certificate last, ms. Then this browser has to be paired again. */
const CERTIFICATE_LASTS = 365 * 86_400_000;

const DATABASE = "clasp-peer";

/** The device id of a public key. @param {Uint8Array} key */
export const deviceOf = (key) => base32(sha256(utf8("clasp-id-v1"), key).slice(0, 20));

/**
 * A device it is paired with.
 * @typedef {{device: string, name: string, fingerprint: string, key: Uint8Array}} Pair `fingerprint` is of its certificate, in hex.
 */

/** See the file. */
export class Identity {
  #store;

  /** Reads it, or makes a new one. @param {object} [options] @param {string} [options.name] What people call this browser, if it is new. */
  static async load({ name = defaultName() } = {}) {
    const store = await openStore();
    const kept = await store.get("identity");
    const isGood = kept?.certificate?.expires > Date.now();
    const identity = new Identity();
    identity.#store = store;
    identity.name = kept?.name ?? clip(name);
    identity.seed = kept?.seed ?? randomBytes(32);
    identity.certificate = isGood ? kept.certificate : await newCertificate();
    identity.publicKey = publicKey(identity.seed);
    identity.device = deviceOf(identity.publicKey);
    identity.fingerprint = await fingerprintOf(identity.certificate);
    identity.pairs = (isGood && (await store.get("pairs"))) || [];
    identity.isKept = store.isKept;
    // Signed or sealed by this page: a number of its own, and one of the message.
    identity.epoch = randomBytes(8);
    identity.count = 0n;
    identity.seenNonces = new Map();
    if (!isGood) {
      const { seed, certificate } = identity;
      await store.set("identity", { seed, certificate, name: identity.name });
      await store.set("pairs", identity.pairs);
    }
    return identity;
  }

  /** @param {string} device @returns {Pair | null} */
  pair(device) {
    return this.pairs.find((pair) => pair.device === device) ?? null;
  }

  /** Keeps a pair, in the place of an older one with that device. @param {Pair} pair */
  async keep(pair) {
    const others = this.pairs.filter((other) => other.device !== pair.device);
    this.pairs = [...others, pair];
    await this.#store.set("pairs", this.pairs);
  }

  /** @param {string} device */
  async forget(device) {
    this.pairs = this.pairs.filter((pair) => pair.device !== device);
    await this.#store.set("pairs", this.pairs);
  }

  /** Another name, from the next session on. @param {string} name */
  async rename(name) {
    this.name = clip(name);
    const { seed, certificate } = this;
    await this.#store.set("identity", { seed, certificate, name: this.name });
  }
}

const newCertificate = () =>
  RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256", expires: CERTIFICATE_LASTS });

/** The SHA-256 of a certificate. Not every browser tells it by itself; but each writes it into its offers. */
async function fingerprintOf(certificate) {
  const told = certificate.getFingerprints?.().find(({ algorithm }) => algorithm === "sha-256")?.value;
  return unhex((told ?? (await offered(certificate))).replaceAll(":", "").toLowerCase());
}

async function offered(certificate) {
  const pc = new RTCPeerConnection({ certificates: [certificate] });
  pc.createDataChannel("");
  const { sdp } = await pc.createOffer();
  pc.close();
  return /^a=fingerprint:sha-256 (\S+)/m.exec(sdp)[1];
}

/** The most of a name that fits a card of 63 bytes. */
function clip(name) {
  let text = name.trim() || "browser";
  while (utf8(text).length > 63) text = [...text].slice(0, -1).join("");
  return text;
}

function defaultName() {
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac", "Linux"].find((name) => navigator.userAgent.includes(name));
  return `browser ${system ?? ""} ${hex(randomBytes(2))}`.replace("  ", " ");
}

/** A place for a few values. Where the browser has none that lasts, as in a private window, they last as long as the page. */
async function openStore() {
  const answer = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  try {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("values");
    const database = await answer(opening);
    const values = (mode) => database.transaction("values", mode).objectStore("values");
    return {
      isKept: true,
      get: (key) => answer(values("readonly").get(key)),
      set: (key, value) => answer(values("readwrite").put(value, key)),
    };
  } catch (error) {
    console.warn("pairs are forgotten when this page is closed:", error);
    const memory = new Map();
    return { isKept: false, get: async (key) => memory.get(key), set: async (key, value) => void memory.set(key, value) };
  }
}
