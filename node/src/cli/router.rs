//! `clasp-node router`

use std::rc::Rc;

use async_signal::{Signal, Signals};
use clasp_node::driver;
use clasp_node::driver::health::Health;
use clasp_node::driver::supervisor::Supervisor;
use clasp_node::driver::tokens::TokenDesk;
use router_lite::{Config, RemoteAccess, Server};
use smol::LocalExecutor;
use smol::future::FutureExt;

use super::reload::Reload;
use super::{Failure, LoneRouterArgs, Remote, RouterArgs, output};

impl RouterArgs {
    /// The checked configuration of the router in the process.
    pub(super) fn config(&self, name: Option<&str>) -> Result<Config, Failure> {
        let usage = |error: router_lite::ConfigError| Failure::Usage(format!("--{error}"));
        let mut config = Config::default().with_remote(match self.remote {
            Remote::Signaling => RemoteAccess::Signaling,
            Remote::Full => RemoteAccess::Full,
        });
        if !self.bind.is_empty() {
            config = config.with_bind(&self.bind).map_err(usage)?;
        }
        if let Some(name) = name {
            config = config.with_name(name).map_err(usage)?;
        }
        if let Some(sessions) = self.max_sessions {
            config = config.with_max_sessions(sessions).map_err(usage)?;
        }
        if let Some(rate) = self.rate {
            config = config.with_rate(rate).map_err(usage)?;
        }
        Ok(config)
    }
}

pub(super) async fn run(
    args: LoneRouterArgs,
    reload: Reload,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    let supervisor = Supervisor::from_environment();
    let mut signals = Signals::new([Signal::Hup, Signal::Int, Signal::Term])?;
    let tokens = args.state.tokens();
    let known = tokens.read()?;
    let server = Server::bind(args.router.config(None)?, driver::seed()?, Rc::clone(executor)).await?;
    server.set_tokens(known.clone());
    let desk = TokenDesk::new(tokens, server.clone(), known);
    output::line(&format!("listening on ws://{}", server.local_addr()))?;
    supervisor.ready(&format!("listening on ws://{}", server.local_addr()));
    let stopped = reload.until_stopped(&mut signals, Some(&desk));
    let health = Health { router: Some(server.clone()), ..Health::default() };
    server.run().or(stopped).or(desk.follow()).or(health.watch(&supervisor)).await;
    supervisor.stopping();
    server.shutdown().await;
    Ok(())
}
