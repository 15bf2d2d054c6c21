//! Our router and node against the published CLASP 4.5 programs, as real processes on loopback.
//!
//! Programs of the main workspace come from `CLASP_ROUTER_LITE` (default `../../target/debug/router-lite`) and
//! `CLASP_NODE` (default `../../target/debug/clasp-node`); the JavaScript and Python clients need `js/node_modules` and `.venv`. The script `run` prepares all of it.

mod access;
mod discovery;
mod example;
mod keep_alive;
mod latency;
mod metrics;
mod peer;
mod peer_to_peer;
mod process;
mod pub_sub;
mod router;
