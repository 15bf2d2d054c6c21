//! `clasp-node discover`: the devices of the network. The node that runs here knows them already; without one, they are looked for.

use std::rc::Rc;
use std::time::Duration;

use clasp_node::driver::control::{self, AskError, Place};
use clasp_node::driver::discovery::{Lookout, LookoutConfig};
use clasp_node::driver::store::{Access, State};
use clasp_node::driver::{Devices, Loopback};
use serde::Deserialize;
use serde_json::{Value, json};
use smol::{LocalExecutor, Timer};

use super::client::interruptible;
use super::{DiscoverArgs, Failure, output};

/// Between two looks at what was found.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is printed of a device.
#[derive(Deserialize)]
struct Row {
    name: String,
    instance: Option<String>,
    device: Option<String>,
    paired: bool,
    linked: bool,
    pairing: bool,
    routers: Vec<String>,
    sources: Vec<String>,
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let name = match &self.instance {
            Some(instance) => format!("{} ({instance})", self.name),
            None => self.name.clone(),
        };
        let state = match self {
            Self { linked: true, .. } => "linked",
            Self { pairing: true, .. } => "can be paired",
            Self { paired: true, .. } => "paired",
            Self { device: None, .. } => "stock",
            _ => "",
        };
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            name,
            self.device.clone().unwrap_or_else(|| "-".to_owned()),
            or_dash(state.to_owned()),
            or_dash(self.sources.join(" ")),
            or_dash(self.routers.join(" ")),
        ]
    }
}

/// Where to ask.
enum Eyes {
    /// The node that runs here.
    Service(Place),
    /// Our own.
    Own { lookout: Box<Lookout>, state: Box<State> },
}

impl Eyes {
    async fn open(args: &DiscoverArgs, executor: &LocalExecutor<'static>) -> Result<Self, Failure> {
        let place = Place::choose(args.control.control.clone());
        match control::ask(&place, &json!({"cmd": "discover"})).await {
            Ok(_) => return Ok(Self::Service(place)),
            Err(AskError::NotRunning(_) | AskError::Place(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let state = Box::new(args.state.open(Access::Read)?);
        let device = state.identity.id();
        let config = LookoutConfig { device, advertised: None, only: None, loopback: Loopback::Auto };
        Ok(Self::Own { lookout: Box::new(Lookout::start(config, executor)?), state })
    }

    async fn look(&self) -> Result<Value, Failure> {
        match self {
            Self::Service(place) => Ok(control::ask(place, &json!({"cmd": "discover"})).await?),
            Self::Own { lookout, state } => {
                let status = lookout.status();
                let devices = Devices::new(&status.found, &state.pairs, status.faults);
                Ok(serde_json::to_value(devices)?)
            }
        }
    }
}

pub(super) async fn run(args: DiscoverArgs, executor: &Rc<LocalExecutor<'static>>) -> Result<(), Failure> {
    let eyes = Eyes::open(&args, executor).await?;
    if args.watch {
        return interruptible(watch(&args, &eyes)).await;
    }
    interruptible(async {
        Timer::after(args.wait).await;
        let found = eyes.look().await?;
        if args.json {
            return Ok(output::object(&found)?);
        }
        note_faults(&found);
        let rows = rows(&found)?;
        if rows.is_empty() {
            eprintln!("no device was found; `clasp-node doctor` tells what keeps this one from looking");
            return Ok(());
        }
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        Ok(output::table(["NAME", "DEVICE", "STATE", "SOURCE", "ROUTER"], &cells)?)
    })
    .await
}

/// Prints a device when it comes, changes or goes.
async fn watch(args: &DiscoverArgs, eyes: &Eyes) -> Result<(), Failure> {
    let mut before: Vec<Value> = Vec::new();
    note_faults(&eyes.look().await?);
    loop {
        let found = eyes.look().await?;
        let devices = found.get("devices").and_then(Value::as_array).cloned().unwrap_or_default();
        for device in devices.iter().filter(|device| !before.contains(device)) {
            let known = before.iter().any(|old| is_same(old, device));
            tell(args, if known { "changed" } else { "found" }, device)?;
        }
        for device in before.iter().filter(|old| !devices.iter().any(|new| is_same(old, new))) {
            tell(args, "lost", device)?;
        }
        before = devices;
        Timer::after(LOOK_EVERY).await;
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    let key = |device: &Value| match device.get("device") {
        Some(Value::String(id)) => id.clone(),
        _ => device.get("routers").map(Value::to_string).unwrap_or_default(),
    };
    key(a) == key(b)
}

fn tell(args: &DiscoverArgs, event: &str, device: &Value) -> Result<(), Failure> {
    if args.json {
        return Ok(output::object(&json!({"event": event, "device": device}))?);
    }
    let [name, id, state, sources, routers] = Row::deserialize(device)?.cells();
    Ok(output::line(&format!("{event:<8} {name}  {id}  {state}  {sources}  {routers}"))?)
}

fn rows(found: &Value) -> Result<Vec<Row>, Failure> {
    Ok(Vec::deserialize(found.get("devices").unwrap_or(&Value::Null))?)
}

fn note_faults(found: &Value) {
    for fault in found.get("faults").and_then(Value::as_array).into_iter().flatten() {
        if let Some(fault) = fault.as_str() {
            eprintln!("some may be missing: {fault}");
        }
    }
}
