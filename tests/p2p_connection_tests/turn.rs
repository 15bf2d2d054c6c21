//! Links by way of a TURN server: a real coturn on this host. NATs need network namespaces, and root: see `tests/netns/run`.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use clasp_node::{
    Channel, Event, FailReason, IceServer, NodeConfig, PathKind, RoutingMode, ServerFault, ServerInfo,
    ServerState,
};
use e2e::real::{Executor, RealNode, RealRouter};

use crate::scenarios::{Outcome, SKIPPED, check};

/// A TURN server of its own for one scenario.
struct Coturn {
    child: Child,
    port: u16,
}

impl Coturn {
    /// `None` where it is not installed.
    fn start() -> Result<Option<Self>, String> {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.map_err(|error| error.to_string())?.port();
        let fixed = "-n --no-cli --no-tls --no-dtls --no-tcp --no-tcp-relay --log-file=stdout --pidfile= --db=:memory: \
            --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --allow-loopback-peers --lt-cred-mech --user=alice:sesame \
            --realm=test";
        let mut command = Command::new("turnserver");
        command.args(fixed.split_ascii_whitespace()).arg(format!("--listening-port={port}"));
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Ok(Some(Self { child, port })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("turnserver: {error}")),
        }
    }

    /// A configuration that leads through the server, and through nothing else.
    fn config(&self, name: &str, password: &str) -> Result<NodeConfig, String> {
        let address = format!("127.0.0.1:{}", self.port).parse()?;
        Ok(NodeConfig {
            name: name.to_owned(),
            ice_servers: vec![IceServer::turn(address, "alice", password)],
            turn_only: true,
            routing: RoutingMode::P2pOnly,
            ..NodeConfig::open()
        })
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            log::warn!("turnserver: {error}");
        }
    }
}

const MISSING: &str = "no turnserver (Debian: coturn) on this machine";

/// Both sides offer nothing but what the server relays. The link is begun while they still ask for it.
pub(crate) async fn relayed(executor: Executor) -> Outcome {
    const MESSAGES: usize = 200;
    let Some(coturn) = Coturn::start()? else { return Ok(format!("{SKIPPED}{MISSING}")) };
    let router = RealRouter::start(&executor).await?;
    let a = RealNode::start_with(&executor, coturn.config("a", "sesame")?, router.url()).await?;
    let b = RealNode::start_with(&executor, coturn.config("b", "sesame")?, router.url()).await?;
    a.connect(&b).await?;
    let link = a.connected().await?;
    for node in [&a, &b] {
        let event = node.until("Connected", |e| matches!(e, Event::Connected { .. })).await?;
        let Event::Connected { path, .. } = event else { return Err(format!("{event:?}")) };
        let kinds = (path.local_kind, path.remote_kind);
        check(kinds == (PathKind::Relay, PathKind::Relay), || format!("the path is {path}"))?;
    }
    let message =
        |n: usize| Bytes::from((0..16 * 1024).map(|at| ((at * 7 + n) % 251) as u8).collect::<Vec<_>>());
    for n in 0..MESSAGES {
        let sent = a.handle.send(link, Channel::Reliable, message(n)).await;
        sent.map_err(|error| error.to_string())?;
    }
    let data = |told: &[(_, Event)]| -> Vec<Bytes> {
        let bytes =
            |(_, e): &(_, Event)| if let Event::Data { bytes, .. } = e { Some(bytes.clone()) } else { None };
        told.iter().filter_map(bytes).collect()
    };
    b.wait("every message", |told| data(told).len() >= MESSAGES).await?;
    check(data(&b.told()).into_iter().eq((0..MESSAGES).map(message)), || "other data arrived".to_owned())?;
    let servers = a.handle.servers().await.map_err(|error| error.to_string())?;
    let ready = matches!(&servers[..], [ServerInfo { state: ServerState::Ready { relayed, .. }, .. }] if relayed.len() == 1);
    check(ready, || format!("{servers:?}"))?;
    Ok(format!("{MESSAGES} messages of 16 KiB in order by way of coturn"))
}

/// A wrong password is the reason of the link that fails for it, and the state of the server.
pub(crate) async fn wrong_password(executor: Executor) -> Outcome {
    let Some(coturn) = Coturn::start()? else { return Ok(format!("{SKIPPED}{MISSING}")) };
    let router = RealRouter::start(&executor).await?;
    let connect_timeout = Duration::from_secs(4);
    let config = NodeConfig { connect_timeout, ..coturn.config("a", "open sesame")? };
    let a = RealNode::start_with(&executor, config, router.url()).await?;
    let b = RealNode::start_with(&executor, coturn.config("b", "sesame")?, router.url()).await?;
    a.connect(&b).await?;
    let event = a.until("Failed", |e| matches!(e, Event::Failed { .. })).await?;
    let Event::Failed { why, .. } = event else { return Err(format!("{event:?}")) };
    let said =
        matches!(&why, FailReason::Ice { servers, .. } if servers.iter().any(|text| text.contains("401")));
    check(said, || format!("{why}"))?;
    let servers = a.handle.servers().await.map_err(|error| error.to_string())?;
    let known = servers.iter().all(|s| s.state == ServerState::Failed(ServerFault::WrongCredentials));
    check(known && servers.len() == 1, || format!("{servers:?}"))?;
    Ok(why.to_string())
}
