//! What the router tells about itself, and to whom.

use super::Router;
use crate::{exposition::Exposition, id::ConnectionId};

impl Router {
    /// Whether a connection may read the metrics: they tell about this device, and so are for whom values are for.
    #[must_use]
    pub fn allows_metrics(&self, connection: ConnectionId) -> bool {
        let connection = self.slots.find(connection).and_then(|slot| self.slots.get(slot));
        connection.is_some_and(|connection| connection.standing.allows_all_data())
    }

    /// Writes the router's metrics. They say nothing of single sessions: how much is written depends on nobody.
    pub fn write_metrics(&self, page: &mut Exposition) {
        let (now, past) = (self.counts(), self.counters());
        page.info("clasp_router_build", "The router's version.", "version", env!("CARGO_PKG_VERSION"));
        page.gauge("clasp_router_sessions", "Sessions.", now.sessions as u64);
        let half_open = now.half_open as u64;
        page.gauge("clasp_router_half_open_connections", "Connections without a HELLO yet.", half_open);
        page.gauge("clasp_router_subscriptions", "Subscriptions of all sessions.", now.subscriptions as u64);
        page.gauge("clasp_router_params", "Parameters stored.", now.params as u64);
        let param_bytes = now.param_bytes as u64;
        page.gauge("clasp_router_params_bytes", "Bytes parameters count against their bound.", param_bytes);
        page.gauge("clasp_router_outbox_frames", "Frames waiting for sessions.", now.queued_frames as u64);
        page.gauge("clasp_router_outbox_bytes", "Bytes waiting for sessions.", now.queued_bytes as u64);
        page.counter("clasp_router_connections", "Connections opened.", past.connections);
        page.counter("clasp_router_sessions_begun", "Sessions begun.", past.sessions);
        page.counter("clasp_router_received_frames", "Frames received.", past.frames_in);
        page.counter("clasp_router_received_bytes", "Bytes of frames received.", past.bytes_in);
        page.counter("clasp_router_sent_frames", "Frames sent.", past.frames_sent);
        page.counter("clasp_router_sent_bytes", "Bytes of frames sent.", past.bytes_sent);
        page.counters(
            "clasp_router_p2p_signals",
            "P2P signals, by what became of them.",
            "outcome",
            [("relayed", past.signals_relayed), ("undelivered", past.signals_undelivered)],
        );
        page.counter("clasp_router_params_expired", "Parameters that expired.", past.params_expired);
        let help = "What was refused, dropped or ended, by reason.";
        page.counters("clasp_router_refusals", help, "reason", past.refusals());
    }
}
