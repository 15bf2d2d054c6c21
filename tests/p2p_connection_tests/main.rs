//! The acceptance run: real nodes, a real router, real sockets on this host. Prints one line per scenario and exits 0 if all
//! of them hold.
//!
//! `RUST_LOG=info cargo run -p e2e --bin p2p-connection-tests`

mod scenarios;

use std::io::Write;
use std::process::ExitCode;

use clasp_node::driver::now;
use e2e::real;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let mut failed = 0_usize;
    let scenarios = scenarios::all();
    for (name, scenario) in &scenarios {
        log::info!("=== {name}");
        let begun = now();
        let result = real::run(async |executor| scenario(executor).await);
        let took = now().saturating_duration_since(begun);
        let line = match result {
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
    let passed = scenarios.len() - failed;
    if writeln!(std::io::stdout(), "{passed} passed, {failed} failed").is_err() || failed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
