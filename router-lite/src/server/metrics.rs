//! `GET /metrics`: what the router, this process and the program around the router tell about themselves.

use std::rc::Rc;

use clasp_wire::limits::MAX_FRAME_BYTES;

use crate::{
    counters::Refusal,
    exposition::Exposition,
    id::ConnectionId,
    io::Input,
    limits::MAX_METRICS_BYTES,
    server::{http, hub::Hub},
};

/// Why somebody does not get them.
const REFUSED: &str =
    "metrics are for this machine, asked by its address or as localhost, unless started with --remote full";

// The answer, with its head, must fit what a connection may have unsent: it is queued as a whole.
const _: () = assert!(MAX_METRICS_BYTES + 1024 <= MAX_FRAME_BYTES);

/// The answer to `connection`, which has no other. Nothing waits for anybody here.
pub(crate) fn answer(hub: &Hub, connection: ConnectionId, with_body: bool) -> Vec<u8> {
    if !hub.allows_metrics(connection) {
        hub.apply(Input::Noted { connection, what: Refusal::Metrics });
        return http::refusal(403, REFUSED, with_body);
    }
    // It has its answer, so that it does not count itself as an unfinished handshake.
    hub.apply(Input::Closed { connection });
    let mut page = Exposition::new();
    hub.write_metrics(&mut page);
    let help = "Connections that have ended and are being closed in good order.";
    page.gauge("clasp_router_closing_connections", help, hub.lingering.get() as u64);
    if let Some(bytes) = resident_memory() {
        page.gauge("process_resident_memory_bytes", "Resident memory of this process.", bytes);
    }
    // It may call back into the server, so that nothing may be borrowed meanwhile.
    let more = hub.more_metrics.borrow().as_ref().map(Rc::clone);
    if let Some(write) = more {
        write(&mut page);
    }
    http::metrics(&page.finish(), with_body)
}

/// Where there is a `/proc`; the file is the kernel's memory, reading it waits for no disk.
fn resident_memory() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_where_the_system_tells_it() {
        assert_eq!(resident_in("Name:\tx\nVmHWM:\t 99 kB\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        for other in ["", "VmRSS:\tmany kB\n", "VmRSS:\t5 MB\n", "VmRSS:\t18446744073709551615 kB\n"] {
            assert_eq!(resident_in(other), None, "{other:?}");
        }
    }
}
