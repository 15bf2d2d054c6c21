// The page of a device: pairing, what it shares, and how it is. All of it comes over the data channels of the link to it.

import { Identity, PairingError, Peer } from "./clasp-peer.js";
import { Chart } from "./page-chart.js";

/** Addresses in the list of values; the one that changed longest ago goes first. */
const MAX_VALUES = 200;

/** How often what is shown changes, ms. */
const REFRESH = 250;

const STATUS = "/edge/status";

const $ = (id) => document.getElementById(id);
const values = new Map();
const chart = new Chart($("chart"));
let [identity, peer, link, status, path, stopWatching] = [null, null, null, null, null, () => {}];

/** Fills a table; a row is an array of texts and elements. */
function fill(table, rows) {
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) row.insertCell().append(cell);
    return row;
  });
  table.tBodies[0].replaceChildren(...made);
  return made;
}

function span(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

const show = (value) => (typeof value === "bigint" ? String(value) : JSON.stringify(value instanceof Uint8Array ? [...value] : value) ?? "");

// ---- Who is there ------------------------------------------------------------------------------------------------------------

/** The device this page is from: its router has its name. */
function home() {
  const residents = [...peer.seen.values()].filter((seen) => seen.resident && seen.device);
  return residents.find((seen) => seen.name === peer.router) ?? residents[0] ?? null;
}

/** The pair whose link the page shows: the device it is from, or else the first. */
function wanted() {
  return identity.pair(home()?.device) ?? identity.pairs.find((pair) => peer.find(pair.device)) ?? identity.pairs[0] ?? null;
}

function update() {
  const pair = wanted();
  if (pair && !$("pair-button").disabled && link !== peer.link(pair.device)) follow(peer.link(pair.device));
  if (!pair && link) unfollow();
  const name = link?.name ?? home()?.name ?? "clasp-edge";
  $("name").textContent = document.title = name;
  // Where the device has forgotten this browser, it can be paired again.
  const isStranger = !pair || Boolean(link?.why?.startsWith("not paired"));
  $("sign-in").hidden = peer.state !== "ready" || !isStranger;
  $("signed-in").hidden = !pair;
  const state = peer.state === "ready" || link?.state === "open" ? link?.state ?? "not paired" : "connecting to the router";
  $("state").className = link?.state ?? "";
  $("state").textContent = link?.why && link.state !== "open" ? `${state}: ${link.why}` : state;
  const open = peer.pairable;
  $("choice").hidden = open.length < 2;
  const choices = open.map((seen) => new Option(seen.name ?? seen.session, seen.session, false, seen.session === $("device").value));
  $("device").replaceChildren(...choices);
  showPairs();
}

function showPairs() {
  const rows = identity.pairs.map((pair) => {
    const button = document.createElement("button");
    button.textContent = "Forget";
    button.addEventListener("click", () => peer.forget(pair.device));
    return [pair.name, button];
  });
  fill($("pairs"), rows);
  const lasts = new Date(identity.certificate.expires).toLocaleDateString();
  $("kept").textContent = identity.isKept
    ? `This browser is ${identity.name}. Its pairings end with its certificate, on ${lasts}.`
    : `This browser is ${identity.name}. It keeps nothing: the pairings end with this page.`;
}

// ---- The link ----------------------------------------------------------------------------------------------------------------

function unfollow() {
  [link, status, path] = [null, null, null];
  values.clear();
  chart.choose(null);
}

function follow(next) {
  unfollow();
  link = next;
  link.addEventListener("change", update);
  link.addEventListener("refused", ({ detail }) => onRefused(detail));
  link.subscribe(STATUS, ({ value }) => (status = JSON.parse(value)));
  watch();
}

function onRefused({ code, message, address }) {
  if (address === $("pattern").value && code === 301) {
    $("watch-note").textContent = `${link.name} shares nothing of ${address}: start it with --share '/sensors/**', say.`;
  } else {
    $("send-note").textContent = `${address ?? ""}: ${message}`;
  }
}

function watch() {
  stopWatching();
  $("watch-note").textContent = "";
  values.clear();
  stopWatching = link.subscribe($("pattern").value, onValue);
}

function onValue({ address, value }) {
  if (address === STATUS) return;
  values.delete(address); // the latest is the last
  values.set(address, { value, at: Date.now() });
  if (values.size > MAX_VALUES) values.delete(values.keys().next().value);
  if (typeof value !== "number") return;
  if (!chart.address) choose(address);
  chart.add(address, value);
}

function choose(address) {
  chart.choose(address);
  $("chart-title").textContent = address;
}

// ---- What is shown -----------------------------------------------------------------------------------------------------------

function showValues() {
  const now = Date.now();
  const sorted = [...values].sort(([a], [b]) => (a < b ? -1 : 1));
  const focused = document.activeElement?.dataset?.address;
  const rows = fill($("values"), sorted.map(([address, { value, at }]) => [address, show(value), `${span(now - at)} ago`]));
  sorted.forEach(([address, { value }], n) => {
    if (typeof value !== "number") return;
    rows[n].tabIndex = 0;
    rows[n].dataset.address = address;
    rows[n].className = address === chart.address ? "chosen" : "";
    if (address === focused) rows[n].focus();
  });
  if (!values.size && link?.state === "open" && !$("watch-note").textContent) fill($("values"), [["nothing yet"]]);
  if (chart.address) $("chart-note").textContent = chart.note();
}

function showStatus() {
  const about = [["Data channel", path ? `${path.remote}, ${path.kind}, ${path.rtt.toFixed(1)} ms` : link?.state ?? ""]];
  if (status) {
    about.unshift(["Id", status.id], ["Version", status.version], ["Up for", span(status.uptime_ms)]);
    about.push(["Addresses", status.addresses.join(", ")]);
  }
  const parts = about.flatMap(([term, text]) => [["dt", term], ["dd", text]]);
  $("about").replaceChildren(
    ...parts.map(([tag, text]) => {
      const element = document.createElement(tag);
      element.textContent = text;
      return element;
    }),
  );
  const links = status?.links ?? [];
  const rtt = (checks) => (typeof checks?.rtt_ms === "number" ? `${checks.rtt_ms.toFixed(1)} ms` : "–");
  const rows = links.map(({ name, peer, state, path, checks }) => [name ?? peer, path?.remote ?? state, rtt(checks)]);
  fill($("links"), rows.length ? rows : [["none"]]);
}

async function refresh() {
  if (!document.hidden && link) {
    path = await link.stats();
    showValues();
    showStatus();
    chart.draw();
  }
  setTimeout(refresh, REFRESH);
}

// ---- What a person does ------------------------------------------------------------------------------------------------------

async function pair(code) {
  const button = $("pair-button");
  button.disabled = true;
  $("pair-error").textContent = "";
  try {
    await identity.rename($("own-name").value);
    const paired = await peer.pair(code, $("choice").hidden ? undefined : $("device").value);
    $("check").textContent = `Paired with ${paired.name}: both say ${paired.check}.`;
    $("code").value = "";
  } catch (error) {
    if (!(error instanceof PairingError)) console.error(error);
    $("pair-error").textContent = error.message;
  } finally {
    button.disabled = false;
    update();
  }
}

function send() {
  let value;
  try {
    value = JSON.parse($("value").value);
  } catch (error) {
    $("send-note").textContent = `not JSON: ${error.message}`;
    return;
  }
  try {
    const taken = link[$("kind").value]($("address").value, value);
    $("send-note").textContent = taken ? "sent" : "not sent: the link is not open, or too much waits";
  } catch (error) {
    $("send-note").textContent = error.message;
  }
}

function onSubmit(form, act) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

async function start() {
  identity = await Identity.load();
  $("own-name").value = identity.name;
  peer = new Peer({ url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`, identity });
  peer.addEventListener("change", update);
  onSubmit("pair", () => pair($("code").value));
  onSubmit("watch", watch);
  onSubmit("send", send);
  const select = ({ target }) => {
    const address = target.closest("tr")?.dataset.address;
    if (address) choose(address);
  };
  $("values").addEventListener("click", select);
  $("values").addEventListener("keydown", (event) => event.key === "Enter" && select(event));
  update();
  refresh();
  // From a QR code: the part behind # never leaves the browser.
  const scanned = decodeURIComponent(location.hash.slice(1));
  if (scanned.startsWith("clasp:pair?")) {
    history.replaceState(null, "", location.pathname);
    const ready = () => {
      if (!peer.pairable.length) return;
      peer.removeEventListener("change", ready);
      pair(scanned);
    };
    peer.addEventListener("change", ready);
    ready();
  }
}

start().catch((error) => {
  $("state").textContent = error.message;
  throw error;
});
