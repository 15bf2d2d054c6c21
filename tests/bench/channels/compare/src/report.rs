//! The tables. Figures are medians over the rounds; ratios are medians of the rounds' ratios.

use serde::Serialize;

use crate::impair::Conditions;
use crate::measure::{Impaired, Lone, Plain, Speed};
use crate::stats::{Spread, median};

/// Everything measured of one stack.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Why there is nothing.
    pub(crate) skipped: Option<String>,
    pub(crate) plain: Vec<Plain>,
    pub(crate) throughput: Vec<Cell<Impaired>>,
    pub(crate) lone: Vec<Cell<Lone>>,
}

/// What was measured under these conditions, by round.
#[derive(Debug, Serialize)]
pub(crate) struct Cell<T> {
    pub(crate) conditions: Conditions,
    pub(crate) rounds: Vec<Option<T>>,
}

/// A column: its heading, how to get at the figure, decimals, and whether more is better.
struct Column {
    heading: &'static str,
    figure: fn(&Plain) -> Option<f64>,
    decimals: usize,
    more_is_better: bool,
}

const COLUMNS: [Column; 11] = [
    column("open ms", |it| Some(spread(&it.open_ms)?.p50), 1, false),
    column("max", |it| Some(spread(&it.open_ms)?.max), 0, false),
    column("16K MB/s", |it| Some(it.large[0]?.mb_per_s), 1, true),
    column("63K MB/s", |it| Some(it.large[1]?.mb_per_s), 1, true),
    column("16K cpu", |it| it.large[0].as_ref().map(Speed::cpu_ms_per_mb), 1, false),
    column("63K cpu", |it| it.large[1].as_ref().map(Speed::cpu_ms_per_mb), 1, false),
    column("64 B/s", |it| Some(it.small?.messages_per_s), 0, true),
    column("rtt µs", |it| Some(it.round_trip_us?.p50), 0, false),
    column("p99", |it| Some(it.round_trip_us?.p99), 0, false),
    column("idle MB", |it| it.idle_rss_kib.map(megabytes), 1, false),
    column("peak MB", |it| it.peak_rss_kib.map(megabytes), 1, false),
];

const fn column(
    heading: &'static str,
    figure: fn(&Plain) -> Option<f64>,
    decimals: usize,
    more_is_better: bool,
) -> Column {
    Column { heading, figure, decimals, more_is_better }
}

fn spread(figures: &[f64]) -> Option<Spread> {
    (!figures.is_empty()).then(|| Spread::of(figures.to_vec()))
}

fn megabytes(kib: u64) -> f64 {
    crate::pair::float(kib) * 1024.0 / 1e6
}

/// All tables for which there are figures.
pub(crate) fn tables(results: &[Results], loads: [&str; 2]) -> String {
    let mut text = String::new();
    for it in results {
        line(&mut text, &format!("{:18}{}", it.name, it.skipped.as_deref().unwrap_or(it.what)));
    }
    line(&mut text, &format!("load average before and after: {} / {}", loads[0], loads[1]));
    let measured: Vec<_> = results.iter().filter(|it| it.skipped.is_none()).collect();
    if measured.iter().any(|it| !it.plain.is_empty()) {
        plain(&mut text, &measured);
    }
    grid(&mut text, "MB/s of 16 KiB messages, by loss each way and RTT", &measured, |it| {
        cells(&it.throughput, |cell| cell.mb_per_s, 2)
    });
    grid(&mut text, "openings that failed before one succeeded", &measured, |it| {
        cells(&it.throughput, |cell| crate::pair::float(cell.openings_failed), 1)
    });
    let lone = "lone 64-byte message, ms:";
    grid(&mut text, &format!("{lone} one way, p99"), &measured, |it| {
        cells(&it.lone, |cell| cell.one_way_ms.p99, 1)
    });
    grid(&mut text, &format!("{lone} there and back, p99"), &measured, |it| {
        cells(&it.lone, |cell| cell.round_trip_ms.p99, 1)
    });
    grid(&mut text, &format!("{lone} there and back, max"), &measured, |it| {
        cells(&it.lone, |cell| cell.round_trip_ms.max, 1)
    });
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn plain(text: &mut String, results: &[&Results]) {
    line(text, "\non loopback; cpu: ms per MB, both ends; RSS of the larger end");
    let headings = COLUMNS.iter().fold(String::new(), |row, it| format!("{row}{:>10}", it.heading));
    line(text, &format!("{:18}{headings}    failed", ""));
    for it in results {
        let mut row = format!("{:18}", it.name);
        for column in &COLUMNS {
            figure(&mut row, over_rounds(column, it), column.decimals, 10);
        }
        let failed: u64 = it.plain.iter().map(|round| round.openings_failed).sum();
        let all = failed + it.plain.iter().map(|round| round.open_ms.len() as u64).sum::<u64>();
        line(text, &format!("{row}{:>10}", format!("{failed}/{all}")));
    }
    let Some((ours, others)) = results.split_first().filter(|(ours, _)| ours.name == crate::peers::OURS)
    else {
        return;
    };
    if others.is_empty() {
        return;
    }
    line(text, "\nhow many times better ours is");
    for it in others {
        let mut row = format!("{:18}", it.name);
        for column in &COLUMNS {
            figure(&mut row, ratio(column, ours, it), 2, 10);
        }
        line(text, &row);
    }
}

/// The worst opening of all is the worst of all rounds; everything else is a median.
fn over_rounds(column: &Column, it: &Results) -> Option<f64> {
    let figures = it.plain.iter().filter_map(column.figure);
    if column.heading == "max" { figures.reduce(f64::max) } else { median(figures) }
}

fn ratio(column: &Column, ours: &Results, other: &Results) -> Option<f64> {
    median(ours.plain.iter().zip(&other.plain).filter_map(|(ours, other)| {
        let (ours, other) = ((column.figure)(ours)?, (column.figure)(other)?);
        Some(if column.more_is_better { ours / other } else { other / ours })
    }))
}

/// Conditions, and the figure with its decimals.
type Figures = Vec<(Conditions, Option<f64>, usize)>;

fn cells<T>(cells: &[Cell<T>], figure: fn(&T) -> f64, decimals: usize) -> Figures {
    let over_rounds = |cell: &Cell<T>| median(cell.rounds.iter().flatten().map(figure));
    cells.iter().map(|cell| (cell.conditions, over_rounds(cell), decimals)).collect()
}

/// A row for each set of conditions, a column for each stack.
fn grid(text: &mut String, heading: &str, results: &[&Results], figures: impl Fn(&Results) -> Figures) {
    let columns: Vec<_> =
        results.iter().map(|it| (it.name, figures(it))).filter(|(_, figures)| !figures.is_empty()).collect();
    let Some((_, first)) = columns.first() else { return };
    line(text, &format!("\n{heading}"));
    let headings = columns.iter().fold(String::new(), |row, (name, _)| format!("{row}{name:>16}"));
    line(text, &format!("{:18}{headings}", ""));
    for (at, (Conditions { loss_percent, rtt_ms }, ..)) in first.iter().enumerate() {
        let mut row = format!("{:18}", format!("{loss_percent} %, {rtt_ms} ms"));
        for (_, figures) in &columns {
            let cell = figures.get(at);
            figure(&mut row, cell.and_then(|(_, it, _)| *it), cell.map_or(0, |(.., it)| *it), 16);
        }
        line(text, &row);
    }
}

fn figure(row: &mut String, figure: Option<f64>, decimals: usize, width: usize) {
    row.push_str(&match figure {
        Some(figure) => format!("{figure:width$.decimals$}"),
        None => format!("{:>width$}", "-"),
    });
}
