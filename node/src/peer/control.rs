//! The frames between two of our nodes that the nodes answer or consume themselves.
//!
//! Which they are can be told from a frame alone: both sides must count the others, which are the application's, alike.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clasp_wire::message::{Ack, Body, Publish, Sync};
use clasp_wire::p2p::{ANNOUNCE_ADDRESS, FeatureList, PeerAnnounce};
use clasp_wire::{Message, QoS};

use super::{SendError, coalescing};
use crate::limits::MAX_SESSION_ID_BYTES;

/// None but session notices is longer (SYNC with three times is 30 bytes).
const CONTROL_FRAME_BYTES: usize = 32;

/// An announce with the longest session id and no features is shorter.
const MAX_SESSION_NOTICE_BYTES: usize = 256;

/// ACK with this address and a number as revision: all numbered messages up to it have arrived.
const ARRIVED: &str = "/edge/arrived";

/// The same for: the next numbered message on this channel has this number.
const NEXT: &str = "/edge/next";

/// What such a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Send this back on the same channel.
    Reply(Bytes),
    /// A ping came back.
    Pong { token: u64, rtt: Duration },
    /// A sign of life, nothing to do.
    Alive,
    /// The other node has this session from now on.
    Session(String),
    /// All numbered messages up to this one have arrived there.
    Arrived(u64),
    /// The next numbered message on this channel is this one.
    Next(u64),
}

/// Reads a frame, if it is one of these. `epoch` is the zero of our time stamps.
pub(crate) fn read(bytes: &[u8], now: Instant, epoch: Instant) -> Option<Control> {
    let Some(message) = short(bytes) else { return read_session_notice(bytes) };
    Some(match message {
        Message::Ping => Control::Reply(encode(&Message::Pong)),
        Message::Sync(Sync { t1_us, t2_us: None, t3_us: None }) => {
            let at = Some(micros(now, epoch));
            Control::Reply(encode(&Message::Sync(Sync { t1_us, t2_us: at, t3_us: at })))
        }
        Message::Sync(Sync { t1_us, .. }) => match micros(now, epoch).checked_sub(t1_us) {
            Some(rtt) => Control::Pong { token: t1_us, rtt: Duration::from_micros(rtt) },
            None => Control::Alive, // no ping of ours
        },
        Message::Ack(Ack { address: Some(ARRIVED), revision: Some(number), .. }) => Control::Arrived(number),
        Message::Ack(Ack { address: Some(NEXT), revision: Some(number), .. }) => Control::Next(number),
        _ => Control::Alive,
    })
}

/// Whether [`read`] would consume this frame.
pub(crate) fn is_control(bytes: &[u8]) -> bool {
    short(bytes).is_some() || read_session_notice(bytes).is_some()
}

/// Whether an application may send this frame to a peer.
pub(crate) fn check(bytes: &[u8], edge: bool) -> Result<(), SendError> {
    let reserved = edge && (matches!(short(bytes), Some(Message::Ack(_))) || coalescing::is_bundle(bytes));
    if reserved { Err(SendError::Reserved) } else { Ok(()) }
}

/// The short ones: everything but session notices.
fn short(bytes: &[u8]) -> Option<Message<'_>> {
    // Looked at before it is decoded, as this is asked of every message. Reference §2: flags, then an optional time stamp.
    let kind_at = if bytes.get(1)? & 0x20 == 0 { 4 } else { 12 };
    if bytes.len() > CONTROL_FRAME_BYTES || !matches!(bytes.get(kind_at)?, 0x40..=0x42 | 0x50) {
        return None;
    }
    let message = Message::decode_compact(bytes).ok()?.1;
    let is_control = match &message {
        Message::Ping | Message::Pong | Message::Sync(_) => true,
        Message::Ack(ack) => matches!(ack.address, Some(ARRIVED | NEXT)) && ack.revision.is_some(),
        _ => false,
    };
    is_control.then_some(message)
}

/// Where the address of a PUBLISH begins: frame header, type, flags, length of the address (reference §2, §4.3).
const PUBLISH_ADDRESS_AT: usize = 8;

/// The announce a node would send to a router, sent to a peer over the link.
pub(super) fn session_notice(session: &str) -> Bytes {
    let announce =
        PeerAnnounce { session_id: session, p2p_capable: true, features: FeatureList::new(&[]), name: None };
    let mut frame = Vec::new();
    announce.encode_publish(&mut frame).expect("a session id of our router fits a frame");
    frame.into()
}

fn read_session_notice(bytes: &[u8]) -> Option<Control> {
    let is_announce = |address: &[u8]| address.starts_with(ANNOUNCE_ADDRESS.as_bytes());
    if bytes.len() > MAX_SESSION_NOTICE_BYTES || !bytes.get(PUBLISH_ADDRESS_AT..).is_some_and(is_announce) {
        return None;
    }
    let Message::Publish(Publish { address: ANNOUNCE_ADDRESS, body: Body::Value(value), .. }) =
        Message::decode_compact(bytes).ok()?.1
    else {
        return None;
    };
    let session = PeerAnnounce::from_value(value).ok()?.session_id;
    let fits = (1..=MAX_SESSION_ID_BYTES).contains(&session.len()) && !session.contains(['/', '*']);
    (fits && !session.chars().any(char::is_control)).then(|| Control::Session(session.to_owned()))
}

/// A ping: SYNC with our time, which is also the ping's token.
pub(crate) fn ping(now: Instant, epoch: Instant) -> (u64, Bytes) {
    let t1_us = micros(now, epoch);
    (t1_us, encode(&Message::Sync(Sync { t1_us, t2_us: None, t3_us: None })))
}

/// Asks for a sign of life.
pub(super) fn keep_alive() -> Bytes {
    encode(&Message::Ping)
}

/// Says nothing: a sign of life that asks for none.
pub(super) fn tail_probe() -> Bytes {
    encode(&Message::Pong)
}

/// All numbered messages up to `number` have arrived.
pub(super) fn arrived(number: u64) -> Bytes {
    numbered(ARRIVED, number)
}

/// The next numbered message on this channel is `number`.
pub(super) fn next(number: u64) -> Bytes {
    numbered(NEXT, number)
}

fn numbered(address: &str, number: u64) -> Bytes {
    encode(&Message::Ack(Ack {
        address: Some(address),
        revision: Some(number),
        locked: None,
        holder: None,
        correlation_id: None,
    }))
}

fn micros(now: Instant, epoch: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(epoch).as_micros()).unwrap_or(u64::MAX)
}

fn encode(message: &Message<'_>) -> Bytes {
    let mut frame = Vec::with_capacity(CONTROL_FRAME_BYTES);
    message.encode_with_qos(QoS::Fire, &mut frame).expect("control frames are a few bytes");
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock_for_tests::start;

    #[test]
    fn both_sides_agree_on_which_frames_are_the_nodes_own() {
        let now = start();
        let later = now + Duration::from_secs(1);
        let own = [
            keep_alive(),
            tail_probe(),
            ping(later, now).1,
            arrived(u64::MAX),
            next(1),
            session_notice("073c6eb8-0000-4000-8000-00000000664c"),
            encode(&Message::Sync(Sync { t1_us: 1, t2_us: Some(2), t3_us: Some(3) })),
            encode(&Message::Sync(Sync { t1_us: u64::MAX, t2_us: Some(2), t3_us: None })),
        ];
        for frame in &own {
            assert!(is_control(frame) && read(frame, later, now).is_some(), "{frame:?}");
        }
        let ack =
            |address, revision| Ack { address, revision, locked: None, holder: None, correlation_id: None };
        let foreign = [
            Bytes::new(),
            Bytes::from_static(b"S\x21"),
            Bytes::from_static(b"just bytes"),
            encode(&Message::Ack(ack(Some("/t/f"), Some(1)))),
            encode(&Message::Ack(ack(Some(NEXT), None))),
            encode(&Message::Ack(ack(None, Some(7)))),
            Bytes::from(arrived(1).iter().copied().take(20).collect::<Vec<_>>()),
        ];
        for frame in &foreign {
            assert!(!is_control(frame) && read(frame, later, now).is_none(), "{frame:?}");
            assert_eq!(check(frame, true), Ok(()));
        }
        // Every frame of up to 33 bytes of this kind: never one without the other.
        for kind in [0x40, 0x41, 0x42, 0x50] {
            for len in 0..40_usize {
                let mut frame = vec![0x53, 1, 0, u8::try_from(len).unwrap(), kind];
                frame.resize(4 + len.max(1), 0);
                assert_eq!(is_control(&frame), read(&frame, later, now).is_some(), "{frame:?}");
            }
        }
    }

    #[test]
    fn numbers_come_through_and_an_application_must_not_send_them() {
        let now = start();
        assert_eq!(read(&arrived(7), now, now), Some(Control::Arrived(7)));
        assert_eq!(read(&next(8), now, now), Some(Control::Next(8)));
        assert_eq!((check(&next(8), true), check(&next(8), false)), (Err(SendError::Reserved), Ok(())));
        assert_eq!(check(&keep_alive(), true), Ok(()));
    }
}
