//! The lines between an end and the program that compares: one JSON object each.

use std::io::{self, BufRead as _, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an end is told to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Command {
    /// Open a connection with one reliable, ordered channel. Answered by [`Event::Open`].
    Connect {
        /// The other end's session, where a router introduces them.
        peer: Option<String>,
    },
    /// What the other end's [`Event::Signal`] said.
    Signal {
        /// As it was.
        data: Value,
    },
    /// Send messages until either limit is reached. Answered by [`Event::Sent`].
    Send {
        /// Bytes of a message, everything included that is handed to the stack.
        size: usize,
        /// Most messages.
        messages: u64,
        /// No new message after so many milliseconds.
        ms: u64,
    },
    /// Send a message, wait until it comes back, send the next. Answered by [`Event::Echoed`].
    Echo {
        /// How many.
        count: usize,
    },
    /// Close the connection; another may be opened afterwards. Answered by [`Event::Closed`].
    Close,
    /// End. The end of the standard input means the same.
    Quit,
}

/// What an end tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// It can be told to connect.
    Ready {
        /// Its session, where a router introduces the ends.
        session: Option<String>,
    },
    /// To be told to the other end.
    Signal {
        /// An offer, an answer, a candidate: whatever the stack needs.
        data: Value,
    },
    /// The first message on the channel has come back.
    Open {
        /// Since the command.
        us: f64,
    },
    /// The other end says that it has everything.
    Sent {
        /// Messages that arrived there, in order.
        messages: u64,
        /// Their bytes.
        bytes: u64,
        /// From the first message handed to the stack until the receipt.
        us: f64,
    },
    /// All messages came back.
    Echoed {
        /// From sending a message until it was back, each.
        round_trip_us: Vec<f64>,
        /// From sending a message until the other end had it, each.
        one_way_us: Vec<f64>,
    },
    /// The connection is closed.
    Closed,
    /// It cannot go on.
    Failed {
        /// Why.
        why: String,
    },
}

/// Writes a line for the program that compares.
///
/// # Errors
/// When nobody listens any more.
pub fn emit(event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Hands every command to `each`, and [`Command::Quit`] at the end of the input. Blocks until then, or until `each` returns
/// false.
pub fn commands(mut each: impl FnMut(Command) -> bool) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(command) => {
                if !each(command) {
                    return;
                }
            }
            Err(error) => {
                let why = format!("not a command: {error}: {line}");
                if emit(&Event::Failed { why }).is_err() {
                    break;
                }
            }
        }
    }
    each(Command::Quit);
}
