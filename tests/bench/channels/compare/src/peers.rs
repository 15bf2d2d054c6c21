//! Which stacks there are, and whether they can be measured here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Program;

/// A stack.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How to start an end of it, or why that is not possible here.
    pub(crate) program: Result<Program, String>,
    /// Its ends are introduced by a router; the others' signals go through our hands.
    pub(crate) introduced: bool,
    /// It can close a connection and open another; if not, every opening needs new processes.
    pub(crate) reopens: bool,
    /// Between two openings: ours takes 4 offers a second.
    pub(crate) pause: Duration,
    /// It is compared on a bad path as well.
    pub(crate) on_bad_path: bool,
}

/// The one the others are compared with.
pub(crate) const OURS: &str = "clasp-node";

/// Every stack, ours first.
pub(crate) fn all() -> Vec<Peer> {
    let script = |interpreter, packages, file| {
        let program = script(interpreter, packages, file);
        Peer { program, on_bad_path: false, ..built("", "", "") }
    };
    vec![
        Peer {
            introduced: true,
            pause: Duration::from_millis(270),
            ..built(OURS, "our library, smol", "peer-clasp-node")
        },
        Peer {
            introduced: true,
            reopens: false,
            ..built("stock-clasp", "clasp-client 4.5.0, webrtc-rs 0.10 inside, tokio", "peer-stock-clasp")
        },
        built("webrtc-rs", "webrtc 0.21.1, tokio", "peer-webrtc-rs"),
        built("libdatachannel", "datachannel 0.16.1, usrsctp, OpenSSL", "peer-libdatachannel"),
        Peer {
            name: "node-datachannel",
            what: "npm node-datachannel 0.33.4, libdatachannel in Node.js",
            ..script("node", "js/node_modules/node-datachannel", "js/peer.mjs")
        },
        Peer {
            name: "aiortc",
            what: "aiortc 1.16.0, Python",
            ..script("py/.venv/bin/python", "py/.venv/installed-from", "py/peer.py")
        },
    ]
}

/// A program of this workspace, beside this one.
fn built(name: &'static str, what: &'static str, program: &str) -> Peer {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(program)));
    let program = match beside.filter(|path| path.is_file()) {
        Some(path) => Ok(Program { path, script: None }),
        None => Err(format!("not built: cargo build --release -p {program}")),
    };
    let pause = Duration::from_millis(20);
    Peer { name, what, program, introduced: false, reopens: true, pause, on_bad_path: true }
}

/// A script of this workspace, if its interpreter and its packages are there.
fn script(interpreter: &str, packages: &str, script: &str) -> Result<Program, String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let missing = |what: &str| format!("no {what}: run channels/scripts/prepare");
    let path = match interpreter.contains('/') {
        true => Some(scripts.join(interpreter)).filter(|path| path.is_file()),
        false => in_path(interpreter),
    };
    let path = path.ok_or_else(|| missing(interpreter))?;
    if !scripts.join(packages).exists() {
        return Err(missing(packages));
    }
    Ok(Program { path, script: Some(scripts.join(script)) })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}
