//! Medians over the rounds, ours and stock side by side, as text and as JSON.

use std::fmt::{Error, Write as _};

use serde_json::{Value, json};

use crate::Outcome;
use crate::idle::Idle;
use crate::latency::Latency;
use crate::stats::{float, median};
use crate::throughput::{Plan, Round};

/// The same for both routers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<T> {
    pub(crate) ours: T,
    pub(crate) stock: T,
}

impl<T> Pair<T> {
    /// Does the same with both, one after the other; who comes first changes from round to round.
    pub(crate) fn each<U>(&self, round: u32, mut act: impl FnMut(&T) -> Outcome<U>) -> Outcome<Pair<U>> {
        if round.is_multiple_of(2) {
            let ours = act(&self.ours)?;
            Ok(Pair { ours, stock: act(&self.stock)? })
        } else {
            let stock = act(&self.stock)?;
            Ok(Pair { ours: act(&self.ours)?, stock })
        }
    }

    fn map<U>(&self, figure: impl Fn(&T) -> U) -> Pair<U> {
        Pair { ours: figure(&self.ours), stock: figure(&self.stock) }
    }
}

/// Everything measured.
#[derive(Debug)]
pub(crate) struct Report {
    rounds: u32,
    throughput: Vec<(Plan, Vec<Pair<Round>>)>,
    pub(crate) latency: Vec<Pair<Latency>>,
    pub(crate) idle: Vec<Pair<Idle>>,
    pub(crate) peak_rss_kib: Option<Pair<u64>>,
}

/// A median of each, and the median over the rounds of what one round gave as ratio.
#[derive(Debug, Clone, Copy)]
struct Compared {
    ours: f64,
    stock: f64,
    /// Above 1: ours is better.
    ratio: f64,
}

impl Compared {
    /// Of figures of which less is better.
    fn less<T>(rounds: &[Pair<T>], figure: impl Fn(&T) -> f64) -> Self {
        let pairs: Vec<_> = rounds.iter().map(|round| round.map(&figure)).collect();
        Self {
            ours: median(pairs.iter().map(|pair| pair.ours)),
            stock: median(pairs.iter().map(|pair| pair.stock)),
            ratio: median(pairs.iter().map(|pair| pair.stock / pair.ours)),
        }
    }

    /// Of figures of which more is better.
    fn more<T>(rounds: &[Pair<T>], figure: impl Fn(&T) -> f64) -> Self {
        let Self { ours, stock, ratio } = Self::less(rounds, figure);
        Self { ours, stock, ratio: 1.0 / ratio }
    }

    fn json(self) -> Value {
        json!({ "ours": self.ours, "stock": self.stock, "ratio": self.ratio })
    }
}

impl Report {
    pub(crate) fn new(plans: &[Plan], rounds: u32) -> Self {
        let throughput = plans.iter().map(|plan| (*plan, Vec::new())).collect();
        Self { rounds, throughput, latency: Vec::new(), idle: Vec::new(), peak_rss_kib: None }
    }

    pub(crate) fn throughput(&mut self, index: usize, pair: Pair<Round>) {
        if let Some((_, rounds)) = self.throughput.get_mut(index) {
            rounds.push(pair);
        }
    }

    pub(crate) fn text(&self) -> Result<String, Error> {
        let mut out = String::new();
        writeln!(out, "Medians of {} rounds, ours / stock. CPU is the router's alone.", self.rounds)?;
        writeln!(
            out,
            "{:<18} {:>17} {:>17} {:>19} {:>9} {:>9} {:>23} {:>13}",
            "", "messages/s", "deliveries/s", "CPU µs/message", "msgs/CPU", "msgs/s", "out of order", "lost"
        )?;
        for (plan, rounds) in self.measured() {
            let speed = Compared::more(rounds, |round| round.messages_per_s);
            let cost = Compared::less(rounds, |round| round.cpu_us_per_message);
            let receivers = f64::from(plan.receivers);
            let late = total(rounds, |round| round.out_of_order);
            let lost = total(rounds, |round| round.lost + round.refusals);
            writeln!(
                out,
                "{:<18} {:>17} {:>17} {:>19} {:>8.2}x {:>8.2}x {:>23} {:>13}",
                plan.name(),
                format!("{:.0} / {:.0}", speed.ours, speed.stock),
                format!("{:.0} / {:.0}", speed.ours * receivers, speed.stock * receivers),
                format!("{:.2} / {:.2}", cost.ours, cost.stock),
                cost.ratio,
                speed.ratio,
                format!("{} / {} ({:.0} %)", late.ours, late.stock, late_percent(rounds)),
                format!("{} / {}", lost.ours, lost.stock),
            )?;
        }
        writeln!(out, "\n{:<44} {:>9} {:>9} {:>9}", "", "ours", "stock", "ratio")?;
        for (name, figure) in self.figures() {
            let Compared { ours, stock, ratio } = figure;
            writeln!(out, "{name:<44} {ours:>9.1} {stock:>9.1} {ratio:>8.2}x")?;
        }
        Ok(out)
    }

    pub(crate) fn json(&self) -> Value {
        let throughput = self.measured().map(|(plan, rounds)| {
            let late = total(rounds, |round| round.out_of_order);
            let lost = total(rounds, |round| round.lost);
            let refused = total(rounds, |round| round.refusals);
            json!({
                "kind": plan.kind.name(),
                "receivers": plan.receivers,
                "window": plan.window,
                "messages_per_s": Compared::more(rounds, |round| round.messages_per_s).json(),
                "cpu_us_per_message": Compared::less(rounds, |round| round.cpu_us_per_message).json(),
                "out_of_order": { "ours": late.ours, "stock": late.stock },
                "lost": { "ours": lost.ours, "stock": lost.stock },
                "refused": { "ours": refused.ours, "stock": refused.stock },
            })
        });
        let figures: serde_json::Map<_, _> =
            self.figures().into_iter().map(|(name, figure)| (name.to_owned(), figure.json())).collect();
        json!({ "rounds": self.rounds, "throughput": throughput.collect::<Vec<_>>(), "figures": figures })
    }

    fn measured(&self) -> impl Iterator<Item = &(Plan, Vec<Pair<Round>>)> {
        self.throughput.iter().filter(|(_, rounds)| !rounds.is_empty())
    }

    fn figures(&self) -> Vec<(&'static str, Compared)> {
        let mut figures = Vec::new();
        if !self.latency.is_empty() {
            let less = |figure: fn(&Latency) -> f64| Compared::less(&self.latency, figure);
            figures.extend([
                ("latency at 1000/s, p50, µs", less(|round| round.p50_us)),
                ("latency at 1000/s, p99, µs", less(|round| round.p99_us)),
                ("CPU at 1000/s, µs per message", less(|round| round.cpu_us_per_message)),
            ]);
        }
        if !self.idle.is_empty() {
            let less = |figure: fn(&Idle) -> f64| Compared::less(&self.idle, figure);
            figures.extend([
                ("RSS, no session, KiB", less(|round| float(round.none))),
                ("RSS, 100 sessions, KiB", less(|round| float(round.few))),
                ("RSS, 1000 sessions, KiB", less(|round| float(round.many))),
                ("RSS, 1000 with a subscription, KiB", less(|round| float(round.subscribed))),
                ("KiB per idle session", less(Idle::per_session)),
                ("KiB per idle session with a subscription", less(Idle::per_subscribed_session)),
            ]);
        }
        let peak: Vec<_> = self.peak_rss_kib.into_iter().collect();
        figures.push(("peak RSS over all loads, KiB", Compared::less(&peak, |peak| float(*peak))));
        figures
    }
}

fn total(rounds: &[Pair<Round>], figure: impl Fn(&Round) -> u64) -> Pair<u64> {
    Pair {
        ours: rounds.iter().map(|round| figure(&round.ours)).sum(),
        stock: rounds.iter().map(|round| figure(&round.stock)).sum(),
    }
}

/// How much of what the stock router delivered came late.
fn late_percent(rounds: &[Pair<Round>]) -> f64 {
    let late = total(rounds, |round| round.out_of_order).stock;
    100.0 * float(late) / float(total(rounds, |round| round.delivered).stock.max(1))
}
