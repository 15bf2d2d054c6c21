//! What was refused, dropped or ended, counted by kind. A kind is logged when it starts to happen, not each time.

use std::time::Instant;

use log::{Level, log};

use crate::limits::BURST_QUIET;

/// Declares the kinds, their counters and their texts in one place.
macro_rules! refusals {
    ($($(#[$doc:meta])* $kind:ident, $field:ident, $text:literal;)*) => {
        /// Something the router did not do, or undid.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[$doc])* $kind,)* }

        /// How often what happened since the router started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counters {
            /// Connections opened.
            pub connections: u64,
            /// Sessions begun (a repeated HELLO begins one).
            pub sessions: u64,
            /// Frames received.
            pub frames_in: u64,
            /// Their bytes.
            pub bytes_in: u64,
            /// Frames put into outboxes.
            pub frames_out: u64,
            /// Frames taken out of them to be sent.
            pub frames_sent: u64,
            /// Their bytes.
            pub bytes_sent: u64,
            /// P2P signals passed on.
            pub signals_relayed: u64,
            /// P2P signals that were not, for whatever reason.
            pub signals_undelivered: u64,
            /// Parameters that expired.
            pub params_expired: u64,
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// Every kind of refusal: what its counter is called here, and how often it happened.
            pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)*].into_iter()
            }

            fn of(&mut self, kind: Refusal) -> &mut u64 {
                match kind { $(Refusal::$kind => &mut self.$field,)* }
            }
        }

        impl Refusal {
            const COUNT: usize = [$(Self::$kind,)*].len();

            /// The kind in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }
        }
    };
}

refusals! {
    /// Connections refused because too many others had not said HELLO.
    HalfOpen, half_open_refused, "too many unfinished handshakes";
    /// Unfinished handshakes that gave way to newcomers.
    HalfOpenEvicted, half_open_evicted, "an unfinished handshake gave way to a newcomer";
    /// Connections that did not say HELLO in time.
    HelloTimeout, hello_timeouts, "no HELLO in time";
    /// First messages that were not HELLO.
    NotHello, not_hello, "the first message was not HELLO";
    /// HELLOs with a token that is none, or unknown.
    Token, tokens_refused, "unknown token";
    /// Sessions closed because their token was revoked.
    Revoked, tokens_revoked, "token revoked: session closed";
    /// Sessions refused because there were too many.
    Sessions, sessions_refused, "too many sessions";
    /// Frames that could not be decoded.
    Undecodable, undecodable, "undecodable frame";
    /// WebSocket text messages, which CLASP does not use.
    Text, text_messages, "text message ignored";
    /// Frames beyond the rate limit.
    Rate, rate_limited, "rate limit exceeded";
    /// Requests beyond what the session may do.
    Scope, out_of_scope, "request out of scope";
    /// Addresses and patterns that are none.
    Address, bad_addresses, "invalid address";
    /// Subscriptions beyond a limit.
    Subscriptions, subscriptions_refused, "subscription limit reached";
    /// SETs that met another revision or somebody's lock.
    Conflict, conflicts, "SET refused: revision or lock";
    /// SETs that found the store full.
    Params, params_refused, "parameter store is full";
    /// SETs and signals whose forwarded form would not fit a frame.
    TooLarge, too_large, "message too large to be passed on";
    /// Signals of ANNOUNCE messages that found no room.
    Signals, signals_refused, "too many announced signals";
    /// Stream frames dropped because their receiver is slow.
    StreamDropped, streams_dropped, "stream frame dropped for a slow receiver";
    /// Sessions closed because they did not read what they subscribed to.
    Slow, slow_consumers, "slow consumer closed";
    /// Sessions closed because they did not answer pings.
    Silent, silent_clients, "silent client closed";
    /// P2P signals to sessions that are not there.
    UnknownTarget, unknown_targets, "signal to an unknown session";
    /// P2P signals the target's outbox had no room for.
    TargetBusy, targets_busy, "signal refused: its target does not keep up";
    /// P2P announces that were too large, too frequent or no maps.
    Announce, announces_refused, "announce refused";
    /// P2P exchanges forgotten in favour of newer ones.
    LinkForgotten, links_forgotten, "older P2P exchange forgotten";
    /// Gestures passed on unthinned because a session has too many.
    GestureForgotten, gestures_forgotten, "too many gestures at once";
    /// TCP connections that were neither WebSocket clients nor probes.
    NotWebSocket, bad_http_requests, "request that is not for a CLASP router";
    /// Requests for metrics from where they are not told.
    Metrics, metrics_refused, "metrics refused to a stranger";
    /// WebSocket messages above the largest frame.
    Oversize, oversize_messages, "WebSocket message too large";
}

impl Refusal {
    /// A goodbye to a peer that has just left, a lost race for a parameter, or what the operator wants is nobody's mistake.
    const fn level(self) -> Level {
        match self {
            Self::UnknownTarget | Self::Conflict | Self::Revoked => Level::Debug,
            _ => Level::Warn,
        }
    }
}

/// The counters, and which kinds are going on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) counters: Counters,
    last: [Option<Instant>; Refusal::COUNT],
}

impl Tally {
    /// Counts one `kind` and logs it when it begins, with whatever `detail` tells.
    pub(crate) fn note(&mut self, now: Instant, kind: Refusal, detail: &dyn std::fmt::Display) {
        self.note_many(now, kind, 1, detail);
    }

    /// The same for `count` at once.
    pub(crate) fn note_many(
        &mut self,
        now: Instant,
        kind: Refusal,
        count: u64,
        detail: &dyn std::fmt::Display,
    ) {
        if self.begins(now, kind, count) {
            log!(kind.level(), detail:% = detail; "{}", kind.text());
        }
    }

    /// Counts `count` of a `kind`. True when none happened for a while.
    fn begins(&mut self, now: Instant, kind: Refusal, count: u64) -> bool {
        *self.counters.of(kind) += count;
        let Some(last) = self.last.get_mut(kind as usize) else { return false };
        let begins = last.is_none_or(|at| now.saturating_duration_since(at) >= BURST_QUIET);
        *last = Some(now);
        begins
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_support::t0;

    #[test]
    fn a_burst_is_logged_once_and_counted_in_full() {
        let mut tally = Tally::default();
        let start = t0().instant;
        let logged = (0..100u64)
            .filter(|i| tally.begins(start + Duration::from_millis(i * 500), Refusal::Rate, 1))
            .count();
        assert_eq!((logged, tally.counters.rate_limited), (1, 100));
        assert!(tally.begins(start + Duration::from_secs(50) + BURST_QUIET, Refusal::Rate, 1));
    }

    #[test]
    fn kinds_do_not_silence_each_other() {
        let mut tally = Tally::default();
        let start = t0().instant;
        assert!(tally.begins(start, Refusal::Rate, 1));
        assert!(tally.begins(start, Refusal::Slow, 1));
    }
}
