//! An actuator: an LED that any device may switch, at `/actuators/led` of the node on its own machine. What it did it says in
//! `/actuators/led/state`. With the file of an LED it switches that, without it only says so.
//!
//! You will see what `README.md` shows, once somebody sets the address, here or on another device:
//! `cargo run -p examples --example actuator [ws://127.0.0.1:7330 [/sys/class/leds/ACT/brightness]]`

use std::error::Error;
use std::time::Duration;

use clasp_node::RouterUrl;
use clasp_node::driver::client::RouterClient;
use clasp_wire::message::{Set, Subscribe, TypeMask};
use clasp_wire::{Message, Value};
use examples::say;

const WANTED: &str = "/actuators/led";
const STATE: &str = "/actuators/led/state";
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url: RouterUrl = args.next().as_deref().unwrap_or("ws://127.0.0.1:7330").parse()?;
    smol::block_on(run(&url, args.next().as_deref()))
}

async fn run(url: &RouterUrl, file: Option<&str>) -> Result<(), Box<dyn Error>> {
    let mut client = RouterClient::connect(url, "led", "", PATIENCE).await?;
    let (max_rate, epsilon, history, window) = (None, None, None, None);
    let types = TypeMask::ANY;
    let subscribe = Subscribe { id: 1, pattern: WANTED, types, max_rate, epsilon, history, window };
    client.send(&Message::Subscribe(subscribe)).await?;
    say(&format!("waiting for {WANTED}"))?;
    let mut lit = None;
    loop {
        let frame = client.next().await?;
        let mut scratch = Vec::new();
        let wanted = match Message::decode(&frame, &mut scratch)?.1 {
            Message::Set(set) if set.address == WANTED => Some(set.value),
            // How it is when we come, or come back.
            Message::Snapshot { params } => {
                params.iter().find(|param| param.address == WANTED).map(|param| param.value)
            }
            Message::Ping => {
                client.send(&Message::Pong).await?;
                None
            }
            Message::Error(error) => return Err(error.message.into()),
            _ => None,
        };
        match wanted {
            Some(Value::Bool(on)) if lit != Some(on) => {
                lit = Some(on);
                switch(on, file)?;
                client.send(&state(on)).await?;
            }
            None | Some(Value::Bool(_)) => {}
            Some(other) => say(&format!("neither true nor false: {other:?}"))?,
        }
    }
}

fn switch(on: bool, file: Option<&str>) -> std::io::Result<()> {
    if let Some(file) = file {
        std::fs::write(file, if on { "1" } else { "0" })?;
    }
    say(if on { "led on" } else { "led off" })
}

fn state(on: bool) -> Message<'static> {
    let (revision, ttl) = (None, None);
    Message::Set(Set { address: STATE, value: Value::Bool(on), revision, lock: false, unlock: false, ttl })
}
