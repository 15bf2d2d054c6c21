//! Opens and closes a link again and again on real sockets, and shows whether anything stays behind.
//!
//! `cargo run --release -p e2e --bin soak -- 10000`: exits 1 if memory or descriptors have grown after the warm-up.

use std::process::ExitCode;

use clasp_node::driver::now;
use clasp_node::{Event, NodeConfig};
use e2e::real::{self, RealNode, RealRouter};

/// Cycles before the first measurement: allocators and tables reach their size.
const WARM_UP: u32 = 500;

/// What memory may grow by afterwards.
const MOST_GROWTH_KIB: u64 = 256;

fn main() -> ExitCode {
    env_logger::init();
    let argument = std::env::args().nth(1);
    let cycles = match argument.as_deref().unwrap_or("2000").parse::<u32>() {
        Ok(cycles) if cycles > WARM_UP => cycles,
        _ => {
            eprintln!("soak: the number of cycles is {argument:?}, expected more than {WARM_UP}");
            return ExitCode::from(2);
        }
    };
    match real::run(async |executor| soak(&executor, cycles).await) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("soak: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(executor: &real::Executor, cycles: u32) -> Result<(), String> {
    // The limits on offers and messages are what keeps a stranger from doing this.
    let unlimited = router_lite::Config::default().with_rate(0).map_err(|error| error.to_string())?;
    let router = RealRouter::start_with(executor, "127.0.0.1:0", unlimited).await?;
    let start = async |name: &str| {
        let config = NodeConfig { name: name.to_owned(), offers_per_second: 1000, ..NodeConfig::open() };
        RealNode::start_with(executor, config, router.url()).await
    };
    let (a, b) = (start("a").await?, start("b").await?);
    let begun = now();
    let mut baseline = None;
    eprintln!("  cycles    RSS KiB  descriptors");
    for cycle in 1..=cycles {
        a.connect(&b).await?;
        let link = a.connected().await?;
        b.connected().await?;
        a.handle.disconnect(link, "next cycle").await.map_err(|error| error.to_string())?;
        for node in [&a, &b] {
            node.until("Disconnected", |event| matches!(event, Event::Disconnected { .. })).await?;
        }
        // The goodbye takes a moment; the next cycle must find no trace of this one.
        while !(is_alone(&a).await? && is_alone(&b).await?) {
            smol::future::yield_now().await;
        }
        a.forget();
        b.forget();
        if cycle == WARM_UP || cycle % (cycles / 10).max(1) == 0 {
            let measured = (resident_kib()?, descriptors()?);
            eprintln!("{cycle:8} {:10} {:12}", measured.0, measured.1);
            if cycle == WARM_UP {
                baseline = Some(measured);
            }
        }
    }
    let took = now().saturating_duration_since(begun);
    let (before, after) = (baseline.ok_or("no baseline")?, (resident_kib()?, descriptors()?));
    eprintln!(
        "{cycles} cycles in {took:.1?}: RSS {} to {} KiB, descriptors {} to {}",
        before.0, after.0, before.1, after.1
    );
    if after.0 > before.0 + MOST_GROWTH_KIB {
        return Err(format!("memory grew by {} KiB", after.0 - before.0));
    }
    if after.1 != before.1 {
        return Err("descriptors leak".to_owned());
    }
    Ok(())
}

async fn is_alone(node: &RealNode) -> Result<bool, String> {
    Ok(node.handle.links().await.map_err(|error| error.to_string())?.is_empty())
}

fn resident_kib() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("VmRSS is {line:?}"))
}

fn descriptors() -> Result<usize, String> {
    std::fs::read_dir("/proc/self/fd").map(Iterator::count).map_err(|error| error.to_string())
}
