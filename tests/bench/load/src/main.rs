//! `router-load`: loads our router and the stock one, alternately and in one run, and prints medians and their ratio.
//!
//! See the README beside the workspace for what the columns mean.

mod client;
mod clock;
mod idle;
mod latency;
mod process;
mod report;
mod stats;
mod throughput;
mod traffic;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::process::{Program, Router};
use crate::report::{Pair, Report};
use crate::throughput::Plan;
use crate::traffic::Kind;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Descriptors: a thousand idle clients and some to spare, here and in each router.
const DESCRIPTORS: u64 = 4096;

/// What is measured for throughput, with the windows of the earlier measurements.
const PLANS: [Plan; 7] = [
    Plan { kind: Kind::Set, receivers: 1, window: 400 },
    Plan { kind: Kind::Set, receivers: 10, window: 200 },
    Plan { kind: Kind::Set, receivers: 100, window: 200 },
    Plan { kind: Kind::Event, receivers: 1, window: 400 },
    Plan { kind: Kind::Event, receivers: 10, window: 200 },
    Plan { kind: Kind::Event, receivers: 100, window: 200 },
    Plan { kind: Kind::Signal, receivers: 1, window: 400 },
];

/// Loads router-lite and the stock router alternately and prints the ratio.
#[derive(Debug, Parser)]
struct Args {
    /// The `router-lite` program.
    #[arg(long, value_name = "PATH", default_value = "../../target/release/router-lite")]
    ours: PathBuf,
    /// The `stock-router` program of this workspace [default: beside this one].
    #[arg(long, value_name = "PATH")]
    stock: Option<PathBuf>,
    /// Rounds; medians are taken over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// One short round of everything: that it works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only the rows whose name contains this, as in `1→100`, `latency` or `idle`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args).and_then(|report| print(&report, args.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "router-load: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Outcome<Report> {
    if rlimit::increase_nofile_limit(DESCRIPTORS)? < DESCRIPTORS {
        return Err(format!("{DESCRIPTORS} file descriptors are needed; see `ulimit -Hn`").into());
    }
    let beside = || std::env::current_exe().map(|program| program.with_file_name("stock-router"));
    let stock = args.stock.clone().map_or_else(beside, Ok)?;
    let programs = Pair { ours: Program::ours(&args.ours), stock: Program::stock(&stock) };
    let millis = Duration::from_millis;
    let (rounds, warm_up, time) =
        if args.quick { (1, millis(100), millis(400)) } else { (args.rounds, millis(300), millis(1500)) };

    let routers = Pair { ours: Router::start(&programs.ours)?, stock: Router::start(&programs.stock)? };
    let mut report = Report::new(&PLANS, rounds);
    for round in 0..rounds {
        let wanted = |row: &str| row.contains(&args.only);
        let said =
            |row: &str, router: &str| note(&format!("round {} of {rounds}: {row}, {router}", round + 1));
        for (index, plan) in PLANS.into_iter().enumerate().filter(|(_, plan)| wanted(&plan.name())) {
            let pair = routers.each(round, |router| {
                said(&plan.name(), router.name);
                throughput::run(router, plan, warm_up, time).map_err(during(&plan.name(), router.name))
            })?;
            report.throughput(index, pair);
        }
        if wanted("latency") {
            report.latency.push(routers.each(round, |router| {
                said("latency", router.name);
                latency::run(router, 2 * time).map_err(during("latency", router.name))
            })?);
        }
        if wanted("idle sessions") {
            report.idle.push(programs.each(round, |program| {
                said("idle sessions", program.name);
                idle::run(program).map_err(during("idle sessions", program.name))
            })?);
        }
    }
    report.peak_rss_kib = Some(routers.each(0, Router::peak_rss_kib)?);
    Ok(report)
}

fn print(report: &Report, json: bool) -> Outcome<()> {
    let text = if json { serde_json::to_string_pretty(&report.json())? } else { report.text()? };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Says where it happened.
fn during(row: &str, router: &str) -> impl Fn(Box<dyn std::error::Error>) -> Box<dyn std::error::Error> {
    move |error| format!("{row}, {router}: {error}").into()
}

/// What goes on, for whoever waits.
fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
