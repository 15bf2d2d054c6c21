//! `clasp-node run`

use std::rc::Rc;
use std::sync::Arc;

use async_signal::{Signal, Signals};
use clasp_node::driver::control::{Control, Place};
use clasp_node::driver::health::Health;
use clasp_node::driver::logs::LogRing;
use clasp_node::driver::page::PAGES;
use clasp_node::driver::service::Service;
use clasp_node::driver::sharing::Sharing;
use clasp_node::driver::store::Access;
use clasp_node::driver::supervisor::Supervisor;
use clasp_node::driver::tokens::TokenDesk;
use clasp_node::limits::MAX_SHARES;
use log::{info, warn};
use serde_json::json;
use smol::LocalExecutor;
use smol::future::FutureExt;
use smol::stream::StreamExt;

use super::reload::Reload;
use super::{Failure, RunArgs, client, output};

pub(super) async fn run(
    args: RunArgs,
    ring: Arc<LogRing>,
    reload: Reload,
    executor: &Rc<LocalExecutor<'static>>,
) -> Result<(), Failure> {
    if args.share.len() > MAX_SHARES {
        return Err(Failure::Usage(format!(
            "{} shares are given, and {MAX_SHARES} are allowed",
            args.share.len()
        )));
    }
    let supervisor = Supervisor::from_environment();
    let mut signals = Signals::new([Signal::Hup, Signal::Int, Signal::Term])?;
    let router = args.embedded.config(args.node.name.as_deref())?;
    let builder = args.node.stored_builder(Access::Write)?.embedded_router(router);
    let mut builder = builder.resident(true).discovery(!args.no_discovery);
    for url in &args.router {
        builder = builder.router(url.clone());
    }
    let place = Place::choose(args.control.control.clone());
    let control = Control::bind(&place);
    if place.is_given()
        && let Err(error) = &control
    {
        return Err(Failure::Failed(error.to_string()));
    }
    let tokens = args.node.state.tokens();
    let known = tokens.read()?;
    let running = client::start(builder.tokens(known.clone()), executor).await?;
    let desk = running.embedded_router().map(|server| Rc::new(TokenDesk::new(tokens, server.clone(), known)));
    let _following = desk.clone().map(|desk| executor.spawn(async move { desk.follow().await }));
    let desk_to_reload = desk.clone();
    let mut service = Service::new(running.handle.clone(), Rc::clone(executor)).with_logs(ring);
    if let Some(server) = running.embedded_router() {
        if !args.no_page {
            server.set_pages(PAGES);
        }
        // Without any share as well: paired devices may ask how this one is.
        let sharing = Sharing::start(args.share, server.clone(), &running, executor);
        service = service.with_sharing(sharing);
    }
    let answering = match control {
        Ok(control) => {
            let control = desk.into_iter().fold(control, Control::with_tokens);
            info!("commands reach this node on {}", control.path().display());
            Some(executor.spawn(control.serve(service.clone(), Rc::clone(executor))))
        }
        // Several nodes on one machine are fine; commands reach the first.
        Err(error) => {
            warn!("commands do not reach this node: {error}");
            None
        }
    };
    if let Some(address) = running.router_addr {
        if args.json {
            output::object(&json!({"event": "listening", "url": format!("ws://{address}")}))?;
        } else {
            output::line(&format!("listening on ws://{address}"))?;
        }
    }
    supervisor.ready(&running.router_addr.map_or_else(String::new, |at| format!("listening on ws://{at}")));
    let health = Health {
        node: Some(running.handle.clone()),
        router: running.embedded_router().cloned(),
        state: Some(args.node.state.place()),
    };
    let serve = async {
        let mut lines = output::Lines::new();
        while let Some(event) = running.events.next().await {
            service.handle_event(&event);
            if args.json {
                lines.object(&output::event(&event)).await?;
            }
        }
        Ok(())
    };
    let stopped = async {
        reload.until_stopped(&mut signals, desk_to_reload.as_deref()).await;
        Ok(())
    };
    let watched = async {
        health.watch(&supervisor).await;
        Ok(())
    };
    let result = serve.or(stopped).or(watched).await;
    supervisor.stopping();
    if let Some(answering) = answering {
        answering.cancel().await; // and the socket is gone with it
    }
    drop(service); // to what is shared the end of the router would be a fault
    // A second signal ends the process at once.
    let impatient = async { while let Some(Ok(Signal::Hup)) = signals.next().await {} };
    running.handle.shutdown().or(impatient).await;
    result
}
