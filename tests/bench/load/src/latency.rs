//! How long one event takes through a router at an even pace: one sender, one receiver, a thread each.

use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::client::Client;
use crate::clock::{now, pause};
use crate::process::Router;
use crate::stats::{float, quantile};
use crate::traffic::{Kind, PATTERN, Seen, Traffic, look_at};

/// Between two events.
const PERIOD: Duration = Duration::from_millis(1);

/// What one round showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// Half of the events took at most this, µs.
    pub(crate) p50_us: f64,
    /// 99 of 100 took at most this, µs.
    pub(crate) p99_us: f64,
    /// What the router spent on one event at this pace, µs.
    pub(crate) cpu_us_per_message: f64,
}

/// Sends an event every millisecond for `time`. The number in it is when it was sent.
pub(crate) fn run(router: &Router, time: Duration) -> Outcome<Latency> {
    let count = (time.as_millis() / PERIOD.as_millis()).max(1) as usize;
    let mut receiver = Client::connect(router.address)?;
    receiver.subscribe(PATTERN)?;
    let mut sender = Client::connect(router.address)?;
    Client::settle([&mut receiver, &mut sender])?;
    let traffic = Traffic::new(Kind::Event, &sender.session, &receiver.session);

    let base = now();
    let since = move || i64::try_from(base.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let listener = thread::spawn(move || -> Result<Vec<f64>, String> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let frame = receiver.read().map_err(|error| error.to_string())?;
            let frame = frame.ok_or_else(|| format!("only {} of {count} events arrived", taken.len()))?;
            let arrived = since();
            match look_at(&frame).map_err(|error| error.to_string())? {
                Seen::Number(sent) => taken.push(float((arrived - sent).cast_unsigned()) / 1e3),
                Seen::Refusal(error) => return Err(error),
                Seen::Other => {}
            }
        }
        Ok(taken)
    });
    let cpu = router.cpu()?;
    for index in 0..count {
        let due = base + PERIOD * u32::try_from(index)?;
        pause(due.saturating_duration_since(now()));
        sender.queue(traffic.frame(since())?)?;
        sender.flush()?;
    }
    let mut taken = listener.join().map_err(|_| "the receiver panicked")??;
    let cpu = router.cpu()?.saturating_sub(cpu);
    Ok(Latency {
        p50_us: quantile(&mut taken, 0.5),
        p99_us: quantile(&mut taken, 0.99),
        cpu_us_per_message: cpu.as_secs_f64() * 1e6 / float(count as u64),
    })
}
