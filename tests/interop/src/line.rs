//! Owns: the line protocol between a test and a peer process, the same for stock and edge peers.
//!
//! The test writes commands to the peer's stdin, one per line:
//! ```text
//! connect <session>
//! send <session> <reliable|unreliable> <hex>
//! disconnect <session>                          (the stock client offers no such call)
//! quit                                          (as does the end of stdin)
//! ```
//! The peer answers with one JSON object per line on stdout, `event` naming its kind:
//! ```text
//! {"event":"session","id":S}                                  its session on the router
//! {"event":"peer","id":S,…}                                   a peer announced itself
//! {"event":"connected","peer":S,"count":N,…}                  the Nth time the library said so for this peer
//! {"event":"failed","peer":S,"reason":T} · {"event":"disconnected","peer":S,"reason":T|null}
//! {"event":"data","peer":S,"channel":C,"length":N,"hex":H}    one message as it arrived
//! {"event":"sent","peer":S,"channel":C,"length":N,"route":"p2p"|"relay"}
//! {"event":"error","command":T,"reason":T}                    a command could not be carried out
//! ```

use std::fmt;
use std::io::{self, Write as _};
use std::str::FromStr;

use serde_json::Value;

/// One of the two data channels between peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `clasp-reliable`: ordered, retransmitted.
    Reliable,
    /// `clasp`: unordered, never retransmitted.
    Unreliable,
}

/// What a test can ask of a peer process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Offer a connection to this session.
    Connect(String),
    /// Send one message over an open connection.
    Send {
        /// The session at the other end.
        peer: String,
        /// The channel to use.
        channel: Channel,
        /// The message.
        bytes: Vec<u8>,
    },
    /// End the connection to this session.
    Disconnect(String),
    /// End the process.
    Quit,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["connect", peer] => Ok(Self::Connect((*peer).to_owned())),
            ["send", peer, channel, text] => Ok(Self::Send {
                peer: (*peer).to_owned(),
                channel: channel.parse()?,
                bytes: hex::decode(text).map_err(|error| format!("send: {error}"))?,
            }),
            ["disconnect", peer] => Ok(Self::Disconnect((*peer).to_owned())),
            ["quit"] => Ok(Self::Quit),
            _ => Err("expected one of: connect, send, disconnect, quit, each with its arguments".to_owned()),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(peer) => write!(f, "connect {peer}"),
            Self::Send { peer, channel, bytes } => write!(f, "send {peer} {channel} {}", hex::encode(bytes)),
            Self::Disconnect(peer) => write!(f, "disconnect {peer}"),
            Self::Quit => f.write_str("quit"),
        }
    }
}

impl FromStr for Channel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reliable" => Ok(Self::Reliable),
            "unreliable" => Ok(Self::Unreliable),
            _ => Err(format!("send: no channel named {text:?}")),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reliable => "reliable",
            Self::Unreliable => "unreliable",
        })
    }
}

/// Writes one event line to stdout.
///
/// # Errors
/// When stdout is gone: whoever started the process has ended.
pub fn emit(event: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{event}")?;
    out.flush()
}
