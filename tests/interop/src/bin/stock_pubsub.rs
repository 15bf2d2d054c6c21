//! A stock Rust client (`clasp-client` 4.5.0) goes through hello, subscribe, set/get, event, stream, bundle and late
//! join against a router, asserting each step.
//!
//! Prints one JSON line per check, `{"check":NAME,"ok":BOOL,"detail":TEXT}`, and exits with 1 if one failed.
//! `js/pubsub.mjs` and `py/pubsub.py` make the same checks with the other two published clients; the roles are
//! `setter` (sets and bundles), `emitter` (events and streams), `subscriber`, and in the end `latecomer`.

use std::collections::HashMap;
use std::fmt::Debug;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clasp_client::Clasp;
use clasp_core::{Message, PublishMessage, SetMessage, SignalType, Value};
use interop::line::emit;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// How long any single message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// Deliveries a client may have waiting; the largest check sends fifty.
const INBOX: usize = 1024;
/// Stream samples sent in one burst.
const SAMPLES: i64 = 50;

#[derive(Debug, Parser)]
struct Args {
    /// The router, `ws://host:port`.
    router: String,
}

type Checked = Result<String, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let url = Args::parse().router;
    match run(&url).await {
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

async fn run(url: &str) -> Result<u32, String> {
    let mut failed = 0;
    let mut report = |name: &str, checked: Checked| {
        let (ok, detail) = match checked {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        failed += u32::from(!ok);
        emit(&json!({ "check": name, "ok": ok, "detail": detail })).map_err(|error| error.to_string())
    };

    let mut subscriber = Client::connect(url, "subscriber").await?;
    let mut emitter = Client::connect(url, "emitter").await?;
    let mut setter = Client::connect(url, "setter").await?;
    report("hello", hello([&subscriber, &emitter, &setter]))?;
    report("set_echo", set_echo(&mut setter).await)?;
    report("subscribe", subscribe(&mut subscriber, &mut emitter, &setter).await)?;
    report("event", event(&mut subscriber, &mut emitter).await)?;
    report("stream", stream(&mut subscriber, &emitter).await)?;
    report("set", set(&mut subscriber, &setter).await)?;
    report("values", values(&mut subscriber, &setter).await)?;
    report("get", get(&mut subscriber, &setter).await)?;
    report("bundle", bundle(&mut subscriber, &setter).await)?;
    report("unsubscribe", unsubscribe(&mut subscriber, &mut emitter, &setter).await)?;
    report("refused_pattern", refused_pattern(&mut subscriber, &mut emitter, &setter).await)?;
    report("late_join", late_join(url, &setter).await)?;
    report("setter_survives", setter_survives(&subscriber, &mut setter).await)?;
    Ok(failed)
}

fn hello(clients: [&Client; 3]) -> Checked {
    let sessions: Vec<String> = clients.iter().filter_map(|client| client.clasp.session_id()).collect();
    let distinct =
        sessions.iter().all(|id| id.len() == 36 && sessions.iter().filter(|o| *o == id).count() == 1);
    if sessions.len() == clients.len() && distinct {
        Ok(sessions.join(" "))
    } else {
        Err(format!("not three different UUIDs: {sessions:?}"))
    }
}

async fn set_echo(setter: &mut Client) -> Checked {
    setter.subscribe("/interop/rust/ready").await?;
    setter.subscribe("/interop/rust/setter").await?;
    setter.set("/interop/rust/ready", 1).await?;
    setter.expect("/interop/rust/ready", &Value::Int(1)).await
}

/// The subscription's SNAPSHOT holds what was set after the subscriber connected: it does not come from the one that
/// follows WELCOME. A SET outside the pattern is not delivered.
async fn subscribe(subscriber: &mut Client, emitter: &mut Client, setter: &Client) -> Checked {
    for client in [&mut *subscriber, emitter] {
        client.subscribe("/interop/rust/**").await?;
        client.expect("/interop/rust/ready", &Value::Int(1)).await?;
    }
    setter.set("/elsewhere/rust", 1).await?;
    setter.set("/interop/rust/inside", 2).await?;
    emitter.expect("/interop/rust/inside", &Value::Int(2)).await?;
    subscriber.expect("/interop/rust/inside", &Value::Int(2)).await?;
    match subscriber.clasp.cached("/elsewhere/rust") {
        None => Ok("what matches, nothing else".to_owned()),
        Some(value) => Err(format!("delivered without a subscription: /elsewhere/rust = {value:?}")),
    }
}

/// Everybody but the sender gets an event.
async fn event(subscriber: &mut Client, emitter: &mut Client) -> Checked {
    let cue = map([("cue", Value::String("intro".into())), ("bar", Value::Int(12))]);
    emitter.emit("/interop/rust/event", cue.clone()).await?;
    subscriber.expect("/interop/rust/event", &cue).await?;
    let reply = Value::String("from the subscriber".into());
    subscriber.emit("/interop/rust/event", reply.clone()).await?;
    emitter.expect("/interop/rust/event", &reply).await
}

async fn stream(subscriber: &mut Client, emitter: &Client) -> Checked {
    for sample in 0..SAMPLES {
        emitter.clasp.stream("/interop/rust/stream", sample).await.map_err(text)?;
    }
    for sample in 0..SAMPLES {
        subscriber.expect("/interop/rust/stream", &Value::Int(sample)).await?;
    }
    Ok(format!("{SAMPLES} samples in order"))
}

async fn set(subscriber: &mut Client, setter: &Client) -> Checked {
    setter.set("/interop/rust/level", 0.5).await?;
    subscriber.expect("/interop/rust/level", &Value::Float(0.5)).await
}

async fn values(subscriber: &mut Client, setter: &Client) -> Checked {
    let all = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-7),
        Value::Int(i64::MIN),
        Value::Float(1.5),
        Value::String("Gr\u{fc}\u{df}e \u{1f39b}".into()),
        Value::Bytes(vec![0, 1, 254, 255]),
        Value::Array(vec![Value::Int(1), Value::String("two".into()), Value::Array(vec![])]),
        map([("inner", map([("deep", Value::Float(0.25))])), ("none", Value::Null)]),
    ];
    for (at, value) in all.iter().enumerate() {
        setter.set(&format!("/interop/rust/value/{at}"), value.clone()).await?;
    }
    for (at, value) in all.iter().enumerate() {
        subscriber.expect(&format!("/interop/rust/value/{at}"), value).await?;
    }
    Ok(format!("{} values of every kind", all.len()))
}

/// The address is outside the subscriber's patterns, so its cache cannot answer for the router.
async fn get(subscriber: &mut Client, setter: &Client) -> Checked {
    setter.set("/interop-get/rust", 42).await?;
    setter.set("/interop/rust/fence", 1).await?;
    subscriber.expect("/interop/rust/fence", &Value::Int(1)).await?;
    match subscriber.clasp.get("/interop-get/rust").await {
        Ok(Value::Int(42)) => Ok("42".to_owned()),
        other => Err(format!("get answered {other:?}")),
    }
}

async fn bundle(subscriber: &mut Client, setter: &Client) -> Checked {
    let done = Value::String("done".into());
    let members = vec![
        set_message("/interop/rust/bundle/1", Value::Float(1.0)),
        set_message("/interop/rust/bundle/2", Value::Float(0.0)),
        event_message("/interop/rust/bundle/3", done.clone()),
    ];
    setter.clasp.bundle(members).await.map_err(text)?;
    subscriber.expect("/interop/rust/bundle/1", &Value::Float(1.0)).await?;
    subscriber.expect("/interop/rust/bundle/2", &Value::Float(0.0)).await?;
    subscriber.expect("/interop/rust/bundle/3", &done).await
}

/// The client's cache follows whatever the router delivers, subscribed or not: it must stop following.
async fn unsubscribe(subscriber: &mut Client, emitter: &mut Client, setter: &Client) -> Checked {
    let id = subscriber.subscribe("/interop-un/rust").await?;
    fence(subscriber, emitter, 1).await?;
    setter.set("/interop-un/rust", 1).await?;
    subscriber.expect("/interop-un/rust", &Value::Int(1)).await?;
    subscriber.clasp.unsubscribe(id).await.map_err(text)?;
    fence(subscriber, emitter, 2).await?;
    setter.set("/interop-un/rust", 2).await?;
    setter.set("/interop/rust/fence", 2).await?;
    subscriber.expect("/interop/rust/fence", &Value::Int(2)).await?;
    match subscriber.clasp.cached("/interop-un/rust") {
        Some(Value::Int(1)) => Ok("nothing after UNSUBSCRIBE".to_owned()),
        other => Err(format!("the router went on: {other:?}")),
    }
}

async fn refused_pattern(subscriber: &mut Client, emitter: &mut Client, setter: &Client) -> Checked {
    subscriber.subscribe("no-slash").await?;
    fence(subscriber, emitter, 3).await?;
    setter.set("/interop/rust/fence", 3).await?;
    subscriber.expect("/interop/rust/fence", &Value::Int(3)).await?;
    match subscriber.clasp.last_error() {
        Some(error) if error.code == 202 => Ok(error.message),
        other => Err(format!("expected ERROR 202, got {other:?}")),
    }
}

/// A newcomer gets what was set before it came, and no event that was.
async fn late_join(url: &str, setter: &Client) -> Checked {
    let mut latecomer = Client::connect(url, "latecomer").await?;
    latecomer.subscribe("/interop/rust/**").await?;
    let before = latecomer.until("/interop/rust/level", &Value::Float(0.5)).await?;
    setter.set("/interop/rust/fence", 4).await?;
    let after = latecomer.until("/interop/rust/fence", &Value::Int(4)).await?;
    match before.iter().chain(&after).find(|(address, _)| address == "/interop/rust/event") {
        Some(event) => Err(format!("an old event was replayed: {event:?}")),
        None => Ok("state yes, events no".to_owned()),
    }
}

async fn setter_survives(subscriber: &Client, setter: &mut Client) -> Checked {
    let hello = Value::String("still there?".into());
    subscriber.emit("/interop/rust/setter", hello.clone()).await?;
    setter.expect("/interop/rust/setter", &hello).await
}

/// Whatever the subscriber sent before has been carried out by the router when the emitter hears this.
async fn fence(subscriber: &Client, emitter: &mut Client, number: i64) -> Result<(), String> {
    subscriber.emit("/interop/rust/ping", number).await?;
    emitter.until("/interop/rust/ping", &Value::Int(number)).await.map(drop)
}

struct Client {
    clasp: Clasp,
    deliver: Sender<(String, Value)>,
    inbox: Receiver<(String, Value)>,
}

impl Client {
    async fn connect(url: &str, name: &str) -> Result<Self, String> {
        let connecting = Clasp::builder(url).name(name).connect();
        let clasp = timeout(PATIENCE, connecting).await.map_err(|_| format!("{name}: no WELCOME"))?;
        let (deliver, inbox) = channel(INBOX);
        Ok(Self { clasp: clasp.map_err(text)?, deliver, inbox })
    }

    async fn subscribe(&self, pattern: &str) -> Result<u32, String> {
        let deliver = self.deliver.clone();
        let keep = move |value: Value, address: &str| {
            if let Err(TrySendError::Full(_)) = deliver.try_send((address.to_owned(), value)) {
                eprintln!("more than {INBOX} deliveries waiting: {address} lost");
            }
        };
        self.clasp.subscribe(pattern, keep).await.map_err(text)
    }

    async fn set(&self, address: &str, value: impl Into<Value>) -> Result<(), String> {
        self.clasp.set(address, value).await.map_err(text)
    }

    async fn emit(&self, address: &str, value: impl Into<Value>) -> Result<(), String> {
        self.clasp.emit(address, value).await.map_err(text)
    }

    /// The next delivery at this address must carry this value.
    async fn expect(&mut self, address: &str, value: &Value) -> Checked {
        loop {
            let (at, got) = self.next(address).await?;
            match at == address {
                true if got == *value => return Ok(format!("{address} = {got:?}")),
                true => return Err(format!("{address}: expected {value:?}, got {got:?}")),
                false => {}
            }
        }
    }

    /// Everything up to and without this delivery.
    async fn until(&mut self, address: &str, value: &Value) -> Result<Vec<(String, Value)>, String> {
        let mut passed = Vec::new();
        loop {
            let delivery = self.next(address).await?;
            if delivery.0 == address && delivery.1 == *value {
                return Ok(passed);
            }
            passed.push(delivery);
        }
    }

    async fn next(&mut self, awaited: &str) -> Result<(String, Value), String> {
        match timeout(PATIENCE, self.inbox.recv()).await {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) | Err(_) => Err(format!("nothing at {awaited} within {PATIENCE:?}")),
        }
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>())
}

fn set_message(address: &str, value: Value) -> Message {
    Message::Set(SetMessage {
        address: address.to_owned(),
        value,
        revision: None,
        lock: false,
        unlock: false,
        ttl: None,
    })
}

fn event_message(address: &str, payload: Value) -> Message {
    Message::Publish(PublishMessage {
        address: address.to_owned(),
        signal: Some(SignalType::Event),
        value: None,
        payload: Some(payload),
        samples: None,
        rate: None,
        id: None,
        phase: None,
        timestamp: None,
        timeline: None,
    })
}

fn text(error: impl Debug) -> String {
    format!("{error:?}")
}
