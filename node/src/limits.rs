//! Every bound of the node, with its reason. The table of `docs/limits.md` is checked against this file by a test.

use std::time::Duration;

/// Routers a node speaks to at once: its own, one configured, and room for discovered ones.
pub const MAX_ROUTERS: usize = 4;

/// Data-channel links at once. Each costs up to [`SCTP_SEND_BUFFER_BYTES`] plus what it receives.
pub const MAX_PEERS: usize = 16;

/// Links that may be connecting at once: the part of a connection a stranger gets for one signal.
pub const MAX_OFFERS_IN_PROGRESS: usize = 8;

/// New incoming offers a second, on average; [`MAX_OFFERS_IN_PROGRESS`] may come in one burst.
pub const OFFERS_PER_SECOND: u32 = 4;

/// Candidates kept that arrived before the offer they belong to; the oldest is dropped for a new one.
pub const MAX_EARLY_CANDIDATES: usize = 16;

/// How long such a candidate waits for its offer.
pub const EARLY_CANDIDATE_LIFETIME: Duration = Duration::from_secs(10);

/// Candidates one peer may send. A board has a handful of addresses; every one more is a probe we send for somebody.
pub const MAX_REMOTE_CANDIDATES: usize = 16;

/// Largest SDP we parse. Stock offers are below 1 KiB.
pub const MAX_SDP_BYTES: usize = 16 * 1024;

/// Longest identifier of a media section: it is repeated in each candidate we send. Browsers and stock clients use one digit.
pub const MAX_MID_BYTES: usize = 64;

/// Restarts of ICE on one connection. What ICE knew of the other side before each stays in memory until the connection ends, so one
/// that moves around more than this is replaced by a fresh one.
pub const MAX_RESTARTS: usize = 16;

/// Longest correlation id. Stock ones are 110 bytes.
pub const MAX_CORRELATION_ID_BYTES: usize = 256;

/// Longest session id of a peer. Stock ones are 36 bytes.
pub const MAX_SESSION_ID_BYTES: usize = 64;

/// Processes of one paired device whose descriptions are remembered, so that none is taken twice; that heard first is forgotten for a
/// new one.
pub const MAX_AUTH_EPOCHS: usize = 8;

/// Commands that may wait for how a pairing goes; a further one is told so.
pub const MAX_PAIRING_WAITERS: usize = 8;

/// Longest reason of a `disconnected` signal that we keep.
pub const MAX_REASON_BYTES: usize = 128;

/// Bytes str0m may hold for sending, over all channels of a link, until they are acknowledged.
///
/// A larger window costs CPU: the SCTP below walks everything in flight for each packet.
pub const SCTP_SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Largest message we accept from a peer, and announce as `a=max-message-size`.
pub const MAX_RECEIVE_MESSAGE_BYTES: usize = 64 * 1024;

/// Largest message we send: one byte more kills the channel of a stock Rust peer.
pub const MAX_SEND_MESSAGE_BYTES: usize = 65_535;

/// Data channels one peer may open to us. The protocol needs two; str0m itself would take 65 536.
pub const MAX_CHANNELS: usize = 8;

/// Longest data-channel label. The protocol's own are 14 bytes.
pub const MAX_LABEL_BYTES: usize = 128;

/// Reliable messages waiting in front of [`SCTP_SEND_BUFFER_BYTES`]; when full, the caller waits.
pub const RELIABLE_QUEUE_MESSAGES: usize = 256;

/// Bytes of the same queue.
pub const RELIABLE_QUEUE_BYTES: usize = 128 * 1024;

/// Stream messages waiting; when full, the oldest is dropped.
pub const STREAM_QUEUE_MESSAGES: usize = 64;

/// Bytes of the same queue.
pub const STREAM_QUEUE_BYTES: usize = 64 * 1024;

/// Announced peers remembered per router; the one heard longest ago is forgotten for a new one.
pub const MAX_ROSTER: usize = 256;

/// Frames kept for a router while it is away; the oldest is dropped, so the newest candidates survive.
pub const PENDING_SIGNALS: usize = 64;

/// Bytes of the same queue.
pub const PENDING_SIGNAL_BYTES: usize = 64 * 1024;

/// Events waiting for the application.
pub const EVENT_QUEUE: usize = 1024;

/// Bytes of received data waiting for the application. Beyond, stream data is dropped, and a link with reliable data is
/// closed: losing a reliable message silently is not an option, and holding it is not a bound.
pub const EVENT_QUEUE_BYTES: usize = 1024 * 1024;

/// Commands of the application waiting for the node; when full, the caller waits.
pub const COMMAND_QUEUE: usize = 64;

/// Callers that may wait at once for room in a reliable queue; a further one is told that it is full.
pub const MAX_PARKED: usize = 64;

/// Longest name of a peer that is remembered: as long as ours may be.
pub const MAX_NAME_BYTES: usize = 63;

/// Longest candidate that is read. Browsers send 200 bytes.
pub const MAX_CANDIDATE_BYTES: usize = 1024;

/// Refusals sent a second, on average; [`MAX_OFFERS_IN_PROGRESS`] may go out in one burst. Beyond, offers are refused in
/// silence: strangers must not make us use up what the router lets us send.
pub const REFUSALS_PER_SECOND: u32 = 4;

/// A clasp-edge peer that says nothing for this long is asked for a sign of life; after the third such interval it is dead.
pub const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Ended links remembered, so that `status` can tell why a peer is not connected; the oldest is forgotten for a new one.
pub const MAX_ENDED_LINKS: usize = 16;

/// Connections to the control socket at once; a further one is told so and closed.
pub const MAX_CONTROL_CONNECTIONS: usize = 16;

/// Commands among them that may last: `ping`, `send`, `recv` and `logs --follow`. A further one is told so, and the others still get
/// through.
pub const MAX_CONTROL_STREAMS: usize = 8;

/// Longest request on the control socket.
pub const MAX_CONTROL_REQUEST_BYTES: usize = 4 * 1024;

/// How long the control socket waits for a request, and for its answer to be taken.
pub const CONTROL_DEADLINE: Duration = Duration::from_secs(5);

/// Longest piece of data on the control socket.
pub const MAX_CONTROL_PIECE_BYTES: usize = 64 * 1024;

/// How long a command may let the node wait for a peer to show up, whatever it asks for.
pub const MAX_CONTROL_WAIT: Duration = Duration::from_secs(300);

/// What a command is told of its link and has not looked at; beyond, it misses it. Nothing but answers to its pings comes in numbers.
pub const LINK_NEWS: usize = 16;

/// Messages that belong to no transfer and wait for `recv --lines`; beyond, they are dropped, and the command is told how many.
pub const MAX_WAITING_TEXT_BYTES: usize = 64 * 1024;

/// Last words on their way on one link: transfers refused or called off, and its end. Only a peer that does not wait for its answers
/// could need more, and gets none.
pub const MAX_CHORES_PER_LINK: usize = 4;

/// How long the last word of a transfer may take to arrive before a link that is not used any more is ended.
pub const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);

/// Lines of the log kept in memory, in bytes; the oldest is dropped for a new one.
pub const LOG_RING_BYTES: usize = 64 * 1024;

/// Longest line of the log that is kept whole.
pub const MAX_LOG_LINE_BYTES: usize = 1024;

/// How long an open link may be without a path after this host's address changed: as long as DHCP may take on a bad day.
pub const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// Reliable messages kept per link between two of our nodes until the other one has confirmed them; when full, the caller waits.
/// A message may have to be sent again another way.
pub const UNCONFIRMED_BYTES: usize = 512 * 1024;

/// What a kept message counts besides its bytes, so that tiny ones are bounded as well.
pub const UNCONFIRMED_OVERHEAD_BYTES: usize = 64;

/// Largest message between two of our nodes: it may have to travel through a router, in a frame that tells where to.
pub const MAX_RELAYED_MESSAGE_BYTES: usize = 63 * 1024;

/// Bytes of one link on their way through a router, unconfirmed: a router has other sessions to serve, and closes one that does
/// not take its data in time.
pub const RELAY_WINDOW_BYTES: usize = 64 * 1024;

/// Relayed frames a second over all links, on average: routers take 1000 frames a second from a session, and signals need room.
pub const RELAY_FRAMES_PER_SECOND: u32 = 400;

/// Relayed frames that may go out in one burst.
pub const RELAY_FRAMES_AT_ONCE: u32 = 64;

/// How long a link without any sign of the other node, direct or through the router, is kept.
pub const RELAY_LIMIT: Duration = Duration::from_secs(30);

/// How long a link that may not use the router is kept without a direct path, though the other node lives.
pub const NO_PATH_LIMIT: Duration = Duration::from_secs(60);

/// STUN and TURN servers of a node. Each is asked from every address of its family.
pub const MAX_ICE_SERVERS: usize = 4;

/// Addresses one TURN allocation may relay to at once: as many as all peers may have us check. The one used least recently gives
/// way.
pub const MAX_TURN_PERMISSIONS: usize = MAX_PEERS * MAX_REMOTE_CANDIDATES;

/// Channels of one TURN allocation; a peer's data travels on one. Beyond, it travels in indications, 32 bytes longer.
pub const MAX_TURN_CHANNELS: usize = 2 * MAX_PEERS;

/// Names (`….local`) in candidates that multicast DNS is asked for at once.
pub const MAX_NAMES_ASKED: usize = 16;

/// New names asked for a second, on average; [`MAX_NAMES_ASKED`] may be in one burst. Each costs up to six queries on every
/// interface, which everybody on the link has to look at.
pub const NAMES_PER_SECOND: u32 = 4;

/// Addresses taken from the answer for one name. Those that browsers make up have one.
pub const MAX_ADDRESSES_PER_NAME: usize = 4;

/// Longest mDNS message that is read: one Ethernet frame. An answer to a question of ours takes a tenth of it.
pub const MAX_MDNS_MESSAGE_BYTES: usize = 1500;

/// Paired devices. More than a household has; each costs about half a kilobyte.
pub const MAX_PAIRS: usize = 64;

/// Addresses remembered of a paired device: where it was met last. The oldest is forgotten for a new one.
pub const MAX_PAIR_ADDRESSES: usize = 4;

/// Longest of these addresses: a host's name of 253 bytes would fit with little else.
pub const MAX_PAIR_ADDRESS_BYTES: usize = 256;

/// Longest file of the state directory that is read. [`MAX_PAIRS`] pairs with the longest names and addresses take 170 KB.
pub const MAX_STATE_FILE_BYTES: usize = 256 * 1024;

/// Longest configuration file that is read: ten times the one that is shipped.
pub const MAX_CONFIG_FILE_BYTES: usize = 64 * 1024;

/// Shares of a node.
pub const MAX_SHARES: usize = 16;

/// Patterns one paired device may ask for on a link, and as many that a node asks for itself.
pub const MAX_LINK_SUBSCRIPTIONS: usize = 64;

/// Shared parameters of which a value waits for one link. Beyond, they are looked up again when there is room.
pub const SHARED_PARAMS: usize = 1024;

/// Shared events that wait for one link; beyond, the oldest is dropped.
pub const SHARED_MESSAGES: usize = 4096;

/// Bytes of both of them.
pub const SHARED_MESSAGES_BYTES: usize = 512 * 1024;

/// Shared stream and gesture messages that wait for one link; beyond, the oldest is dropped.
pub const SHARED_STREAMS: usize = 64;

/// Their bytes.
pub const SHARED_STREAM_BYTES: usize = 128 * 1024;

/// Parameters of which it is known which device they are from; beyond, all of that is forgotten, and who sends a value is believed.
pub const MAX_SHARED_ORIGINS: usize = 4096;

/// Parameters looked up at a time for a device that has asked for them.
pub const SHARED_PAGE: usize = 64;

/// Devices visited at once to be paired: each is a session with the router in it.
pub const MAX_VISITS: usize = 4;

/// Files of provisioned pairs that are read from one directory: the first ones by name.
pub const MAX_PROVISIONED_FILES: usize = MAX_PAIRS;

/// Routers that are known by mDNS at once, and as many by broadcast. Beyond it, of the former the one heard of longest ago is
/// forgotten, and of the latter a new one is not taken up.
pub const MAX_INSTANCES: usize = 64;

/// Addresses whose discovery questions are counted. Beyond it, the one that asked longest ago is forgotten.
pub const MAX_DISCOVERY_SOURCES: usize = 64;

/// Discovery questions answered a second, whoever asks. Of one address it is 2.
pub const DISCOVERY_ANSWERS_PER_SECOND: u32 = 32;

const _: () = assert!(MAX_RELAYED_MESSAGE_BYTES <= MAX_SEND_MESSAGE_BYTES);
const _: () = assert!(MAX_SEND_MESSAGE_BYTES <= SCTP_SEND_BUFFER_BYTES);
const _: () = assert!(MAX_SEND_MESSAGE_BYTES <= RELIABLE_QUEUE_BYTES);
const _: () = assert!(MAX_OFFERS_IN_PROGRESS <= MAX_PEERS);
