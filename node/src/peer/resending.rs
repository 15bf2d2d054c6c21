//! How messages overtake a held-up reliable channel: three frames on the unreliable one, between our nodes only.
//!
//! They are bundles of ours (`coalescing`) by their header, so an application cannot send them; the flags of the payload tell them
//! from those. `link/overtaking.rs` says when they are sent.

use std::iter::Peekable;

use bytes::{Buf, BufMut, Bytes};

use super::coalescing::{BUNDLE, HEADER_BYTES, MAGIC, MARK, PACKET_BYTES};

/// The payload's flags: numbered messages, from a first number on;
const RESENT: u8 = 1;
/// how far the other node is, which answers
const QUESTION: u8 = 2;
/// how far it is.
const PROGRESS: u8 = 3;

/// What such a frame says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resending {
    /// Numbered messages again.
    Resent {
        /// The number of the first.
        first: u64,
        /// In their order.
        messages: Vec<Bytes>,
    },
    /// How far are you? The answer has this number as well.
    Question(u64),
    /// How far the other node is.
    Progress(Progress),
}

/// How far a node is with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The number of the question.
    pub question: u64,
    /// All messages up to this number have arrived, on any way.
    pub arrived: u64,
    /// All up to this one came on the reliable channel itself.
    pub read: u64,
}

fn frame(flags: u8, count: u16, payload: &[u8]) -> Option<Bytes> {
    let length = u16::try_from(4 + payload.len()).ok()?;
    let mut frame = Vec::with_capacity(HEADER_BYTES + 4 + payload.len());
    frame.extend([MAGIC, MARK]);
    frame.put_u16(length);
    frame.extend([BUNDLE, flags]);
    frame.put_u16(count);
    frame.extend(payload);
    Some(frame.into())
}

/// What a frame of numbered messages has in front of them.
const BEFORE_BYTES: usize = HEADER_BYTES + 4 + 8;

/// Whether there is room for a message behind others, which are as long as this.
fn has_room(others: usize, message: &Bytes) -> bool {
    BEFORE_BYTES + others + 2 + message.len() <= PACKET_BYTES
}

/// Whether a message may be sent past the reliable channel at all.
pub(super) fn fits(message: &Bytes) -> bool {
    has_room(0, message)
}

/// The first of `messages`, which are numbered from `first` on, in one frame: as many as go into a packet. Takes them, and says how many
/// they are. `None` if the first is too large. `fill`: nothing else shall go into that packet.
pub(super) fn resent<'a>(
    first: u64,
    messages: &mut Peekable<impl Iterator<Item = &'a Bytes>>,
    fill: bool,
) -> Option<(Bytes, u16)> {
    let number = first.to_be_bytes();
    let mut payload = number.to_vec();
    let mut count = 0_u16;
    while let Some(message) = messages.next_if(|message| has_room(payload.len() - number.len(), message)) {
        payload.put_u16(u16::try_from(message.len()).ok()?);
        payload.extend(message);
        count += 1;
    }
    if count == 0 {
        return None;
    }
    if fill {
        payload.resize(PACKET_BYTES - HEADER_BYTES - 4, 0);
    }
    frame(RESENT, count, &payload).map(|frame| (frame, count))
}

/// Asks how far the other node is.
pub(super) fn question(number: u64) -> Option<Bytes> {
    frame(QUESTION, 0, &number.to_be_bytes())
}

pub(super) fn progress(progress: Progress) -> Option<Bytes> {
    let Progress { question, arrived, read } = progress;
    frame(PROGRESS, 0, &[question, arrived, read].map(u64::to_be_bytes).concat())
}

/// Reads a frame, if it is one of these.
pub(super) fn read(frame: &Bytes) -> Option<Resending> {
    let [MAGIC, MARK, _, _, BUNDLE, flags, high, low] = *frame.first_chunk()? else { return None };
    let mut rest = frame.slice(HEADER_BYTES + 4..);
    let mut number = || {
        let number = rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
        rest.advance(8);
        Some(number)
    };
    let resending = match flags {
        QUESTION => Resending::Question(number()?),
        PROGRESS => {
            let (question, arrived, read) = (number()?, number()?, number()?);
            Resending::Progress(Progress { question, arrived, read })
        }
        RESENT => {
            let first = number()?;
            let mut messages = Vec::new();
            for _ in 0..u16::from_be_bytes([high, low]) {
                let end = 2 + usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                messages.push((end <= rest.len()).then(|| rest.split_to(end).slice(2..))?);
            }
            if rest.iter().all(|filling| *filling == 0) {
                rest.clear();
            }
            Resending::Resent { first, messages }
        }
        _ => return None,
    };
    rest.is_empty().then_some(resending)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::peer::coalescing;

    fn messages() -> Vec<Bytes> {
        (0..200_u16).map(|n| vec![0x53; usize::from(n)].into()).collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_frames_of_a_packet_each() {
        let all = messages();
        let (mut waiting, mut first, mut frames) = (all.iter().peekable(), 1, 0);
        while waiting.peek().is_some() {
            let (frame, count) = resent(first, &mut waiting, false).expect("each fits a packet");
            assert!(frame.len() <= PACKET_BYTES && count > 0, "{} bytes, {count} messages", frame.len());
            let at = first as usize - 1;
            let messages = all[at..at + usize::from(count)].to_vec();
            assert_eq!(read(&frame), Some(Resending::Resent { first, messages }));
            assert!(coalescing::is_bundle(&frame) && coalescing::unbundle(&frame).is_none(), "{frame:?}");
            (first, frames) = (first + u64::from(count), frames + 1);
        }
        assert!((19..25).contains(&frames), "{frames} frames for 20 kB");
    }

    #[test]
    fn what_fits_no_packet_is_left_and_what_is_behind_it() {
        let messages = [b"x".to_vec(), vec![1; PACKET_BYTES], b"y".to_vec()].map(Bytes::from);
        let mut waiting = messages.iter().peekable();
        assert_eq!(resent(1, &mut waiting, false).map(|(_, count)| count), Some(1));
        assert_eq!(resent(2, &mut waiting, false), None);
        assert_eq!(waiting.count(), 2);
    }

    #[test]
    fn a_frame_may_be_filled_up_to_a_packet() {
        let messages = messages()[1..4].to_vec();
        let (frame, count) = resent(1, &mut messages.iter().peekable(), true).expect("three fit");
        assert_eq!((frame.len(), count), (PACKET_BYTES, 3));
        assert_eq!(read(&frame), Some(Resending::Resent { first: 1, messages }));
    }

    #[test]
    fn questions_and_answers_come_through() {
        assert_eq!(question(7).and_then(|frame| read(&frame)), Some(Resending::Question(7)));
        let how_far = Progress { question: 1, arrived: u64::MAX, read: 7 };
        assert_eq!(progress(how_far).and_then(|frame| read(&frame)), Some(Resending::Progress(how_far)));
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_none_of_them() {
        let whole = resent(7, &mut messages().iter().skip(3).take(4).peekable(), false).expect("four fit").0;
        for end in 0..whole.len() {
            assert_eq!(read(&whole.slice(..end)), None, "{end} bytes");
        }
        let longer = Bytes::from([&whole[..], b"x"].concat());
        assert_eq!(read(&longer), None);
        let question = question(1).expect("it is short");
        assert_eq!(read(&Bytes::from([&question[..], b"x"].concat())), None);
    }

    #[test]
    fn whatever_comes_is_read_or_refused_and_nothing_is_read_that_was_not_sent() {
        let mut rng = StdRng::from_seed([3; 32]);
        let whole = resent(7, &mut messages().iter().skip(3).take(9).peekable(), true).expect("nine fit").0;
        let (mut read_all, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut frame = whole.to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(HEADER_BYTES + 1..frame.len());
                frame[at] = rng.random();
            }
            frame.truncate(rng.random_range(0..2 * frame.len()));
            let frame = Bytes::from(frame);
            match read(&frame) {
                Some(Resending::Resent { messages, .. }) => {
                    read_all += 1;
                    let bytes: usize = messages.iter().map(|message| 2 + message.len()).sum();
                    assert!(BEFORE_BYTES + bytes <= frame.len(), "{frame:?}");
                }
                Some(_) => panic!("another flag, and the right length: {frame:?}"),
                None => refused += 1,
            }
        }
        assert!(read_all > 200 && refused > 200, "{read_all} read, {refused} refused");
    }
}
