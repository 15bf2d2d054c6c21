//! Decoding a compact message allocates nothing, whatever the message. Prints clasp-core's count beside ours.
//!
//! A program of its own without libtest, whose threads would be counted too: `cargo test --release -p bench-codec`.

use std::alloc::System;
use std::hint::black_box;
use std::io::{Result, Write as _, stdout};

use bench_codec::{read_core, read_ours, samples};
use clasp_wire::Message;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<()> {
    let samples = samples();
    let mut out = stdout().lock();
    writeln!(out, "Allocations to decode one message and read all of it")?;
    writeln!(out, "{:<28} {:>6} {:>11} {:>18}", "message", "bytes", "clasp-wire", "clasp-core (bytes)")?;
    for sample in &samples {
        let ours = counted(|| {
            let (_, message) = Message::decode_compact(black_box(&sample.frame)).expect("a valid frame");
            read_ours(black_box(&message))
        });
        // The entry that also takes MessagePack must not pay for it either.
        let either = counted(|| {
            let mut scratch = Vec::new();
            let (_, message) =
                Message::decode(black_box(&sample.frame), &mut scratch).expect("a valid frame");
            read_ours(black_box(&message))
        });
        let core = counted(|| {
            let (message, _) = clasp_core::codec::decode(black_box(&sample.frame)).expect("a valid frame");
            read_core(black_box(&message))
        });
        let theirs = format!("{} ({})", calls(&core), core.bytes_allocated);
        writeln!(out, "{:<28} {:>6} {:>11} {:>18}", sample.name, sample.frame.len(), calls(&ours), theirs)?;
        assert_eq!(calls(&ours), 0, "{}: decoding allocates", sample.name);
        assert_eq!(calls(&either), 0, "{}: decoding either form allocates", sample.name);
        assert!(calls(&core) > 0, "{}: the counter does not count", sample.name);
    }
    Ok(())
}

/// What `work` did to the heap.
fn counted(work: impl Fn() -> u64) -> Stats {
    let region = Region::new(ALLOCATOR);
    black_box(work());
    region.change()
}

fn calls(stats: &Stats) -> usize {
    stats.allocations + stats.reallocations
}
