//! `clasp-node pair`: on one device to show a code, on the other to type it. The node that runs here does the rest.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use async_signal::{Signal, Signals};
use clasp_node::driver::control::{self, Place};
use serde::Deserialize;
use serde_json::{Value, json};
use smol::future::FutureExt;
use smol::stream::StreamExt;

use super::client::interruptible;
use super::{Failure, PairArgs, id, output};

/// A code may be given in the environment; never as an argument, which everybody on the machine can read.
const CODE_VARIABLE: &str = "CLASP_NODE_CODE";

/// How much longer than the code is good for the end may take: a run that has begun, and the link after it. Also what a caller waits.
const PATIENCE: Duration = Duration::from_secs(45);

#[derive(Deserialize)]
struct Shown {
    code: String,
    qr: String,
    page: Option<String>,
    lasts: u64,
}

#[derive(Deserialize)]
struct Paired {
    device: String,
    name: String,
    check: String,
    not_stored: Option<String>,
}

pub(super) async fn run(args: PairArgs) -> Result<(), Failure> {
    let place = Place::choose(args.control.control.clone());
    let result = match &args.peer {
        Some(peer) => call(&args, &place, peer).await?,
        None => show(&args, &place).await?,
    };
    let paired = Paired::deserialize(&result)?;
    if args.json {
        output::object(&json!({"event": "paired", "paired": result}))?;
    } else {
        let Paired { device, name, check, .. } = &paired;
        output::line(&format!("paired with {name} ({device}); both devices say {check}"))?;
    }
    match paired.not_stored {
        Some(why) => Err(Failure::Failed(format!("it will not be known after a restart: {why}"))),
        None => Ok(()),
    }
}

async fn show(args: &PairArgs, place: &Place) -> Result<Value, Failure> {
    // Before there is a code that would have to be taken back.
    let mut signals = Signals::new([Signal::Int, Signal::Term])?;
    let request = json!({"cmd": "pair_show", "seconds": args.seconds, "log": args.to_log});
    let shown = control::ask(place, &request).await?;
    let Shown { code, qr, page, lasts } = Shown::deserialize(&shown)?;
    if args.page && page.is_none() {
        hide(place).await;
        return Err(Failure::Failed("this device has no page that other hosts can reach".to_owned()));
    }
    if args.json {
        output::object(&json!({"event": "shown", "shown": shown}))?;
    } else {
        let text = match (&page, args.page) {
            (Some(page), true) => format!("{page}#{qr}"),
            _ => qr,
        };
        if args.qr || args.page || std::io::stdout().is_terminal() {
            id::show(&text)?;
            output::line("")?;
        }
        output::line(&format!("code {code}, good for {lasts} s"))?;
        eprintln!("on the other device: clasp-node pair NAME-OF-THIS-ONE");
        if let Some(page) = page {
            eprintln!("or in a browser: {page}");
        }
    }
    let patience = Duration::from_secs(lasts) + PATIENCE;
    let wait = async {
        control::ask_patiently(place, &json!({"cmd": "pair_wait"}), patience).await.map_err(declined)
    };
    let interrupted = async {
        signals.next().await;
        Err(Failure::Interrupted)
    };
    let result = wait.or(interrupted).await;
    if let Err(Failure::Interrupted) = &result {
        hide(place).await;
    }
    result
}

async fn hide(place: &Place) {
    if let Err(error) = control::ask(place, &json!({"cmd": "pair_hide"})).await {
        log::warn!("the code may still be good: {error}");
    }
}

async fn call(args: &PairArgs, place: &Place, peer: &str) -> Result<Value, Failure> {
    // Rather say so now than after somebody has typed a code.
    control::ask(place, &json!({"cmd": "pairs"})).await?;
    let code = code(peer)?;
    let request = json!({"cmd": "pair", "peer": peer, "code": code.trim()});
    if !args.json {
        eprintln!("pairing with {peer}");
    }
    interruptible(async { control::ask_patiently(place, &request, PATIENCE).await.map_err(declined) }).await
}

/// From the environment, from the person at the terminal, or from standard input.
fn code(peer: &str) -> Result<String, Failure> {
    if let Ok(code) = std::env::var(CODE_VARIABLE) {
        return Ok(code);
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("code that {peer} shows: ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    if stdin.lock().read_line(&mut line)? == 0 {
        return Err(Failure::Usage(format!("no code: type it, or give it in {CODE_VARIABLE}")));
    }
    Ok(line)
}

/// What the node says of a pairing needs no introduction.
fn declined(error: control::AskError) -> Failure {
    match error {
        control::AskError::Declined(why) => Failure::Failed(why),
        error => error.into(),
    }
}
