// A dashboard: a line for whatever any sensor says, with the published JavaScript client, at the node on its own machine.
// ../README.md says what you will see, and where.
//
//   npm install && node dashboard.mjs [ws://127.0.0.1:7330]

import WebSocket from "ws";
import { Clasp } from "@clasp-to/core";

// Node has no WebSocket of its own before version 22; the client looks for the browser's global.
globalThis.WebSocket = WebSocket;

const url = process.argv[2] ?? "ws://127.0.0.1:7330";
const clasp = await Clasp.builder(url).withName("dashboard").connect();
console.log(`watching /sensors/** at ${url}`);
clasp.onDisconnect(() => console.log("lost the node; it is tried again"));
clasp.subscribe("/sensors/**", (value, address) => console.log(`${address.padEnd(20)} ${JSON.stringify(value)}`));
