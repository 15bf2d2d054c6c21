//! The published discovery (`clasp-discovery` 4.5.0): looks for devices in one of its ways, or is one to be found in both.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use clasp_discovery::DiscoveryEvent;
use clasp_discovery::broadcast::BroadcastResponder;
use interop::line::emit;
use mdns_sd::{ServiceDaemon, ServiceInfo};
use serde_json::json;
use tokio::sync::mpsc::channel;

/// The port of discovery by broadcast.
const PORT: u16 = 7331;
/// Devices that may be found and not yet printed.
const FOUND: usize = 16;

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints the devices that multicast DNS finds, until killed.
    Mdns,
    /// Prints the devices that answer a broadcast.
    Broadcast,
    /// Is a device of this name, whose router is said to be on this port.
    Be {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse().what).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(what: What) -> Result<(), String> {
    let (sender, mut events) = channel(FOUND);
    let looks = match what {
        What::Be { name, port } => return be(&name, port).await,
        What::Mdns => tokio::spawn(clasp_discovery::mdns::discover(sender)),
        What::Broadcast => tokio::spawn(clasp_discovery::broadcast::discover(PORT, sender)),
    };
    while let Some(event) = events.recv().await {
        match event {
            DiscoveryEvent::Found(device) => {
                let url = device.ws_url().unwrap_or_default().to_owned();
                say(&json!({"event": "found", "name": device.name, "url": url}))?;
            }
            DiscoveryEvent::Lost(id) => say(&json!({"event": "lost", "id": id}))?,
            DiscoveryEvent::Error(why) => return Err(why),
        }
    }
    looks.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

fn say(event: &serde_json::Value) -> Result<(), String> {
    emit(event).map_err(|error| error.to_string())
}

async fn be(name: &str, port: u16) -> Result<(), String> {
    let mdns = advertise(name, port).map_err(|error| error.to_string())?;
    let responder = BroadcastResponder::bind(PORT, name.to_owned(), vec!["param".to_owned()]).await;
    let responder = responder.map_err(|error| error.to_string())?;
    say(&json!({"event": "ready"}))?;
    let ended = responder.run().await.map_err(|error| error.to_string());
    drop(mdns);
    ended
}

/// What `ServiceAdvertiser` of 4.5.0 does, and the host's addresses besides: it registers a service without any, and its library then says
/// nothing at all, so that not even stock discovery finds such a device.
fn advertise(name: &str, port: u16) -> mdns_sd::Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    let text = port.to_string();
    let properties = [("version", "2"), ("name", name), ("features", "pe"), ("ws", text.as_str())];
    let service = ServiceInfo::new("_clasp._tcp.local.", name, "porch-host.local.", "", port, &properties[..])?;
    daemon.register(service.enable_addr_auto())?;
    Ok(daemon)
}
