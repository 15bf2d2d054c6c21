//! Decoding and encoding, clasp-wire against clasp-core on the same bytes, and a table of the ratios at the end.

use std::fs::read_to_string;
use std::hint::black_box;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench_codec::{Sample, read_core, read_ours, samples};
use clasp_wire::Message;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, measurement::WallTime};

const OURS: &str = "clasp-wire";
const STOCK: &str = "clasp-core";
const GROUPS: [&str; 3] = ["decode", "decode and read", "encode"];

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() -> std::io::Result<()> {
    let samples = samples();
    let directory = results();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .output_directory(&directory)
        .configure_from_args();
    for (name, measure) in GROUPS.into_iter().zip([decode, decode_and_read, encode]) {
        let mut group = criterion.benchmark_group(name);
        for sample in &samples {
            measure(&mut group, sample);
        }
        group.finish();
    }
    criterion.final_summary();
    table(&directory, &samples)
}

fn decode(group: &mut Group<'_>, sample: &Sample) {
    group.bench_function(BenchmarkId::new(OURS, sample.name), |b| {
        b.iter(|| Message::decode_compact(black_box(&sample.frame)));
    });
    group.bench_function(BenchmarkId::new(STOCK, sample.name), |b| {
        b.iter(|| clasp_core::codec::decode(black_box(&sample.frame)));
    });
}

fn decode_and_read(group: &mut Group<'_>, sample: &Sample) {
    group.bench_function(BenchmarkId::new(OURS, sample.name), |b| {
        b.iter(|| Message::decode_compact(black_box(&sample.frame)).map(|(_, m)| read_ours(black_box(&m))));
    });
    group.bench_function(BenchmarkId::new(STOCK, sample.name), |b| {
        b.iter(|| {
            clasp_core::codec::decode(black_box(&sample.frame)).map(|(m, _)| read_core(black_box(&m))).ok()
        });
    });
}

/// Each in the way its interface has it: ours into the caller's buffer, clasp-core into a new one.
fn encode(group: &mut Group<'_>, sample: &Sample) {
    let mut out = Vec::new();
    group.bench_function(BenchmarkId::new(OURS, sample.name), |b| {
        b.iter(|| {
            out.clear();
            black_box(&sample.ours).encode_into(black_box(&mut out))
        });
    });
    group.bench_function(BenchmarkId::new(STOCK, sample.name), |b| {
        b.iter(|| clasp_core::codec::encode(black_box(&sample.core)));
    });
}

/// Beside the profile's directory, as criterion itself would choose.
fn results() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).unwrap_or(Path::new("target")).join("criterion")
}

fn table(directory: &Path, samples: &[Sample]) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "\nns per message, medians: {OURS} / {STOCK} = ratio")?;
    write!(out, "{:<28}", "message")?;
    for group in GROUPS {
        write!(out, " | {group:^27}")?;
    }
    writeln!(out)?;
    for sample in samples {
        write!(out, "{:<28}", sample.name)?;
        for group in GROUPS {
            let median = |who| median_ns(&directory.join(group).join(who).join(sample.name));
            match (median(OURS), median(STOCK)) {
                (Some(ours), Some(stock)) => {
                    write!(out, " | {ours:>8.1} / {stock:>8.1} = {:>5.2}", stock / ours)?;
                }
                _ => write!(out, " | {:^27}", "not measured")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn median_ns(directory: &Path) -> Option<f64> {
    let text = read_to_string(directory.join("new/estimates.json")).ok()?;
    serde_json::from_str::<serde_json::Value>(&text).ok()?.pointer("/median/point_estimate")?.as_f64()
}
