//! A stock Rust client (`clasp-client` 4.5.0) uses a router from elsewhere, with a token for `read:/pub/*` and
//! `write:/desk/**`, and asserts what that lets it do.
//!
//! Same checks and output as `py/access.py`.

use std::fmt::Debug;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clasp_client::Clasp;
use clasp_core::Value;
use interop::line::emit;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{interval, timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often this client, which does not tell, is asked whether it is still connected.
const PACE: Duration = Duration::from_millis(20);
/// Deliveries a client may have waiting; each check sends a few.
const INBOX: usize = 64;

#[derive(Debug, Parser)]
struct Args {
    /// The router as its own machine sees it, `ws://host:port`.
    local: String,
    /// The same router as other machines see it.
    remote: String,
    /// The token.
    token: String,
}

type Checked = Result<String, String>;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} checks failed");
            ExitCode::FAILURE
        }
        Err(reason) => {
            eprintln!("cannot go on: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<u32, String> {
    let mut failed = 0;
    let mut report = |name: &str, checked: Checked| {
        let (ok, detail) = match checked {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        failed += u32::from(!ok);
        emit(&json!({ "check": name, "ok": ok, "detail": detail })).map_err(|error| error.to_string())
    };
    let mut owner = Client::connect(&args.local, None).await?;
    owner.subscribe("/**").await?;
    for address in ["/secret/key", "/pub/a"] {
        owner.set(address, 1).await?;
        owner.expect(address, 1).await?;
    }
    report("wrong_token", wrong_token(&args.remote).await)?;
    let mut guest = Client::connect(&args.remote, Some(&args.token)).await?;
    report("snapshot", snapshot(&mut guest).await)?;
    report("write", write(&mut guest).await)?;
    guest.set("/pub/a", 9).await?;
    report("refused_write", refused(&mut guest, 101).await)?;
    guest.subscribe("/pub/**").await?;
    report("refused_subscription", refused(&mut guest, 102).await)?;
    emit(&json!({ "event": "waiting" })).map_err(text)?;
    report("revoked", disconnected(&guest).await)?;
    Ok(failed)
}

/// Refused and closed: this client would wait for ever otherwise.
async fn wrong_token(remote: &str) -> Checked {
    match Client::connect(remote, Some(&format!("cpsk_{}", "0".repeat(32)))).await {
        Ok(_) => Err("welcome".to_owned()),
        Err(late) if late == LATE => Err(late),
        Err(refused) => Ok(refused),
    }
}

async fn snapshot(guest: &mut Client) -> Checked {
    guest.subscribe("/pub/*").await?;
    guest.expect("/pub/a", 1).await?;
    match guest.clasp.cached("/secret/key") {
        None => Ok("what may be read".to_owned()),
        Some(secret) => Err(format!("the snapshot after WELCOME holds /secret/key = {secret:?}")),
    }
}

async fn write(guest: &mut Client) -> Checked {
    guest.subscribe("/desk/**").await?;
    guest.set("/desk/1", 2).await?;
    guest.expect("/desk/1", 2).await
}

/// What the router said of what was sent before, and that it did not close for it.
async fn refused(guest: &mut Client, fence: i64) -> Checked {
    guest.set("/desk/fence", fence).await?;
    guest.expect("/desk/fence", fence).await?;
    let error = guest.clasp.last_error();
    guest.clasp.clear_error();
    match error {
        Some(error) if error.code == 301 => Ok(error.message),
        other => Err(format!("expected ERROR 301, got {other:?}")),
    }
}

async fn disconnected(guest: &Client) -> Checked {
    let mut pace = interval(PACE);
    within(async {
        while guest.clasp.is_connected() {
            pace.tick().await;
        }
    })
    .await?;
    Ok("disconnected".to_owned())
}

struct Client {
    clasp: Clasp,
    deliver: Sender<(String, Value)>,
    inbox: Receiver<(String, Value)>,
}

impl Client {
    async fn connect(url: &str, token: Option<&str>) -> Result<Self, String> {
        let builder = Clasp::builder(url).name("access");
        let builder = match token {
            Some(token) => builder.token(token),
            None => builder,
        };
        let (deliver, inbox) = channel(INBOX);
        let clasp = within(builder.connect()).await?.map_err(text)?;
        Ok(Self { clasp, deliver, inbox })
    }

    async fn subscribe(&self, pattern: &str) -> Result<(), String> {
        let deliver = self.deliver.clone();
        let keep = move |value: Value, address: &str| {
            if deliver.try_send((address.to_owned(), value)).is_err() {
                eprintln!("more than {INBOX} deliveries waiting: {address} lost");
            }
        };
        self.clasp.subscribe(pattern, keep).await.map(drop).map_err(text)
    }

    async fn set(&self, address: &str, value: i64) -> Result<(), String> {
        self.clasp.set(address, value).await.map_err(text)
    }

    /// Waits for this delivery; others pass.
    async fn expect(&mut self, address: &str, value: i64) -> Checked {
        let come = async {
            while let Some((at, got)) = self.inbox.recv().await {
                if at == address && got == Value::Int(value) {
                    return Ok(format!("{address} = {value}"));
                }
            }
            Err("the client has ended".to_owned())
        };
        within(come).await.unwrap_or_else(|late| Err(format!("{address} = {value}: {late}")))
    }
}

const LATE: &str = "nothing came in time";

async fn within<T>(work: impl Future<Output = T>) -> Result<T, String> {
    timeout(PATIENCE, work).await.map_err(|_| LATE.to_owned())
}

fn text(error: impl Debug) -> String {
    format!("{error:?}")
}
