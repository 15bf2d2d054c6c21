//! A router made of frames: what the session says to it, and what it makes of its answers.

use clasp_wire::message::{ErrorReply, Publish, Welcome};
use clasp_wire::p2p::signal_address;

use bytes::Bytes;

use super::*;
use crate::clock_for_tests::start;

const KEEP_ALIVE: Duration = Duration::from_secs(50);

struct Table {
    now: Instant,
    session: Session,
    sent: Vec<Bytes>,
    told: Vec<SessionOutput>,
    wake: Option<Wake>,
}

impl Table {
    fn new() -> Self {
        let now = start();
        let identity = Identity {
            name: "kitchen".into(),
            token: String::new(),
            device: crate::identity::DeviceId::of(&[1; 32]),
            instance: "0123".into(),
            resident: false,
            keep_alive: KEEP_ALIVE,
        };
        let session = Session::new([1; 32], now, identity);
        let mut table = Self { now, session, sent: Vec::new(), told: Vec::new(), wake: None };
        table.session.handle_timeout(now);
        table.drain();
        table
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll_output() {
                SessionOutput::Idle(wake) => {
                    self.wake = wake;
                    return;
                }
                SessionOutput::Send(frame) => self.sent.push(frame),
                output => self.told.push(output),
            }
        }
    }

    fn receive(&mut self, message: &Message<'_>) {
        let mut frame = Vec::new();
        message.encode_into(&mut frame).unwrap();
        self.session.handle_frame(self.now, &frame);
        self.drain();
    }

    fn welcome(&mut self, id: &str) {
        self.receive(&Message::Welcome(Welcome {
            version: 1,
            features: Features(0xF8),
            time_us: 0,
            session: id,
            name: "router",
            token: "",
        }));
    }

    fn error(&mut self, code: u16, address: Option<&str>) {
        self.receive(&Message::Error(ErrorReply { code, message: "no", address, correlation_id: None }));
    }

    /// Sleeps until the session wants to be called, and says what for.
    fn sleep(&mut self) -> &'static str {
        let wake = self.wake.expect("a deadline");
        self.now = wake.at;
        self.session.handle_timeout(self.now);
        self.drain();
        wake.why
    }

    /// The kinds and addresses of what was sent, since the last time this was asked.
    fn sent(&mut self) -> Vec<String> {
        let mut scratch = Vec::new();
        let describe = |frame: &Bytes| match Message::decode(frame, &mut scratch).unwrap().1 {
            Message::Publish(Publish { address, .. }) => format!("PUBLISH {address}"),
            Message::Subscribe(Subscribe { pattern, .. }) => format!("SUBSCRIBE {pattern}"),
            other => other.kind().to_owned(),
        };
        std::mem::take(&mut self.sent).iter().map(describe).collect()
    }

    fn ready() -> Self {
        let mut table = Self::new();
        table.session.handle_opened(table.now);
        table.drain();
        table.welcome("me");
        table.sent.clear();
        table.told.clear();
        table
    }
}

#[test]
fn the_handshake_says_what_the_stock_native_client_says() {
    let mut table = Table::new();
    assert_eq!(std::mem::take(&mut table.told), [SessionOutput::Dial]);
    table.session.handle_opened(table.now);
    table.drain();
    assert_eq!(table.sent(), ["HELLO"]);
    table.welcome("me");
    assert_eq!(table.told, [SessionOutput::Ready { session: "me".into(), name: "router".into() }]);
    assert_eq!(
        table.sent(),
        ["SUBSCRIBE /clasp/p2p/signal/me", "SUBSCRIBE /clasp/p2p/announce", "PUBLISH /clasp/p2p/announce"]
    );
}

#[test]
fn a_silent_router_is_given_up_after_the_hello_timeout_and_dialled_again() {
    let mut table = Table::new();
    table.session.handle_opened(table.now);
    table.drain();
    table.told.clear();
    assert_eq!(table.sleep(), "welcome timeout");
    assert!(
        matches!(&table.told[..], [SessionOutput::Hangup, SessionOutput::Lost { why, .. }] if why.contains("welcome"))
    );
    table.told.clear();
    assert_eq!(table.sleep(), "dial");
    assert_eq!(table.told, [SessionOutput::Dial]);
    assert_eq!(table.sleep(), "dial timeout");
}

#[test]
fn a_refusal_is_told_with_the_routers_reason() {
    let mut table = Table::new();
    table.session.handle_opened(table.now);
    table.drain();
    table.error(300, None);
    assert!(
        table.told.iter().any(|o| matches!(o, SessionOutput::Lost { why, .. } if why == "refused: no (300)"))
    );
}

#[test]
fn an_idle_session_signals_to_itself_and_asks_for_a_sign_of_life() {
    let mut table = Table::ready();
    let mut reasons = Vec::new();
    let begun = table.now;
    while table.now - begun < KEEP_ALIVE * 3 {
        reasons.push(table.sleep());
        table.session.handle_heard(table.now); // the pong
        table.drain();
    }
    let own = "PUBLISH /clasp/p2p/signal/me";
    assert_eq!(table.sent(), [own, own, own]);
    assert!(reasons.contains(&"keep-alive") && reasons.contains(&"router silence"), "{reasons:?}");
    assert!(table.told.iter().all(|o| *o == SessionOutput::Ping), "{:?}", table.told);
}

#[test]
fn a_router_that_answers_nothing_is_given_up() {
    let mut table = Table::ready();
    let begun = table.now;
    while !table.told.iter().any(|o| matches!(o, SessionOutput::Lost { .. })) {
        table.sleep();
    }
    assert_eq!(table.now - begun, SILENCE_LIMIT);
    assert_eq!(table.told[..2], [SessionOutput::Ping, SessionOutput::Hangup]);
}

#[test]
fn a_session_the_router_has_forgotten_says_hello_again_on_the_same_socket() {
    let mut table = Table::ready();
    let mut own = String::new();
    signal_address("me", &mut own);
    table.error(404, Some(&own));
    assert_eq!(table.sent(), ["HELLO"]);
    table.welcome("me again");
    assert_eq!(table.session.id(), Some("me again"));
    assert_eq!(table.told, [SessionOutput::Ready { session: "me again".into(), name: "router".into() }]);
    // Somebody else's 404 is about that session only.
    table.told.clear();
    table.error(404, Some("/clasp/p2p/signal/bob"));
    assert_eq!(table.told, [SessionOutput::NoSuchSession("bob".into())]);
}

#[test]
fn signals_for_an_absent_router_wait_within_their_bound_and_the_newest_survive() {
    let mut table = Table::ready();
    table.session.handle_closed(table.now, "gone");
    for n in 0..=PENDING_SIGNALS {
        let id = n.to_string();
        let signal = P2pSignal { from: "me", correlation_id: &id, edge: true, body: SignalBody::Connected };
        table.session.signal("bob", &signal).unwrap();
    }
    table.drain();
    assert_eq!(table.session.pending_dropped(), 1);
    assert_eq!(table.sent(), [] as [&str; 0]);
    table.sleep();
    table.session.handle_opened(table.now);
    table.drain();
    table.welcome("me again");
    let mut scratch = Vec::new();
    let late = table.sent.last().unwrap();
    let (_, Message::Publish(publish)) = Message::decode(late, &mut scratch).unwrap() else { panic!() };
    let Body::Value(value) = publish.body else { panic!() };
    let late = P2pSignal::from_value(value).unwrap();
    assert_eq!((late.from, late.correlation_id), ("me again", "64"), "the newest, from who we are now");
    let signals = table.sent().iter().filter(|s| s.as_str() == "PUBLISH /clasp/p2p/signal/bob").count();
    assert_eq!(signals, PENDING_SIGNALS);
}

#[test]
fn garbage_from_the_router_changes_nothing() {
    let mut table = Table::ready();
    for frame in [&b""[..], b"\x53", b"\x53\x01\xff\xff", b"\x53\x01\x00\x01\x7f", b"{}"] {
        table.session.handle_frame(table.now, frame);
        table.drain();
    }
    table.receive(&Message::Pong);
    table.receive(&Message::Get { address: "/x" });
    assert_eq!(table.session.id(), Some("me"));
    assert!(table.told.is_empty() && table.sent().is_empty());
    table.receive(&Message::Ping);
    assert_eq!(table.sent(), ["PONG"]);
}
