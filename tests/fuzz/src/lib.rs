//! What several targets check.

use clasp_wire::{EncodeError, Header, Message};

/// A frame around a payload.
pub fn frame(payload: &[u8]) -> Option<Vec<u8>> {
    let payload_len = u16::try_from(payload.len()).ok()?;
    let mut frame = Vec::with_capacity(payload.len() + 4);
    Header { payload_len, ..Header::default() }.encode_into(&mut frame);
    frame.extend_from_slice(payload);
    Some(frame)
}

/// The payload a message is written as, unless that is too large.
pub fn payload(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut out = vec![0xEE];
    match message.encode_into(&mut out) {
        Ok(()) => {
            assert_eq!(message.encoded_len(), out.len() - 5);
            Some(out.split_off(5))
        }
        Err(error) => {
            assert!(matches!(error, EncodeError::PayloadTooLarge { .. }), "{error}");
            assert_eq!(out, [0xEE]);
            None
        }
    }
}

/// Whatever was accepted reads the same after it was written, and is written the same again.
pub fn reads_the_same_again(message: &Message<'_>) {
    let Some(once) = payload(message) else { return };
    let again = Message::decode_payload(&once).expect("what we write, we read");
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(payload(&again), Some(once));
}
