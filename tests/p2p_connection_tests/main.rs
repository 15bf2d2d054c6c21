//! The acceptance run: real nodes, a real router, real sockets on this host. Prints one line per scenario and exits 0 if all
//! of them hold.
//!
//! `RUST_LOG=info cargo run -p e2e --bin p2p-connection-tests`

mod scenarios;
mod turn;

use std::io::Write;
use std::process::ExitCode;

use clasp_node::driver::now;
use e2e::real;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let (mut failed, mut skipped) = (0_usize, 0_usize);
    let scenarios = scenarios::all();
    for (name, scenario) in &scenarios {
        log::info!("=== {name}");
        let begun = now();
        let result = real::run(async |executor| scenario(executor).await);
        let took = now().saturating_duration_since(begun);
        let line = match result {
            Ok(detail) if detail.starts_with(scenarios::SKIPPED) => {
                skipped += 1;
                format!("skip  {name:<28} {:>9}  {}", "", detail.trim_start_matches(scenarios::SKIPPED))
            }
            Ok(detail) => format!("ok    {name:<28} {took:>9.1?}  {detail}"),
            Err(why) => {
                failed += 1;
                format!("FAIL  {name:<28} {took:>9.1?}  {why}")
            }
        };
        if writeln!(std::io::stdout(), "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    let passed = scenarios.len() - failed - skipped;
    let not_played = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    if writeln!(std::io::stdout(), "{passed} passed, {failed} failed{not_played}").is_err() || failed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
