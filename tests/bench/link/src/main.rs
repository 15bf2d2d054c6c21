//! `link`: what a node's data channels do alone, on loopback, in two processes.
//!
//! Measures the time to open, throughput with 16 KiB messages, round trips on both channels and, with the `clasp-node`
//! program, memory. See the README beside the workspace for what the rows mean.

mod answerer;
mod memory;
mod offerer;
mod process;
mod stats;

use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use clasp_node::{Channel, RouterUrl};
use serde_json::json;
use smol::LocalExecutor;
use smol::future::FutureExt as _;

use crate::offerer::Offerer;
use crate::process::Process;
use crate::stats::{Spread, float};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Size of a message for throughput: the largest that every peer and browser takes.
const MESSAGE_BYTES: usize = 16 * 1024;

/// Aim: no dial takes longer.
const SLOW: Duration = Duration::from_millis(500);

/// Nothing measured here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures a node's data channels on loopback.
#[derive(Debug, Parser)]
struct Args {
    /// The `clasp-node` program.
    #[arg(long, value_name = "PATH", default_value = "../../target/release/clasp-node")]
    node: PathBuf,
    /// Links opened one after the other.
    #[arg(long, default_value_t = 100)]
    dials: usize,
    /// Megabytes per transfer.
    #[arg(long, default_value_t = 100)]
    megabytes: usize,
    /// Round trips per channel.
    #[arg(long, default_value_t = 1000)]
    pings: usize,
    /// Transfers; medians are taken over them.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Little of everything: that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The other process.
    #[command(hide = true)]
    Answer {
        #[arg(long)]
        router: RouterUrl,
        /// Replies once after so many messages.
        #[arg(long)]
        messages: usize,
    },
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.quick {
        (args.dials, args.megabytes, args.pings, args.rounds) = (8, 10, 100, 1);
    }
    let executor = Rc::new(LocalExecutor::new());
    let result = smol::block_on(executor.run(async {
        match &args.role {
            Some(Role::Answer { router, messages }) => {
                answerer::run(router.clone(), *messages, &executor).await
            }
            None => measure(&args, &executor).await,
        }
    }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "link: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args, executor: &Rc<LocalExecutor<'static>>) -> Outcome<()> {
    let messages = args.megabytes * 1_000_000 / MESSAGE_BYTES;
    let mut router = Process::start(&args.node, &["router", "--bind", "127.0.0.1:0", "--rate", "0"])?;
    let url = router.listening().await?;
    let own = std::env::current_exe()?;
    let mut answerer =
        Process::start(&own, &["answer", "--router", &url, "--messages", &messages.to_string()])?;
    let session = answerer.line().await?;
    let offerer = Offerer::start(url.parse()?, session, executor).await?;

    note("time to open");
    let mut dials = offerer.dials(args.dials).await?;
    note("round trips");
    let link = offerer.dial().await?;
    let mut reliable = offerer.round_trips(link.id, Channel::Reliable, args.pings).await?;
    let mut stream = offerer.round_trips(link.id, Channel::Stream, args.pings).await?;
    let (mut speeds, mut costs) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        note(&format!("transfer {}", round + 1));
        let cpu = process::own_cpu()? + answerer.cpu()?;
        let took = offerer.transfer(link.id, messages).await?;
        let cpu = process::own_cpu()? + answerer.cpu()? - cpu;
        let megabytes = float(messages * MESSAGE_BYTES) / 1e6;
        speeds.push(megabytes / took.as_secs_f64());
        costs.push(cpu.as_secs_f64() * 1e3 / megabytes);
    }
    note("memory");
    let memory = memory::measure(args, executor).await?;

    let slow = dials.iter().filter(|ms| **ms > SLOW.as_secs_f64() * 1e3).count();
    let open = Spread::of(&mut dials);
    let [reliable, stream] = [Spread::of(&mut reliable), Spread::of(&mut stream)];
    let [speed, cost] = [Spread::of(&mut speeds).p50, Spread::of(&mut costs).p50];
    let text = if args.json {
        serde_json::to_string_pretty(&json!({
            "open_ms": { "runs": args.dials, "p50": open.p50, "p99": open.p99, "max": open.max, "above_500": slow },
            "rtt_us": {
                "clasp-reliable": { "p50": reliable.p50, "p99": reliable.p99 },
                "clasp": { "p50": stream.p50, "p99": stream.p99 },
            },
            "throughput": { "message_bytes": MESSAGE_BYTES, "mb_per_s": speed, "cpu_ms_per_mb": cost },
            "rss_kib": {
                "run_idle": memory.idle, "run_one_peer": memory.one_peer,
                "send_peak": memory.send_peak, "recv_peak": memory.recv_peak, "transferred_mb": args.megabytes,
            },
        }))?
    } else {
        let (dials, mb) = (args.dials, args.megabytes);
        let Spread { p50, p99, max, .. } = open;
        [
            format!("open, {dials} runs            p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms, {slow} above 500 ms"),
            format!("round trip, reliable      p50 {:.0} µs, p99 {:.0} µs", reliable.p50, reliable.p99),
            format!("round trip, stream        p50 {:.0} µs, p99 {:.0} µs", stream.p50, stream.p99),
            format!("{mb} MB in 16 KiB messages  {speed:.1} MB/s, {cost:.1} CPU-ms/MB (both ends)"),
            format!("RSS of `run`              idle {} KiB, one peer {} KiB", memory.idle, memory.one_peer),
            format!("peak RSS, {mb} MB piped     send {} KiB, recv {} KiB", memory.send_peak, memory.recv_peak),
        ]
        .join("\n")
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Does not wait for ever.
async fn patiently<T>(what: &str, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    work.or(async {
        smol::Timer::after(PATIENCE).await;
        Err(format!("{what}: not within {PATIENCE:?}").into())
    })
    .await
}

/// What goes on, for whoever waits.
fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
