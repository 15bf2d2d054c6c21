//! MessagePack frames of legacy senders, rewritten into the compact form (reference §5).
//!
//! Owns: which MessagePack is understood. Does not own: the compact form, which [`crate::message`] then reads as usual,
//! so that both kinds of frame share one set of types and one set of checks.
//!
//! # Contract
//! Recursion is bounded by [`crate::limits::MAX_DEPTH`], and output by twice [`crate::limits::MAX_PAYLOAD_BYTES`], after
//! which the message is refused. Unknown keys are skipped without recursion.

mod cursor;
mod fields;
mod lists;
mod message;
mod value;

use alloc::vec::Vec;

use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError},
    limits::MAX_PAYLOAD_BYTES,
    msgpack::cursor::Cursor,
    writer::Writer,
};

type Out<'w> = Writer<'w, Vec<u8>>;

/// Whether a payload starting with this byte is a MessagePack map (reference §4.1).
pub(crate) const fn is_map(byte: u8) -> bool {
    matches!(byte, 0x80..=0x8F | 0xDE | 0xDF)
}

/// Appends the compact payload that says the same. `offset` is where `payload` starts in its frame.
pub(crate) fn rewrite(payload: &[u8], offset: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(payload, offset);
    let mut writer = Writer::new(out);
    message::rewrite(&mut cursor, &mut writer)?;
    if writer.len() > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::new(offset, DecodeErrorKind::TooLarge));
    }
    Ok(())
}

/// Attaches the place in the frame to what the writer refused.
fn refused(cursor: &Cursor<'_>) -> impl FnOnce(EncodeError) -> DecodeError {
    let offset = cursor.offset();
    move |error| {
        let kind = match error {
            EncodeError::TooDeep => DecodeErrorKind::TooDeep,
            _ => DecodeErrorKind::TooLarge,
        };
        DecodeError::new(offset, kind)
    }
}
