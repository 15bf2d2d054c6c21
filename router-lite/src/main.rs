//! `router-lite`: reads the command line, runs the server until a signal comes.

mod cli;

use std::{io::Write as _, process::ExitCode, rc::Rc};

use async_signal::{Signal, Signals};
use log::{error, info, warn};
use rand::{TryRng as _, rngs::SysRng};
use router_lite::{Config, Server};
use smol::{LocalExecutor, future::FutureExt as _, stream::StreamExt as _};

fn main() -> ExitCode {
    let (config, log) = cli::Args::read();
    env_logger::Builder::new().parse_filters(&log).init();
    let executor = Rc::new(LocalExecutor::new());
    match smol::block_on(executor.run(run(config, Rc::clone(&executor)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            // Quiet logs must not hide why the program ends.
            if !log::log_enabled!(log::Level::Error) {
                drop(writeln!(std::io::stderr(), "router-lite: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config, executor: Rc<LocalExecutor<'static>>) -> Result<(), Box<dyn std::error::Error>> {
    let signals = Signals::new([Signal::Int, Signal::Term])?;
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed)?;
    let server = Server::bind(config, seed, Rc::clone(&executor)).await?;
    if let Err(error) = writeln!(std::io::stdout(), "listening on ws://{}", server.local_addr()) {
        warn!(error:% = error; "cannot print where the router listens");
    }
    // In a task of its own, so that not every turn of the executor asks for signals.
    let stop = executor.spawn(stop_on_signal(signals, server.clone()));
    server.run().or(stop).await;
    Ok(())
}

/// Shuts down in good order at the first signal, returns at the second.
async fn stop_on_signal(mut signals: Signals, server: Server) {
    signals.next().await;
    info!("stopping");
    let hurry = async {
        signals.next().await;
        warn!("stopping at once");
    };
    server.shutdown().or(hurry).await;
}
