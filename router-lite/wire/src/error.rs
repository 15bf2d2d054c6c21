//! Errors: what was wrong and where, small enough to return by value from every read.

use alloc::boxed::Box;

use thiserror::Error;

/// Why bytes are not a frame, a message or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("offset {offset}: {kind}")]
pub struct DecodeError {
    /// Where, in bytes from the start of the frame (or of the payload, where only a payload was given).
    pub offset: usize,
    /// What.
    pub kind: DecodeErrorKind,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The first byte of a frame is not 53.
    #[error("not a CLASP frame: first byte is {0:02x}, not 53")]
    Magic(u8),
    /// Fewer bytes are left than the field needs.
    #[error("{what} of {needed} bytes, {left} left")]
    Short {
        /// The field.
        what: &'static str,
        /// Bytes it needs; 65535 also stands for more.
        needed: u16,
        /// Bytes there are; 65535 also stands for more.
        left: u16,
    },
    /// A count that cannot be true: even the smallest items would not fit.
    #[error("list of {count} items, {left} bytes left")]
    Count {
        /// Items the list claims to have.
        count: u32,
        /// Bytes there are.
        left: u32,
    },
    /// A frame without a message.
    #[error("empty payload")]
    EmptyPayload,
    /// No message has this type code.
    #[error("unknown message type {0:02x}")]
    UnknownType(u8),
    /// No value has this tag.
    #[error("unknown value tag {0:02x}")]
    UnknownTag(u8),
    /// No federation operation has this number.
    #[error("unknown federation operation {0:02x}")]
    UnknownFederationOp(u8),
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// Arrays, maps and bundles nest deeper than [`crate::limits::MAX_DEPTH`].
    #[error("nested deeper than {} levels", crate::limits::MAX_DEPTH)]
    TooDeep,
    /// A MessagePack frame where only the compact form is read.
    #[error("MessagePack frame where only the compact form is accepted")]
    MessagePack,
    /// MessagePack: a field that its message cannot do without.
    #[error("MessagePack field `{0}` is missing")]
    MissingField(&'static str),
    /// MessagePack: a field of the wrong type, or a number that does not fit.
    #[error("MessagePack field `{0}` has the wrong type or is out of range")]
    WrongType(&'static str),
    /// MessagePack: a field that names none of the known names (message type, signal, phase, operation).
    #[error("MessagePack field `{0}` has an unknown name")]
    UnknownName(&'static str),
    /// MessagePack: the message does not fit a frame once rewritten into the compact form.
    #[error(
        "MessagePack message needs more than {} bytes in the compact form",
        crate::limits::MAX_PAYLOAD_BYTES
    )]
    TooLarge,
}

impl DecodeError {
    /// Kept out of line: it is the rare way out of every read.
    #[cold]
    #[inline(never)]
    pub(crate) const fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, kind }
    }
}

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message is larger than a frame can carry.
    #[error("payload of at least {len} bytes, a frame carries {}", crate::limits::MAX_PAYLOAD_BYTES)]
    PayloadTooLarge {
        /// The payload's length as far as it was counted.
        len: usize,
    },
    /// A string or byte string above 65 535 bytes.
    #[error("string of {len} bytes, 65535 allowed")]
    StringTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A list above 65 535 items.
    #[error("list of {len} items, 65535 allowed")]
    ListTooLong {
        /// How many items it has.
        len: usize,
    },
    /// Arrays, maps and bundles nest deeper than [`crate::limits::MAX_DEPTH`].
    #[error("nested deeper than {} levels", crate::limits::MAX_DEPTH)]
    TooDeep,
    /// The caller's buffer is too small for the frame.
    #[error("frame of {needed} bytes, buffer of {available}")]
    BufferTooSmall {
        /// Bytes the frame needs.
        needed: usize,
        /// Bytes the buffer has.
        available: usize,
    },
    /// A P2P signal whose value is not a map.
    #[error("a P2P signal's value must be a map")]
    NotAMap,
}

/// Why text is not an address or a pattern. The texts are those of the stock router.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid address: {kind}{}{address}", if address.is_empty() { "" } else { ": " })]
pub struct AddressError {
    /// What is wrong.
    pub kind: AddressErrorKind,
    /// The text, cut at [`crate::limits::MAX_ADDRESS_BYTES`].
    pub address: Box<str>,
}

/// What is wrong with an address or a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressErrorKind {
    /// Nothing there.
    #[error("empty address")]
    Empty,
    /// It does not start with a slash.
    #[error("address must start with '/'")]
    NotAbsolute,
    /// Two slashes in a row. Only the last segment may be empty.
    #[error("empty segment in address")]
    EmptySegment,
    /// A `*` in an address that must name exactly one place.
    #[error("wildcard in address")]
    Wildcard,
    /// Longer than [`crate::limits::MAX_ADDRESS_BYTES`].
    #[error("address longer than {} bytes", crate::limits::MAX_ADDRESS_BYTES)]
    TooLong,
    /// More segments than [`crate::limits::MAX_SEGMENTS`].
    #[error("more than {} segments in address", crate::limits::MAX_SEGMENTS)]
    TooManySegments,
}

impl AddressError {
    #[cold]
    pub(crate) fn new(kind: AddressErrorKind, address: &str) -> Self {
        let mut end = address.len().min(crate::limits::MAX_ADDRESS_BYTES);
        while !address.is_char_boundary(end) {
            end -= 1;
        }
        Self { kind, address: address.get(..end).unwrap_or_default().into() }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn errors_are_small_enough_to_return_by_value() {
        assert!(size_of::<DecodeError>() <= 32);
        assert!(size_of::<EncodeError>() <= 24);
        assert!(size_of::<AddressError>() <= 24);
    }

    #[test]
    fn a_decode_error_says_where_and_what() {
        let kind = DecodeErrorKind::Short { what: "string", needed: 65535, left: 2 };
        let error = DecodeError { offset: 17, kind };
        assert_eq!(error.to_string(), "offset 17: string of 65535 bytes, 2 left");
    }

    #[test]
    fn an_overlong_address_is_quoted_cut_at_a_character() {
        // The limit falls into the middle of a two-byte character.
        let text = std::format!("/{}", "\u{e9}".repeat(crate::limits::MAX_ADDRESS_BYTES));
        let error = AddressError::new(AddressErrorKind::TooLong, &text);
        assert_eq!(error.address.len(), crate::limits::MAX_ADDRESS_BYTES - 1);
        assert!(text.starts_with(&*error.address));
    }
}
