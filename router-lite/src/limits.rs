//! Every bound of the router, with its reason. What can be set by the operator lives in [`crate::Config`], whose defaults
//! and ranges are here too. The bounds of the wire format itself are [`clasp_wire::limits`].

use std::{ops::RangeInclusive, time::Duration};

use clasp_wire::limits::{MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES};

/// Sessions at a time (default and range). A small board serves a room, not a city. The worst 256 clients together can make
/// it hold is 100 MiB: for each one a full outbox, one half-written batch, one half-read message and 16 KiB read ahead.
pub const MAX_SESSIONS: usize = 256;
/// See [`MAX_SESSIONS`].
pub const MAX_SESSIONS_RANGE: RangeInclusive<usize> = 1..=65_536;

/// Connections that have not said HELLO yet. Each holds a socket and a few KiB; a handshake takes two round trips.
pub const MAX_HALF_OPEN: usize = 32;

/// When [`MAX_HALF_OPEN`] is reached, a handshake at least this old gives way to a newcomer: otherwise 32 silent
/// connections would lock everybody out. One second is ten round trips to the other side of the world.
pub const HALF_OPEN_GRACE: Duration = Duration::from_secs(1);

/// From the connection's first packet to its HELLO (default and range). The stock router's figure.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// See [`HELLO_TIMEOUT`].
pub const HELLO_TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// Silence after which a client is pinged (default and range). Below the 30 s after which the tightest of the common
/// NAT boxes forget a connection.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// See [`PING_INTERVAL`].
pub const PING_INTERVAL_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(600);
/// Pings sent this much early, so that one look at all connections serves many of them.
pub const PING_SLACK: Duration = Duration::from_secs(1);
/// Unanswered pings after which a client is gone: one may be lost to a Wi-Fi hiccup, two are not.
pub const MAX_UNANSWERED_PINGS: u8 = 2;

/// How long a socket may take none of the bytes we have for it (default and range). Three TCP retransmissions on a bad
/// Wi-Fi take about 7 s.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// See [`STALL_TIMEOUT`].
pub const STALL_TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(600);

/// Messages a second from one session (default and range; 0 is no limit). The stock router's figure.
pub const RATE: u32 = 1000;
/// See [`RATE`].
pub const RATE_RANGE: RangeInclusive<u32> = 0..=1_000_000;

/// How much a session may save up: it may send one second's worth at once.
pub const RATE_BURST: Duration = Duration::from_secs(1);

/// ERROR 101 to one session, at most one in this time: a client that sends garbage all the time is told, not flooded.
pub const ERROR_INTERVAL: Duration = Duration::from_secs(1);

/// Frames waiting for one session, and [`OUTBOX_BYTES`] their size. A quarter of a second at the rate limit.
pub const OUTBOX_FRAMES: usize = 256;
/// Almost four of the largest frames, so that no single message fills an outbox.
pub const OUTBOX_BYTES: usize = 256 * 1024;
/// Frames waiting for an in-process session. No socket drains it while one input is worked off, so that it must hold
/// what the largest bundle sets loose: 65 535 bytes of SETs of 7 bytes. [`OUTBOX_BYTES`] bounds it as well.
pub const LOCAL_OUTBOX_FRAMES: usize = 10 * 1024;
/// Above this an outbox asks to be written at once and not when the input is worked off.
pub const OUTBOX_HIGH_WATER_FRAMES: usize = 64;
/// See [`OUTBOX_HIGH_WATER_FRAMES`].
pub const OUTBOX_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Snapshots are built while less than this waits: a store of 4 MiB reaches a newcomer piece by piece, at its own pace,
/// and leaves most of the outbox to live traffic.
pub const BACKLOG_LOW_WATER_BYTES: usize = 32 * 1024;
/// See [`BACKLOG_LOW_WATER_BYTES`]; counts where frames are small (replayed announces).
pub const BACKLOG_LOW_WATER_FRAMES: usize = 32;
/// An idle outbox keeps room for this many frames; what a burst needed beyond it is given back.
pub const OUTBOX_IDLE_FRAMES: usize = 64;

/// Members of a bundle, waiting gestures and the like worked off before their receivers' sockets get a turn.
pub const WORK_STEP: usize = 64;

/// Subscriptions of one session. The stock limit is 1000, which no stock client comes near; a P2P node needs two.
pub const MAX_SESSION_SUBSCRIPTIONS: usize = 64;
/// Subscriptions altogether: matching an address looks at every distinct wildcard pattern once.
pub const MAX_SUBSCRIPTIONS: usize = 4096;

/// Addresses whose subscribers are remembered, and [`MATCH_CACHE_TARGETS`] how many subscribers in all. Enough for a
/// lighting desk's 512 channels; beyond either, the memory starts afresh.
pub const MATCH_CACHE_ADDRESSES: usize = 1024;
/// See [`MATCH_CACHE_ADDRESSES`]; 8 bytes each.
pub const MATCH_CACHE_TARGETS: usize = 32 * 1024;

/// Parameters stored, and [`MAX_PARAM_BYTES`] their size. Never evicted silently: what was acknowledged is there.
pub const MAX_PARAMS: usize = 4096;
/// Addresses, frames and [`PARAM_OVERHEAD_BYTES`] for each.
pub const MAX_PARAM_BYTES: usize = 4 * 1024 * 1024;
/// What storing a parameter takes beside its text and value.
pub const PARAM_OVERHEAD_BYTES: usize = 160;
/// Life of a parameter without a TTL of its own, counted from its last write: the stock router's figure.
pub const PARAM_TTL: Duration = Duration::from_secs(3600);
/// How often expired parameters are thrown out. They are not served once expired, so this only frees memory.
pub const PARAM_SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What a SNAPSHOT adds to a SET of the same parameter: writer, time and their flags.
pub const SNAPSHOT_ENTRY_BYTES: usize = 58;
/// The largest address and value of a parameter: it must fit a SNAPSHOT of its own.
pub const MAX_PARAM_ENTRY_BYTES: usize = MAX_PAYLOAD_BYTES - 3 - SNAPSHOT_ENTRY_BYTES;

/// Signals announced (message ANNOUNCE), and [`MAX_SIGNAL_BYTES`] their size. Signals of sessions that have ended make
/// room for new ones.
pub const MAX_SIGNALS: usize = 1024;
/// Half an outbox: the answer to a QUERY for all of them must fit.
pub const MAX_SIGNAL_BYTES: usize = 128 * 1024;
/// What storing a signal takes beside its text.
pub const SIGNAL_OVERHEAD_BYTES: usize = 64;

/// Gestures of one session whose moves are thinned out: two hands and some to spare. Beyond it the one that rested
/// longest is passed on unthinned.
pub const MAX_GESTURES: usize = 16;
/// Moves of one gesture are passed on at most once in this time: one frame of a 60 Hz display.
pub const GESTURE_INTERVAL: Duration = Duration::from_millis(16);

/// Largest P2P announce: stock ones take about 200 bytes, and every one is kept for newcomers.
pub const MAX_ANNOUNCE_BYTES: usize = 2048;
/// P2P announces a second from one session: each one goes to everybody.
pub const ANNOUNCE_RATE: u32 = 10;

/// P2P exchanges remembered per session, so that the other side learns of its end.
pub const MAX_LINKS: usize = 16;
/// Of those, with one and the same peer: a stranger cannot make a session forget the others.
pub const MAX_LINKS_PER_PEER: usize = 4;
/// Longest correlation id remembered. Stock ones take 110 bytes.
pub const MAX_CORRELATION_BYTES: usize = 256;

/// Tokens a router knows. One for each kind of client; each presented one is compared with all of them.
pub const MAX_TOKENS: usize = 64;
/// Scopes of one token: every address a session with it uses is compared with all of them.
pub const MAX_TOKEN_SCOPES: usize = 16;
/// Longest name of a token.
pub const MAX_TOKEN_NAME_BYTES: usize = 63;

/// Longest name of the router (it travels in every WELCOME).
pub const MAX_NAME_BYTES: usize = 128;

/// The text of all metrics, three times what a node with a router writes. An answer to HTTP must fit what one connection
/// may have unsent, because nobody waits for its reader.
pub const MAX_METRICS_BYTES: usize = 32 * 1024;

/// A refusal is logged when nothing of its kind happened for this long.
pub const BURST_QUIET: Duration = Duration::from_secs(10);

const _: () = {
    assert!(LOCAL_OUTBOX_FRAMES >= MAX_PAYLOAD_BYTES / 7);
    assert!(OUTBOX_BYTES >= 3 * MAX_FRAME_BYTES);
    assert!(BACKLOG_LOW_WATER_BYTES + 2 * MAX_FRAME_BYTES < OUTBOX_BYTES);
    assert!(OUTBOX_HIGH_WATER_FRAMES + 2 * WORK_STEP <= OUTBOX_FRAMES);
    assert!(OUTBOX_HIGH_WATER_BYTES + MAX_FRAME_BYTES < OUTBOX_BYTES);
    assert!(MAX_SESSION_SUBSCRIPTIONS <= MAX_SUBSCRIPTIONS);
    assert!(MAX_SIGNAL_BYTES + MAX_FRAME_BYTES < OUTBOX_BYTES);
    assert!(MAX_LINKS_PER_PEER <= MAX_LINKS && MAX_GESTURES <= WORK_STEP);
};
