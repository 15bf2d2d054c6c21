//! What a node did and how it is, as metrics.
//!
//! Owns: what is counted from the events a node tells and from what its application sends. Does not own: what the node
//! counts itself ([`Counters`]), which is taken over as it is; the text's syntax ([`Exposition`]).
//!
//! Nothing in here depends on who the peers are, so that no stranger can make the text grow.

use std::collections::BTreeMap;

use router_lite::exposition::{Exposition, Histogram};

use crate::discovery::DiscoveryCounters;
use crate::event::{Channel, DisconnectReason, Event, FailReason, LinkState, Role, Step};
use crate::node::{Counters, Node, ROUND_TRIP_SECONDS};
use crate::shares::{ShareCounters, ShareTotals};

/// Upper bounds in seconds for the time a connection takes: a LAN needs about 10 ms, an attempt is given up after 10 s.
const CONNECT_SECONDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const ROLES: [&str; 2] = ["answerer", "offerer"];

const FAILURES: [&str; 9] = [
    "bad_answer",
    "called_off",
    "channel",
    "declined",
    "dtls",
    "ice",
    "no_answer",
    "no_such_session",
    "violation",
];

const DISCONNECTS: [&str; 6] = ["application_too_slow", "local", "lost", "remote", "transport", "violation"];

const STATES: [&str; 6] = ["checking", "closed", "offering", "open", "relayed", "restarting"];
const KINDS: [&str; 2] = ["edge", "stock"];

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    connects: ByReason,
    connect_seconds: Histogram,
    failures: ByReason,
    disconnects: ByReason,
    received: ByChannel,
    sent: ByChannel,
    paths_changed: u64,
    relays: u64,
    restarts: u64,
    candidates_skipped: u64,
    routers_lost: u64,
    sends_refused: u64,
    /// As last told by [`Self::note_node`].
    links: ByReason,
    routers_ready: u64,
    peers: ByReason,
    round_trips: Histogram,
    counters: Counters,
    events_dropped: u64,
    /// As last told by [`Self::note_discovery`].
    discovery: DiscoveryCounters,
    devices_found: u64,
    /// As last told by [`Self::note_shares`].
    shares: ShareCounters,
    shares_now: ShareTotals,
}

/// Numbers by a reason, state or role from a fixed set, which are there from the start.
type ByReason = BTreeMap<&'static str, u64>;

#[derive(Debug, Default)]
struct Traffic {
    messages: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct ByChannel {
    reliable: Traffic,
    stream: Traffic,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connects: none_of(&ROLES),
            connect_seconds: Histogram::new(&CONNECT_SECONDS),
            failures: none_of(&FAILURES),
            disconnects: none_of(&DISCONNECTS),
            received: ByChannel::default(),
            sent: ByChannel::default(),
            candidates_skipped: 0,
            routers_lost: 0,
            sends_refused: 0,
            links: none_of(&STATES),
            paths_changed: 0,
            relays: 0,
            restarts: 0,
            routers_ready: 0,
            peers: none_of(&KINDS),
            round_trips: Histogram::new(&ROUND_TRIP_SECONDS),
            counters: Counters::default(),
            discovery: DiscoveryCounters::default(),
            devices_found: 0,
            events_dropped: 0,
            shares: ShareCounters::default(),
            shares_now: ShareTotals::default(),
        }
    }
}

impl Metrics {
    /// Counts what the node tells.
    pub fn note_event(&mut self, event: &Event) {
        match event {
            Event::Connected { role, after, .. } => {
                count(&mut self.connects, role_name(*role));
                self.connect_seconds.observe(*after);
            }
            Event::Failed { why, .. } => count(&mut self.failures, failure(why)),
            Event::Disconnected { why, .. } => count(&mut self.disconnects, disconnect(why)),
            Event::Data { channel, bytes, .. } => self.received.count(*channel, bytes.len()),
            Event::Step { step: Step::CandidateSkipped(_), .. } => self.candidates_skipped += 1,
            Event::PathChanged { .. } => self.paths_changed += 1,
            Event::Relayed { .. } => self.relays += 1,
            Event::Step { step: Step::RestartOfferSent | Step::RestartOfferReceived, .. } => {
                self.restarts += 1
            }
            Event::RouterLost { .. } => self.routers_lost += 1,
            _ => {}
        }
    }

    /// Counts a message that a link took to be sent.
    pub fn note_sent(&mut self, channel: Channel, bytes: usize) {
        self.sent.count(channel, bytes);
    }

    /// Counts a message given back because too many callers were waiting.
    pub fn note_send_refused(&mut self) {
        self.sends_refused += 1;
    }

    /// Takes over how discovery goes, and how many devices it has found.
    pub fn note_discovery(&mut self, counters: DiscoveryCounters, found: usize) {
        (self.discovery, self.devices_found) = (counters, found as u64);
    }

    /// Takes over how shares go, and how they are now.
    pub fn note_shares(&mut self, counters: ShareCounters, now: ShareTotals) {
        (self.shares, self.shares_now) = (counters, now);
    }

    /// Takes over how the node is now, and how many events its application missed so far.
    pub fn note_node(&mut self, node: &Node, events_dropped: u64) {
        self.links.values_mut().for_each(|links| *links = 0);
        for state in node.link_states() {
            count(&mut self.links, state_name(state));
        }
        self.routers_ready = node.sessions().count() as u64;
        self.peers.values_mut().for_each(|peers| *peers = 0);
        for peer in node.peers() {
            count(&mut self.peers, if peer.edge { "edge" } else { "stock" });
        }
        let round_trips = node.round_trips();
        if self.round_trips.count() != round_trips.count() {
            self.round_trips = round_trips.clone();
        }
        self.counters = node.counters();
        self.events_dropped = events_dropped;
    }

    /// Writes all of it.
    pub fn write(&self, page: &mut Exposition) {
        page.info("clasp_node_build", "The node's version.", "version", env!("CARGO_PKG_VERSION"));
        let links = self.links.iter().map(|(state, links)| (*state, *links));
        page.gauges("clasp_node_links", "Links, by state.", "state", links);
        page.gauge("clasp_node_devices_found", "Devices that discovery has found.", self.devices_found);
        page.gauge("clasp_node_routers_ready", "Routers the node has a session on.", self.routers_ready);
        let peers = self.peers.iter().map(|(kind, peers)| (*kind, *peers));
        page.gauges("clasp_node_peers", "Peers that have announced themselves, by kind.", "kind", peers);
        page.counter("clasp_node_routers_lost", "Sessions with routers lost or not had.", self.routers_lost);
        by_reason(page, "clasp_node_connects", "Links that opened, by our role.", "role", &self.connects);
        let help = "Time from a link's first signal until it opened.";
        page.histogram("clasp_node_connect_seconds", help, &self.connect_seconds);
        let help = "Links that never opened, by reason.";
        by_reason(page, "clasp_node_connect_failures", help, "reason", &self.failures);
        let help = "Open links that ended, by reason.";
        by_reason(page, "clasp_node_disconnects", help, "reason", &self.disconnects);
        let help = "Open links that moved to other addresses.";
        page.counter("clasp_node_paths_changed", help, self.paths_changed);
        let help = "Times a link went on through a router, for want of a direct path.";
        page.counter("clasp_node_relays", help, self.relays);
        let help = "Reliable messages sent through routers, repeated ones included.";
        page.counter("clasp_node_relayed_messages", help, self.counters.messages_relayed);
        let help = "Looks for another path of an open link, by offer and by answer.";
        page.counter("clasp_node_restarts", help, self.restarts);
        let help = "Round trips of the checks of the paths of open links, one check about every 3 s.";
        page.histogram("clasp_node_rtt_seconds", help, &self.round_trips);
        let checks = [("answered", self.counters.checks_answered), ("lost", self.counters.checks_lost)];
        page.counters("clasp_node_path_checks", "Such checks, by outcome.", "outcome", checks);
        let help = "Times losses held up a reliable channel.";
        page.counter("clasp_node_reliable_held_up", help, self.counters.held_up);
        let help = "Messages received, by channel.";
        page.counters("clasp_node_received_messages", help, "channel", self.received.messages());
        let help = "Bytes of messages received, by channel.";
        page.counters("clasp_node_received_bytes", help, "channel", self.received.bytes());
        let help = "Messages taken to be sent, by channel.";
        page.counters("clasp_node_sent_messages", help, "channel", self.sent.messages());
        let help = "Bytes of messages taken to be sent, by channel.";
        page.counters("clasp_node_sent_bytes", help, "channel", self.sent.bytes());
        self.write_shares(page);
        self.write_refusals(page);
    }

    fn write_shares(&self, page: &mut Exposition) {
        let ShareTotals { links, asked, wishes, waiting } = self.shares_now;
        page.gauge("clasp_node_shared_links", "Links to devices that addresses are shared with.", links);
        let help = "Subscriptions on these links: `asked` for by the other devices, `wishes` of this one.";
        page.gauges("clasp_node_shared_subscriptions", help, "kind", [("asked", asked), ("wishes", wishes)]);
        let help = "Shared messages that wait for their links, and of each parameter its latest value.";
        page.gauge("clasp_node_shared_waiting_messages", help, waiting.messages);
        page.gauge("clasp_node_shared_waiting_bytes", "Their bytes.", waiting.bytes);
        let help = "Messages of clients of this node that were queued for a link.";
        page.counter("clasp_node_shared_sent_messages", help, self.shares.sent);
        let help = "Messages of other devices that were given to clients of this node.";
        page.counter("clasp_node_shared_received_messages", help, self.shares.received);
    }

    fn write_refusals(&self, page: &mut Exposition) {
        // In full, so that a new counter cannot be forgotten here.
        let Counters {
            offers_refused,
            refused_in_silence,
            bad_descriptions,
            foreign_signals,
            stray_signals,
            early_candidates_dropped,
            unproven_signals,
            stray_datagrams,
            peers_forgotten,
            pending_signals_dropped,
            streams_dropped,
            messages_relayed: _, // nothing that was refused
            checks_answered: _,
            checks_lost: _,
            held_up: _,
        } = self.counters;
        let ShareCounters { sent: _, received: _, dropped, too_large, refused, outranked } = self.shares;
        let refusals = [
            ("offers_refused", offers_refused),
            ("bad_descriptions", bad_descriptions),
            ("foreign_signals", foreign_signals),
            ("stray_signals", stray_signals),
            ("unproven_signals", unproven_signals),
            ("candidates_skipped", self.candidates_skipped),
            ("early_candidates_dropped", early_candidates_dropped),
            ("stray_datagrams", stray_datagrams),
            ("peers_forgotten", peers_forgotten),
            ("pending_signals_dropped", pending_signals_dropped),
            ("streams_dropped", streams_dropped),
            ("discovery_questions", self.discovery.questions_refused),
            ("discovery_instances", self.discovery.instances_displaced),
            ("discovery_unreadable", self.discovery.unreadable),
            ("sends_refused", self.sends_refused),
            ("events_dropped", self.events_dropped),
            ("shared_dropped", dropped),
            ("shared_too_large", too_large),
            ("shared_refused", refused),
            ("shared_outranked", outranked),
        ];
        let help = "What was refused, dropped or ignored, by reason.";
        page.counters("clasp_node_refusals", help, "reason", refusals);
        let help = "Offers turned down without telling their senders, because there were too many.";
        page.counter("clasp_node_refused_in_silence", help, refused_in_silence);
    }
}

impl ByChannel {
    fn count(&mut self, channel: Channel, bytes: usize) {
        let traffic = match channel {
            Channel::Reliable => &mut self.reliable,
            Channel::Stream => &mut self.stream,
        };
        traffic.messages += 1;
        traffic.bytes += bytes as u64;
    }

    fn messages(&self) -> [(&'static str, u64); 2] {
        [("reliable", self.reliable.messages), ("stream", self.stream.messages)]
    }

    fn bytes(&self) -> [(&'static str, u64); 2] {
        [("reliable", self.reliable.bytes), ("stream", self.stream.bytes)]
    }
}

fn none_of(reasons: &[&'static str]) -> ByReason {
    reasons.iter().map(|reason| (*reason, 0)).collect()
}

fn count(counters: &mut ByReason, reason: &'static str) {
    *counters.entry(reason).or_default() += 1;
}

fn by_reason(
    page: &mut Exposition,
    name: &'static str,
    help: &str,
    label: &'static str,
    counters: &ByReason,
) {
    page.counters(name, help, label, counters.iter().map(|(reason, count)| (*reason, *count)));
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Offerer => "offerer",
        Role::Answerer => "answerer",
    }
}

fn state_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Offering => "offering",
        LinkState::Checking => "checking",
        LinkState::Open => "open",
        LinkState::Restarting => "restarting",
        LinkState::Relayed => "relayed",
        LinkState::Closed => "closed",
    }
}

fn failure(why: &FailReason) -> &'static str {
    match why {
        FailReason::NoSuchSession(_) => "no_such_session",
        FailReason::NoAnswer(_) => "no_answer",
        FailReason::BadAnswer(_) => "bad_answer",
        FailReason::Declined(_) => "declined",
        FailReason::Ice { .. } => "ice",
        FailReason::Dtls(_) => "dtls",
        FailReason::Channel(_) => "channel",
        FailReason::Violation(_) => "violation",
        FailReason::CalledOff => "called_off",
    }
}

fn disconnect(why: &DisconnectReason) -> &'static str {
    match why {
        DisconnectReason::Local => "local",
        DisconnectReason::Remote(_) => "remote",
        DisconnectReason::Lost => "lost",
        DisconnectReason::Transport(_) => "transport",
        DisconnectReason::Violation(_) => "violation",
        DisconnectReason::ApplicationTooSlow => "application_too_slow",
    }
}

#[cfg(test)]
mod tests;
