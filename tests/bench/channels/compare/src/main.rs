//! `channels`: data channels of `clasp-node` beside those of other stacks, each as two processes on loopback, in one run.
//!
//! Measures on a clean path what opening, throughput, round trips and memory cost, and on a bad one (loss, delay) what is left
//! of throughput and how late a lone message comes. See the README beside the workspace.

mod clock;
mod impair;
mod measure;
mod pair;
mod peers;
mod process;
mod report;
mod stats;

use std::fs::{File, read_to_string};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use router_lite::{Config, Server};
use serde_json::json;
use smol::LocalExecutor;

use crate::impair::Conditions;
use crate::measure::Amounts;
use crate::pair::Surroundings;
use crate::peers::Peer;
use crate::report::{Cell, Results};

type Outcome<T> = channel_peer::Outcome<T>;

/// Measures data channels of several stacks, side by side.
#[derive(Debug, Parser)]
struct Args {
    /// Only these stacks.
    #[arg(long, value_name = "STACK,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these parts.
    #[arg(long, value_name = "PART,...", value_delimiter = ',', default_value = "plain,throughput,lone")]
    part: Vec<Part>,
    /// Rounds on a clean path; all stacks take their turn in each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Channels opened one after the other, in each round.
    #[arg(long, default_value_t = 20)]
    dials: usize,
    /// Seconds that messages are sent for, each time.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Round trips, in each round.
    #[arg(long, default_value_t = 2000)]
    echoes: usize,
    /// Rounds of throughput on a bad path.
    #[arg(long, default_value_t = 3)]
    bad_rounds: usize,
    /// Seconds that messages are sent for there, each time.
    #[arg(long, default_value_t = 5.0)]
    bad_seconds: f64,
    /// Packets lost on the bad path, in percent, each way.
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', default_value = "0,0.1,1,5")]
    loss: Vec<f64>,
    /// Round-trip times of the bad path, in milliseconds.
    #[arg(long, value_name = "MS,...", value_delimiter = ',', default_value = "1,20,50")]
    rtt: Vec<u64>,
    /// Lone messages for each loss and round-trip time.
    #[arg(long, default_value_t = 400)]
    lone: usize,
    /// Decides which packets are lost: the same for all stacks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Little of everything: that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object, with every round, instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Opening, throughput, round trips and memory on a clean path.
    Plain,
    /// Throughput on a bad path.
    Throughput,
    /// Lone messages on a bad path.
    Lone,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.quick {
        (args.rounds, args.dials, args.seconds, args.echoes) = (1, 2, 0.5, 200);
        (args.bad_rounds, args.bad_seconds, args.lone) = (1, 0.5, 20);
        (args.loss, args.rtt) = (vec![1.0], vec![20]);
    }
    let executor = Rc::new(LocalExecutor::new());
    match smol::block_on(executor.run(run(&args, &executor))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("channels: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, executor: &Rc<LocalExecutor<'static>>) -> Outcome<()> {
    let mut peers = peers::all();
    if let Some(unknown) = args.only.iter().find(|name| peers.iter().all(|peer| peer.name != **name)) {
        let known: Vec<_> = peers.iter().map(|peer| peer.name).collect();
        return Err(format!("--only: no stack named {unknown}, only {}", known.join(", ")).into());
    }
    peers.retain(|peer| args.only.is_empty() || args.only.iter().any(|name| name == peer.name));
    let server = start_router(executor).await?;
    let around = Surroundings { executor: Rc::clone(executor), router: server.local_addr() };
    let serving = executor.spawn(async move { server.run().await });
    let load_before = load()?;
    let mut results: Vec<_> = peers.iter().map(empty).collect();
    for part in &args.part {
        match part {
            Part::Plain => plain(args, &peers, &around, &mut results).await,
            Part::Throughput => throughput(args, &peers, &around, &mut results).await,
            Part::Lone => lone(args, &peers, &around, &mut results).await,
        }
    }
    let load_after = load()?;
    serving.cancel().await;
    let text = if args.json {
        let load = json!({ "before": load_before, "after": load_after });
        serde_json::to_string_pretty(&json!({ "load_average": load, "stacks": results }))?
    } else {
        report::tables(&results, [&load_before, &load_after])
    };
    Ok(writeln!(std::io::stdout(), "{}", text.trim_end())?)
}

/// The router that introduces the stacks that need one, in this process: it has nothing to do while they are measured.
async fn start_router(executor: &Rc<LocalExecutor<'static>>) -> Outcome<Server> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let config = Config::default().with_bind(&[SocketAddr::from(([127, 0, 0, 1], 0))])?.with_rate(0)?;
    Ok(Server::bind(config, seed, Rc::clone(executor)).await?)
}

fn empty(peer: &Peer) -> Results {
    let skipped = peer.program.as_ref().err().map(|why| format!("skipped: {why}"));
    if let Some(why) = &skipped {
        note(&format!("{}: {why}", peer.name));
    }
    let (plain, throughput, lone) = (Vec::new(), Vec::new(), Vec::new());
    Results { name: peer.name, what: peer.what, skipped, plain, throughput, lone }
}

async fn plain(args: &Args, peers: &[Peer], around: &Surroundings, results: &mut [Results]) {
    for round in 0..args.rounds {
        for at in turns(peers, round, |_| true) {
            let (Some(peer), Some(result)) = (peers.get(at), results.get_mut(at)) else { continue };
            note(&format!("round {} of {}: {}", round + 1, args.rounds, peer.name));
            let plain = measure::plain(peer, around, amounts(args)).await;
            if let Some(error) = &plain.error {
                note(&format!("  {}: {error}", peer.name));
            }
            result.plain.push(plain);
        }
    }
}

async fn throughput(args: &Args, peers: &[Peer], around: &Surroundings, results: &mut [Results]) {
    for conditions in grid(args) {
        for result in results.iter_mut() {
            result.throughput.push(Cell { conditions, rounds: Vec::new() });
        }
        for round in 0..args.bad_rounds {
            let path = (conditions, args.seed.wrapping_add(round as u64));
            for at in turns(peers, round, |peer| peer.on_bad_path) {
                let (Some(peer), Some(result)) = (peers.get(at), results.get_mut(at)) else { continue };
                note(&format!("{conditions}, round {} of {}: {}", round + 1, args.bad_rounds, peer.name));
                let cell = told(peer, measure::impaired(peer, around, path, seconds(args.bad_seconds)).await);
                result.throughput.last_mut().into_iter().for_each(|it| it.rounds.push(cell));
            }
        }
    }
    results.iter_mut().for_each(|it| it.throughput.retain(|cell| !cell.rounds.is_empty()));
}

async fn lone(args: &Args, peers: &[Peer], around: &Surroundings, results: &mut [Results]) {
    for conditions in grid(args).into_iter().filter(|it| it.loss_percent > 0.0) {
        for at in turns(peers, 0, |peer| peer.on_bad_path) {
            let (Some(peer), Some(result)) = (peers.get(at), results.get_mut(at)) else { continue };
            note(&format!("{conditions}, lone messages: {}", peer.name));
            let path = (conditions, args.seed);
            let cell = told(peer, measure::lone(peer, around, path, args.lone).await);
            result.lone.push(Cell { conditions, rounds: vec![cell] });
        }
    }
}

/// Who is measured, in turn: another one is first in each round.
fn turns(peers: &[Peer], round: usize, wanted: impl Fn(&Peer) -> bool) -> Vec<usize> {
    let usable = |(at, peer): (usize, &Peer)| (peer.program.is_ok() && wanted(peer)).then_some(at);
    let mut turns: Vec<_> = peers.iter().enumerate().filter_map(usable).collect();
    let first = round % turns.len().max(1);
    turns.rotate_left(first);
    turns
}

fn grid(args: &Args) -> Vec<Conditions> {
    let cell = |loss_percent| move |rtt_ms: &u64| Conditions { loss_percent, rtt_ms: *rtt_ms };
    args.loss.iter().flat_map(|loss| args.rtt.iter().map(cell(*loss))).collect()
}

fn amounts(args: &Args) -> Amounts {
    Amounts { dials: args.dials, time: seconds(args.seconds), echoes: args.echoes }
}

/// Never more than a minute: nobody wants to wait for a slip of the finger.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default().min(Duration::from_secs(60))
}

fn told<T>(peer: &Peer, outcome: Outcome<T>) -> Option<T> {
    outcome.inspect_err(|error| note(&format!("  {}: {error}", peer.name))).ok()
}

fn load() -> Outcome<String> {
    Ok(read_to_string("/proc/loadavg")?.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// What goes on, for whoever waits.
fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
