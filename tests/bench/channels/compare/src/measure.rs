//! What is measured of one pair.

use std::time::Duration;

use serde::Serialize;
use smol::Timer;

use crate::Outcome;
use crate::impair::Conditions;
use crate::impair::path::Counts;
use crate::pair::{Pair, Sent, Surroundings};
use crate::peers::Peer;
use crate::stats::Spread;

/// Sizes of large messages. The second is the largest that every stack takes: ours, because it must fit through a router.
pub(crate) const SIZES: [usize; 2] = [16 * 1024, 63 * 1024];

/// Size of a small message.
pub(crate) const SMALL: usize = 64;

/// A lone message has the line to itself for so long.
const LONE_EVERY: Duration = Duration::from_millis(50);

/// Attempts at an opening: on a path with delay the stock client's fail more often than not.
const OPENINGS: u64 = 10;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) dials: usize,
    pub(crate) time: Duration,
    pub(crate) echoes: usize,
}

/// One pair on a clean path. What could not be measured is missing.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Plain {
    pub(crate) open_ms: Vec<f64>,
    pub(crate) openings_failed: u64,
    pub(crate) round_trip_us: Option<Spread>,
    /// Large messages, by [`SIZES`].
    pub(crate) large: [Option<Speed>; 2],
    pub(crate) small: Option<Speed>,
    /// The larger end, KiB.
    pub(crate) idle_rss_kib: Option<u64>,
    pub(crate) peak_rss_kib: Option<u64>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// How fast, and for how much processor time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Speed {
    pub(crate) mb_per_s: f64,
    pub(crate) messages_per_s: f64,
    pub(crate) sender_cpu_ms_per_mb: f64,
    pub(crate) receiver_cpu_ms_per_mb: f64,
}

impl Speed {
    /// Both ends together.
    pub(crate) fn cpu_ms_per_mb(&self) -> f64 {
        self.sender_cpu_ms_per_mb + self.receiver_cpu_ms_per_mb
    }
}

/// Throughput on a bad path.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Impaired {
    pub(crate) mb_per_s: f64,
    pub(crate) openings_failed: u64,
    pub(crate) path: Counts,
}

/// Lone messages on a bad path, ms.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Lone {
    pub(crate) one_way_ms: Spread,
    pub(crate) round_trip_ms: Spread,
    pub(crate) openings_failed: u64,
    pub(crate) path: Counts,
}

/// Everything on a clean path.
pub(crate) async fn plain(peer: &Peer, around: &Surroundings, amounts: Amounts) -> Plain {
    let mut plain = Plain::default();
    if let Err(error) = transfers(peer, around, amounts, &mut plain).await {
        plain.error = Some(error.to_string());
    }
    if let Err(error) = dials(peer, around, amounts.dials, &mut plain).await {
        plain.error = Some(error.to_string());
    }
    plain
}

async fn transfers(peer: &Peer, around: &Surroundings, amounts: Amounts, plain: &mut Plain) -> Outcome<()> {
    let (mut pair, failed) = opened(peer, around, None).await?;
    plain.openings_failed += failed;
    let idle = [pair.offerer.settled_rss_kib().await?, pair.answerer.settled_rss_kib().await?];
    plain.idle_rss_kib = idle.into_iter().max();
    // The first ones warm caches.
    pair.echo(amounts.echoes / 10 + 1).await?;
    plain.round_trip_us = Some(Spread::of(pair.echo(amounts.echoes).await?.round_trip_us));
    for (size, place) in SIZES.into_iter().zip(&mut plain.large) {
        *place = Some(speed(&mut pair, size, amounts.time).await?);
    }
    plain.small = Some(speed(&mut pair, SMALL, amounts.time).await?);
    plain.peak_rss_kib = Some(pair.offerer.peak_rss_kib()?.max(pair.answerer.peak_rss_kib()?));
    Ok(())
}

/// A pair with an open channel, and how many attempts failed before.
async fn opened(peer: &Peer, around: &Surroundings, path: Option<(Conditions, u64)>) -> Outcome<(Pair, u64)> {
    let mut failed = 0;
    loop {
        let mut pair = Pair::start(peer, around, path).await?;
        match pair.open().await {
            Ok(_) => return Ok((pair, failed)),
            Err(error) => {
                failed += 1;
                if failed == OPENINGS {
                    return Err(error);
                }
                crate::note(&format!("  {}: once more: {error}", peer.name));
            }
        }
    }
}

async fn speed(pair: &mut Pair, size: usize, time: Duration) -> Outcome<Speed> {
    let before = [pair.offerer.cpu()?, pair.answerer.cpu()?];
    let Sent { messages, megabytes, seconds } = pair.send(size, time).await?;
    let after = [pair.offerer.cpu()?, pair.answerer.cpu()?];
    let cpu = |end: usize| (after[end] - before[end]).as_secs_f64() * 1e3 / megabytes;
    Ok(Speed {
        mb_per_s: megabytes / seconds,
        messages_per_s: messages / seconds,
        sender_cpu_ms_per_mb: cpu(0),
        receiver_cpu_ms_per_mb: cpu(1),
    })
}

/// Opens and closes again and again, with the same processes where the stack allows it.
async fn dials(peer: &Peer, around: &Surroundings, count: usize, plain: &mut Plain) -> Outcome<()> {
    let mut kept = None;
    for _ in 0..count {
        let mut pair = match kept.take() {
            Some(pair) => pair,
            None => Pair::start(peer, around, None).await?,
        };
        let next = Timer::after(peer.pause);
        match pair.open().await {
            Ok(ms) => {
                plain.open_ms.push(ms);
                if peer.reopens {
                    pair.close().await?;
                    kept = Some(pair);
                }
            }
            Err(error) => {
                crate::note(&format!("  {}: {error}", peer.name));
                plain.openings_failed += 1;
            }
        }
        next.await;
    }
    Ok(())
}

/// Throughput of 16 KiB messages on a bad path.
pub(crate) async fn impaired(
    peer: &Peer,
    around: &Surroundings,
    path: (Conditions, u64),
    time: Duration,
) -> Outcome<Impaired> {
    let (mut pair, openings_failed) = opened(peer, around, Some(path)).await?;
    let before = pair.path();
    let sent = pair.send(SIZES[0], time).await?;
    let path = pair.path();
    let passed = crate::pair::float(path.bytes - before.bytes) / 1e6;
    if passed < sent.megabytes {
        let megabytes = sent.megabytes;
        return Err(format!("only {passed} MB of {megabytes} took the bad path").into());
    }
    Ok(Impaired { mb_per_s: sent.megabytes / sent.seconds, openings_failed, path })
}

/// Small messages on a bad path, each on its own: the next one starts when the last is back, and not within 50 ms.
pub(crate) async fn lone(
    peer: &Peer,
    around: &Surroundings,
    path: (Conditions, u64),
    count: usize,
) -> Outcome<Lone> {
    let (mut pair, openings_failed) = opened(peer, around, Some(path)).await?;
    let before = pair.path();
    let (mut one_way, mut round_trip) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let next = Timer::after(LONE_EVERY);
        let echoed = pair.echo(1).await?;
        one_way.extend(echoed.one_way_us.iter().map(|us| us / 1e3));
        round_trip.extend(echoed.round_trip_us.iter().map(|us| us / 1e3));
        next.await;
    }
    let path = pair.path();
    let passed = path.packets - before.packets;
    if passed < count as u64 * 2 {
        return Err(format!("only {passed} packets took the bad path").into());
    }
    let [one_way_ms, round_trip_ms] = [one_way, round_trip].map(Spread::of);
    Ok(Lone { one_way_ms, round_trip_ms, openings_failed, path })
}
