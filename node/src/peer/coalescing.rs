//! Small messages that wait together travel together, in one BUNDLE frame (reference §4.3).
//!
//! The SCTP below spends much the same on a message of 64 bytes as on one of 1,000. Only between our nodes: a stock application
//! would get the bundle instead of its messages. Nothing waits for company; what is alone goes alone. Each message comes out byte
//! for byte as it went in.

use bytes::{Bytes, BytesMut};

/// Frame header: magic, flags, length of the payload (reference §2).
pub(super) const HEADER_BYTES: usize = 4;
pub(super) const MAGIC: u8 = 0x53;

/// The flag that tells our bundles from an application's. No implementation compresses, and all ignore it.
pub(super) const MARK: u8 = 0x08;

/// Flags of frames that are left as they are: those with a time stamp have another header.
const TIMESTAMP: u8 = 0x20;

/// Type, flags, number of messages.
const BUNDLE_BYTES: usize = 4;
pub(super) const BUNDLE: u8 = 0x30;

/// What fits one packet of the SCTP below: of the 1,150 bytes str0m aims at, what DTLS and SCTP leave.
pub(super) const PACKET_BYTES: usize = 1062;

/// Larger ones gain nothing.
const LARGEST: usize = 1024;

/// Messages in one bundle, whatever their size.
pub(super) const MAX_BUNDLED: usize = 256;

/// The flags of a frame that may travel in a bundle.
fn flags(frame: &[u8]) -> Option<u8> {
    match frame {
        [MAGIC, flags, high, low, _, ..] if flags & (MARK | TIMESTAMP) == 0 && frame.len() <= LARGEST => {
            let payload = usize::from(u16::from_be_bytes([*high, *low]));
            (payload == frame.len() - HEADER_BYTES).then_some(*flags)
        }
        _ => None,
    }
}

/// Whether a frame looks like one of our bundles.
pub(super) fn is_bundle(frame: &[u8]) -> bool {
    matches!(frame, [MAGIC, flags, _, _, BUNDLE, ..] if flags & MARK != 0)
}

/// The first of `waiting` in one frame of at most `max` bytes, and how many they are; `None` if the first has to go alone.
pub(super) fn bundle<'a>(waiting: impl Iterator<Item = &'a Bytes>, max: usize) -> Option<(Bytes, usize)> {
    let mut waiting = waiting.peekable();
    let flags_of_all = flags(waiting.peek()?)?;
    let mut frame = Vec::new();
    let mut count = 0_u16;
    while let Some(message) = waiting.next_if(|message| flags(message) == Some(flags_of_all)) {
        if usize::from(count) >= MAX_BUNDLED {
            break;
        }
        let payload = message.get(HEADER_BYTES..).unwrap_or_default();
        if count == 0 {
            // Not before it is known that there is company.
            if waiting.peek().is_none_or(|second| flags(second) != Some(flags_of_all)) {
                return None;
            }
            frame.reserve(max);
            frame.extend([MAGIC, flags_of_all | MARK, 0, 0, BUNDLE, 0, 0, 0]);
        } else if frame.len() + 2 + payload.len() > max {
            break;
        }
        frame.extend(message.get(2..HEADER_BYTES).unwrap_or_default());
        frame.extend(payload);
        count += 1;
    }
    if count < 2 {
        return None;
    }
    let len = u16::try_from(frame.len() - HEADER_BYTES).ok()?;
    frame.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
    frame.get_mut(6..8)?.copy_from_slice(&count.to_be_bytes());
    Some((frame.into(), usize::from(count)))
}

/// The messages of a bundle; `None` if it is none that [`bundle`] makes.
pub(super) fn unbundle(frame: &[u8]) -> Option<Vec<Bytes>> {
    let [MAGIC, flags, length @ .., BUNDLE, 0, high, low] = *frame.first_chunk::<8>()? else { return None };
    let count = usize::from(u16::from_be_bytes([high, low]));
    let rest = frame.get(HEADER_BYTES + BUNDLE_BYTES..)?;
    if flags & MARK == 0
        || usize::from(u16::from_be_bytes(length)) != rest.len() + BUNDLE_BYTES
        || count > MAX_BUNDLED
    {
        return None;
    }
    let mut rest = rest;
    let mut messages = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (payload, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let mut message = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        message.extend_from_slice(&[MAGIC, flags & !MARK]);
        message.extend_from_slice(length);
        message.extend_from_slice(payload);
        messages.push(message.freeze());
        rest = behind;
    }
    rest.is_empty().then_some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, payload: &[u8]) -> Bytes {
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![MAGIC, flags, len[0], len[1]];
        frame.extend_from_slice(payload);
        frame.into()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let messages: Vec<_> = (1..40_u8).map(|n| frame(0x41, &vec![n; usize::from(n)])).collect();
        let (bundled, count) = bundle(messages.iter(), 16 * 1024).expect("they are many");
        assert_eq!(count, messages.len());
        assert!(is_bundle(&bundled));
        assert_eq!(bundled.len(), 8 + messages.iter().map(|m| m.len() - 2).sum::<usize>());
        assert_eq!(unbundle(&bundled), Some(messages));
        // Any CLASP decoder reads it as what it is.
        let other = [frame(1, &[0x41]), frame(1, &[0x42])];
        let (bundled, _) = bundle(other.iter(), 1000).expect("two");
        let decoded = clasp_wire::Message::decode_compact(&bundled).expect("a bundle").1;
        assert_eq!(decoded.kind(), "BUNDLE");
    }

    #[test]
    fn only_frames_that_come_out_as_they_went_in_are_bundled() {
        let good = frame(1, &[0x41]);
        let mut trailing = good.to_vec();
        trailing.push(0);
        let alone = [
            Bytes::new(),
            Bytes::from_static(b"just bytes"),
            frame(1, &[]),
            frame(0x21, &[0; 9]),
            frame(0x09, &[0x30]),
            Bytes::from(trailing),
            frame(1, &[0; LARGEST]),
        ];
        for first in &alone {
            assert_eq!(bundle([first, &good].into_iter(), 16 * 1024), None, "{first:?}");
            assert_eq!(bundle([&good, first].into_iter(), 16 * 1024), None, "{first:?}");
            let (_, count) = bundle([&good, &good, first].into_iter(), 16 * 1024).expect("two");
            assert_eq!(count, 2);
        }
        assert_eq!(bundle([&good, &frame(0x41, &[0x41])].into_iter(), 1000), None, "other flags");
        assert_eq!(bundle([&good].into_iter(), 1000), None, "no company");
    }

    #[test]
    fn a_bundle_is_bounded_in_bytes_and_in_messages() {
        let small = frame(1, &[0x41]);
        let (_, count) = bundle(std::iter::repeat_n(&small, 1000), 16 * 1024).expect("many");
        assert_eq!(count, MAX_BUNDLED);
        let large = frame(1, &[7; 500]);
        let (bundled, count) = bundle(std::iter::repeat_n(&large, 1000), 1100).expect("two");
        assert!(bundled.len() <= 1100 && count == 2, "{count}: {}", bundled.len());
    }

    #[test]
    fn what_is_no_bundle_of_ours_is_refused() {
        let messages = [frame(1, &[1; 5]), frame(1, &[2; 6])];
        let (good, _) = bundle(messages.iter(), 1000).expect("two");
        for len in 0..good.len() {
            assert_eq!(unbundle(&good[..len]), None, "cut off at {len}");
        }
        for (at, byte) in [(0, 0), (1, 1), (3, 200), (4, 0x31), (5, 0x80), (7, 3), (7, 1), (9, 9)] {
            let mut bad = good.to_vec();
            bad[at] = byte;
            assert_eq!(unbundle(&bad), None, "byte {at} is {byte}");
        }
        let mut trailing = good.to_vec();
        trailing.push(0);
        assert_eq!(unbundle(&trailing), None);
    }
}
