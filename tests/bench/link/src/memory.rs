//! What the `clasp-node` program takes: idle, with a peer, and while it moves data.

use std::fs::File;
use std::rc::Rc;

use smol::LocalExecutor;

use crate::offerer::Offerer;
use crate::process::Process;
use crate::{Args, Outcome, patiently};

/// Resident memory, KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// `clasp-node run` with nobody there.
    pub(crate) idle: u64,
    /// The same with one open link.
    pub(crate) one_peer: u64,
    /// The most `clasp-node send` took.
    pub(crate) send_peak: u64,
    /// The most `clasp-node recv` took.
    pub(crate) recv_peak: u64,
}

/// The session `clasp-node run --json` reports for its embedded router.
fn session_in(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(event.get("session")?.as_str()?.to_owned())
}

pub(crate) async fn measure(args: &Args, executor: &Rc<LocalExecutor<'static>>) -> Outcome<Memory> {
    let (idle, one_peer) = patiently("`clasp-node run`", running(args, executor)).await?;
    let (send_peak, recv_peak) = patiently("`clasp-node send`", transferring(args)).await?;
    Ok(Memory { idle, one_peer, send_peak, recv_peak })
}

async fn running(args: &Args, executor: &Rc<LocalExecutor<'static>>) -> Outcome<(u64, u64)> {
    let mut run = Process::start(&args.node, &["run", "--json", "--loopback", "--bind", "127.0.0.1:0"])?;
    let (mut url, mut session) = (None, None);
    while url.is_none() || session.is_none() {
        let line = run.line().await?;
        session = session.or_else(|| session_in(&line));
        let event: serde_json::Value = serde_json::from_str(&line)?;
        url = url.or_else(|| Some(event.get("url")?.as_str()?.to_owned()));
    }
    let idle = run.settled_rss_kib().await?;
    let (Some(url), Some(session)) = (url, session) else { return Err("`clasp-node run` is silent".into()) };
    let offerer = Offerer::start(url.parse()?, session, executor).await?;
    offerer.dial().await?;
    let one_peer = run.settled_rss_kib().await?;
    offerer.stop().await;
    Ok((idle, one_peer))
}

async fn transferring(args: &Args) -> Outcome<(u64, u64)> {
    let path = std::env::temp_dir().join(format!("bench-link-{}", std::process::id()));
    // Sparse: it reads as zeros and takes no room.
    File::create(&path)?.set_len(args.megabytes as u64 * 1_000_000)?;
    let file = path.to_string_lossy().into_owned();
    let result = async {
        let mut router = Process::start(&args.node, &["router", "--bind", "127.0.0.1:0"])?;
        let url = router.listening().await?;
        let common = ["--loopback", "--router", url.as_str()];
        let receive = [&["recv", "--name", "bench-recv", "--output", "/dev/null"][..], &common].concat();
        let send = [&["send", "bench-recv", file.as_str(), "--name", "bench-send"][..], &common].concat();
        let (receiver, sender) = (Process::start(&args.node, &receive)?, Process::start(&args.node, &send)?);
        smol::future::try_zip(sender.peak_rss_kib(), receiver.peak_rss_kib()).await
    }
    .await;
    std::fs::remove_file(&path)?;
    result
}
