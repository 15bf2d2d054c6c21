//! The published discovery finds our node, and our node finds it: by multicast DNS and by broadcast, between two hosts that are network
//! namespaces. Needs root, or `sudo` that asks nothing.

use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use serde_json::Value;

use crate::process::Process;

/// How long anything may take to be found.
const SOON: Duration = Duration::from_secs(10);
/// The addresses of the two hosts.
const ADDRESSES: [&str; 2] = ["10.82.0.1", "10.82.0.2"];

/// Runs a command as root.
fn as_root(arguments: &[&str]) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let prefix: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let mut words = prefix.iter().chain(arguments);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}

/// Two hosts with a cable between them; they are gone when this is dropped.
struct Hosts([String; 2]);

impl Hosts {
    fn new(name: &str) -> Self {
        let hosts = ["ours", "stock"].map(|host| format!("clasp-{}-{name}-{host}", std::process::id()));
        let this = Self(hosts);
        let [ours, stock] = &this.0;
        ip(&["netns", "add", ours]);
        ip(&["netns", "add", stock]);
        ip(&["-n", ours, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", stock]);
        for (host, address) in this.0.iter().zip(ADDRESSES) {
            ip(&["-n", host, "link", "set", "lo", "up"]);
            ip(&["-n", host, "link", "set", "eth0", "up"]);
            ip(&["-n", host, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
            // Stock discovery sends to 255.255.255.255 from any address, so the kernel has to know the way.
            ip(&["-n", host, "route", "add", "default", "dev", "eth0"]);
        }
        this
    }

    fn on(&self, host: usize, program: &str, arguments: &[&str]) -> Process {
        let host = &self.0[host];
        let state = env::temp_dir().join(format!("{host}-state"));
        let state = format!("CLASP_NODE_STATE={}", state.display());
        let control = format!("CLASP_NODE_CONTROL={}", env::temp_dir().join(format!("{host}.sock")).display());
        let prefix = ["ip", "netns", "exec", host, "env", &state, &control, program];
        Process::start(program, &mut as_root(&[prefix.as_slice(), arguments].concat()))
    }

    fn ours(&self, arguments: &[&str]) -> Process {
        self.on(0, &env::var("CLASP_NODE").expect("CLASP_NODE names our node"), arguments)
    }

    fn stock(&self, arguments: &[&str]) -> Process {
        self.on(1, env!("CARGO_BIN_EXE_stock_discovery"), arguments)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.0 {
            ip(&["netns", "delete", host]);
        }
    }
}

fn ip(arguments: &[&str]) {
    let done = as_root(&[&["ip"], arguments].concat()).output().expect("iproute2 is installed");
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn stock_discovery_finds_our_node() {
    let hosts = Hosts::new("found");
    let node = hosts.ours(&["run", "--name", "kitchen", "--json"]);
    node.wait_for("router", SOON, |event| event["event"] == "router_ready");
    let url = format!("ws://{}:7330/clasp", ADDRESSES[0]);
    for way in ["mdns", "broadcast"] {
        let stock = hosts.stock(&[way]);
        let found = stock.wait_for("device", SOON, |event| event["event"] == "found");
        assert_eq!((found["name"].as_str(), found["url"].as_str()), (Some("kitchen"), Some(url.as_str())), "{way}");
    }
}

#[test]
fn our_node_finds_a_stock_device() {
    let hosts = Hosts::new("finds");
    let stock = hosts.stock(&["be", "porch", "7444"]);
    stock.wait_for("device", SOON, |event| event["event"] == "ready");
    let watch = hosts.ours(&["discover", "--watch", "--json"]);
    let porch = |device: &Value, source: &str, router: &str| {
        device["name"] == "porch"
            && device["device"].is_null()
            && device["sources"].as_array().is_some_and(|sources| sources.iter().any(|s| s == source))
            && device["routers"].as_array().is_some_and(|routers| routers.iter().any(|r| r == router))
    };
    // A broadcast's answer carries no port.
    for (source, port) in [("mdns", 7444), ("broadcast", 7330)] {
        let router = format!("ws://{}:{port}", ADDRESSES[1]);
        watch.wait_for(source, SOON, |event| porch(&event["device"], source, &router));
    }
}
