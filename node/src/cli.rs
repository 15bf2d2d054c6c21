//! The command line: what it accepts, and which command does it.

mod client;
mod config;
mod demo;
mod discover;
mod doctor;
mod ice;
mod id;
mod logs;
#[cfg(feature = "manual")]
mod manual;
mod output;
mod pair;
mod pairs;
mod peers;
mod ping;
mod progress;
mod recv;
mod reload;
mod router;
mod run;
mod send;
mod service;
mod settings;
mod status;
mod token;
mod values;
mod values_client;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clasp_node::driver::logs::LogRing;
use clasp_node::shares::Share;
use clasp_node::{RouterUrl, RoutingMode, Trust};
use smol::LocalExecutor;

/// Finds peers through a CLASP router, then talks to them directly over encrypted WebRTC data channels.
///
/// Exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "clasp-node", version)]
struct Cli {
    /// What to log, as in `info` or `clasp_node=debug`; goes to stderr [default: $RUST_LOG, or what the configuration file says, or
    /// warn]
    #[arg(long, global = true, value_name = "FILTER", env = "CLASP_NODE_LOG", hide_env_values = true)]
    log: Option<String>,
    /// The configuration file [default: /etc/clasp-node/config.toml, if there is one]
    #[arg(long, global = true, value_name = "PATH", env = "CLASP_NODE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node and the router in it until interrupted
    Run(RunArgs),
    /// Run only a router until interrupted
    Router(LoneRouterArgs),
    /// Show and check how `run` is configured: by file, environment and flags
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show who this device is
    Id(IdArgs),
    /// Show how the node that runs here is, and its links
    Status(StatusArgs),
    /// Look for what keeps links from working, and say what to do about it
    Doctor(DoctorArgs),
    /// List the devices of the network, and whether they can be paired
    Discover(DiscoverArgs),
    /// Pair this device with another one, by a code that one of them shows and a person types into the other
    Pair(PairArgs),
    /// List the devices this one is paired with
    Pairs(PlaceArgs),
    /// Forget a paired device: it is a stranger again
    Forget(ForgetArgs),
    /// Call a paired device by another name
    Rename(RenameArgs),
    /// Let programs on other machines use the router here: make, list and take back the tokens they present
    Token(token::TokenArgs),
    /// List the peers that have announced themselves
    Peers(peers::PeersArgs),
    /// Send a file, or standard input, to a peer that runs `recv`
    Send(send::SendArgs),
    /// Receive what a peer sends, and write it to standard output or a file
    Recv(recv::RecvArgs),
    /// Measure the round trip to a peer over both data channels
    Ping(ping::PingArgs),
    /// Publish an event or a sample, as an ordinary client of a router
    Pub(values_client::PubArgs),
    /// Set a parameter, and wait until the router has taken it
    Set(values_client::SetArgs),
    /// Print the value of a parameter
    Get(values_client::GetArgs),
    /// Print what is set and published, until interrupted
    Sub(values_client::SubArgs),
    /// Show what the node that runs here logged last
    Logs(logs::LogsArgs),
    /// Show it working: a router and two nodes as three processes on this machine
    Demo(DemoArgs),
    /// Write the man pages and the completions of shells
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Manual(manual::ManualArgs),
    /// One of the nodes of `demo`
    #[command(hide = true)]
    DemoNode(DemoNodeArgs),
}

/// The router in the process.
#[derive(Debug, Args)]
struct RouterArgs {
    /// Address to listen on; may be given several times [default: [::]:7330, which is IPv4 too]
    #[arg(long, value_name = "ADDR:PORT")]
    bind: Vec<SocketAddr>,
    /// Sessions at once
    #[arg(long, value_name = "N")]
    max_sessions: Option<usize>,
    /// Messages per second and session; 0 for no limit
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// What sessions from other machines may do; `full` includes reading `/metrics`
    #[arg(long, value_enum, default_value_t = Remote::Signaling)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct LoneRouterArgs {
    #[command(flatten)]
    router: RouterArgs,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Remote {
    /// Only find each other and exchange P2P signals, and what a token they present allows
    Signaling,
    /// Everything
    Full,
}

/// How a node presents itself and reaches others.
#[derive(Debug, Args)]
struct NodeArgs {
    /// The name announced to peers [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// How long a link may take to open
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    connect_timeout: Duration,
    /// Which ways messages may take: prefer-p2p, p2p-only or relay-only. A router can read what goes through it.
    #[arg(long, value_name = "MODE", default_value_t = RoutingMode::PreferP2p)]
    routing: RoutingMode,
    /// Whose offers are taken: `paired` devices' only, or with `open` everybody's who can reach a router of this node
    #[arg(long, value_name = "WHOM", env = "CLASP_NODE_TRUST", default_value_t = Trust::Paired)]
    trust: Trust,
    /// Use the loopback interface only
    #[arg(long)]
    loopback: bool,
    /// UDP port of the data channels, on every address of this host: the one a firewall has open [default: any free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    udp_port: Option<u16>,
    #[command(flatten)]
    ice: ice::IceArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// Where the identity and the pairs of this device are, and the tokens of its router.
#[derive(Debug, Args)]
struct StateArgs {
    /// Directory with the identity, the pairs and the tokens of this device [default: /var/lib/clasp-node for root, else
    /// $XDG_STATE_HOME/clasp-node or ~/.local/state/clasp-node]
    #[arg(long, value_name = "PATH", env = "CLASP_NODE_STATE", hide_env_values = true)]
    state_dir: Option<PathBuf>,
}

/// The router of a node on this machine.
const DEFAULT_ROUTER: &str = "ws://127.0.0.1:7330";

/// How to find the other side: by way of the node that runs here, unless there is none, or a router or anything else of a node is given.
#[derive(Debug, Args)]
struct ClientArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Meet on this router, with a node of one's own for as long as it takes; may be given several times [default: the node that runs
    /// here does it; where none runs, a node of one's own on ws://127.0.0.1:7330]
    #[arg(long, value_name = "URL")]
    router: Vec<RouterUrl>,
    #[command(flatten)]
    control: ControlArgs,
    /// How long to wait for a router, and for the peer to show up
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    wait: Duration,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    node: NodeArgs,
    #[command(flatten)]
    embedded: RouterArgs,
    /// Another router to be present on as well, such as ws://10.0.0.1:7330; may be given several times
    #[arg(long, value_name = "URL")]
    router: Vec<RouterUrl>,
    /// Share addresses of the router here with paired devices, as in `/sensors/**;with=kitchen;mode=publish;prefix=/x`; may be given
    /// several times
    #[arg(long, value_name = "SHARE")]
    share: Vec<Share>,
    /// Do not look for other devices on the network, and do not tell them of this one
    #[arg(long, env = "CLASP_NODE_NO_DISCOVERY", value_parser = FalseyValueParser::new())]
    no_discovery: bool,
    /// Serve no page to browsers
    #[arg(long, env = "CLASP_NODE_NO_PAGE", value_parser = FalseyValueParser::new())]
    no_page: bool,
    /// Print every event as JSON, one object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: ControlArgs,
}

#[derive(Debug, Args)]
struct DiscoverArgs {
    /// How long to look
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    wait: Duration,
    /// Go on, and print what changes, until interrupted
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch one object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// How commands on this machine reach the node that runs there.
#[derive(Debug, Args)]
struct ControlArgs {
    /// The control socket of the node that runs here [default: in $XDG_RUNTIME_DIR/clasp-node, /run/clasp-node or
    /// /tmp/clasp-node-UID]
    #[arg(long, value_name = "PATH", env = "CLASP_NODE_CONTROL", hide_env_values = true)]
    control: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct IdArgs {
    #[command(flatten)]
    state: StateArgs,
    /// The name announced to peers [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Show the QR code though standard output is no terminal
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PairArgs {
    /// The device that shows a code: its name, device id, session id or address. The code is asked for, or read from standard input or
    /// $CLASP_NODE_CODE; the text of the QR code will do as well. Without it this device shows a code
    peer: Option<String>,
    /// Show a code on this device
    #[arg(long, conflicts_with = "peer")]
    show: bool,
    /// Write the code to the log of the node that runs here, too: whoever reads that can pair with this device
    #[arg(long, conflicts_with = "peer")]
    to_log: bool,
    /// How long the code is good for
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=900))]
    seconds: u64,
    /// Show the QR code though standard output is no terminal
    #[arg(long, conflicts_with = "json")]
    qr: bool,
    /// Show a QR code that opens this device's page and pairs the browser, for a phone's camera
    #[arg(long, conflicts_with_all = ["peer", "json"])]
    page: bool,
    #[command(flatten)]
    control: ControlArgs,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Where the node that runs here is asked, and what is changed where none does.
#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ForgetArgs {
    /// Its name or device id, as `pairs` lists it
    name: String,
    #[command(flatten)]
    pairs: PlaceArgs,
}

#[derive(Debug, Args)]
struct RenameArgs {
    /// Its name or device id, as `pairs` lists it
    name: String,
    /// What it is to be called
    to: String,
    #[command(flatten)]
    pairs: PlaceArgs,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Router to check; may be given several times [default: those of the node that runs here, or ws://127.0.0.1:7330]
    #[arg(long, value_name = "URL")]
    router: Vec<RouterUrl>,
    /// Open a link to this peer as well: its name, its session id, or the beginning of it
    #[arg(long)]
    peer: Option<String>,
    /// How long to wait for the peer to show up
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    wait: Duration,
    #[command(flatten)]
    control: ControlArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// How much to transfer
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    size: u32,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DemoNodeArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Call the node of this name
    #[arg(long)]
    call: Option<String>,
    /// Bytes to transfer to it
    #[arg(long, default_value_t = 0)]
    bytes: u64,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a number of seconds, 0 or more".to_owned())
}

/// Why a command failed; the text is for people and says what to do where there is something to do.
#[derive(Debug)]
enum Failure {
    /// Something did not work.
    Failed(String),
    /// A value on the command line is out of its range.
    Usage(String),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads any more what is printed.
    Unread,
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Parses the command line, runs the command, and turns its result into an exit status.
pub(crate) fn main() -> ExitCode {
    let (matches, cli, file) = match settings::parse() {
        Ok(parsed) => parsed,
        Err(status) => return status,
    };
    let choice = service::Choice::of(&matches);
    let filter = settings::log_filter(&matches, &file).0;
    if let Err(error) = env_filter::Builder::new().try_parse(&filter) {
        eprintln!("clasp-node: log filter {filter:?}: {error}");
        return ExitCode::from(2);
    }
    let ring = Arc::new(LogRing::default());
    let log = logs::start(&filter, matches!(cli.command, Command::Run(_)).then(|| Arc::clone(&ring)));
    let reload = reload::Reload::new(&matches, &file, log);

    let executor = Rc::new(LocalExecutor::new());
    let result = smol::block_on(executor.run(async {
        match cli.command {
            Command::Run(args) => run::run(args, ring, reload, &executor).await,
            Command::Router(args) => router::run(args, reload, &executor).await,
            Command::Config(command) => config::run(command, &matches, &file),
            Command::Id(args) => id::run(args),
            Command::Status(args) => status::run(args).await,
            Command::Doctor(args) => doctor::run(args, &executor).await,
            Command::Discover(args) => discover::run(args, &executor).await,
            Command::Pair(args) => pair::run(args).await,
            Command::Pairs(args) => pairs::list(args).await,
            Command::Forget(args) => pairs::forget(args).await,
            Command::Rename(args) => pairs::rename(args).await,
            Command::Token(args) => token::run(args).await,
            Command::Peers(args) => peers::run(args, choice?, &executor).await,
            Command::Send(args) => send::run(args, choice?, &executor).await,
            Command::Recv(args) => recv::run(args, choice?, &executor).await,
            Command::Ping(args) => ping::run(args, choice?, &executor).await,
            Command::Pub(args) => values_client::publish(args).await,
            Command::Set(args) => values_client::set(args).await,
            Command::Get(args) => values_client::get(args).await,
            Command::Sub(args) => values_client::subscribe(args).await,
            Command::Logs(args) => logs::run(args).await,
            Command::Demo(args) => demo::run(args).await,
            #[cfg(feature = "manual")]
            Command::Manual(args) => manual::run(&args, <Cli as clap::CommandFactory>::command()),
            Command::DemoNode(args) => demo::node(args, &executor).await,
        }
    }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("clasp-node: {why}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(why)) => {
            eprintln!("clasp-node: {why}");
            ExitCode::from(2)
        }
        Err(Failure::Interrupted) => ExitCode::from(130),
        // As `head` has it from those before it; nothing went wrong.
        Err(Failure::Unread) => ExitCode::SUCCESS,
    }
}
