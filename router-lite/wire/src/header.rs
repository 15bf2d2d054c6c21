//! The frame header: magic, flags, payload length, optional timestamp (reference §2).

use alloc::vec::Vec;

use crate::{
    error::{DecodeError, DecodeErrorKind},
    reader::Reader,
};

const MAGIC: u8 = 0x53;
const TIMESTAMP: u8 = 0x20;
/// Version bits of what we write: the compact form.
const COMPACT: u8 = 0x01;

/// Quality of service. Routers treat all the same; clients read it as "I can handle an ACK".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QoS {
    /// Best effort. Also what the reserved bits 11 read as.
    #[default]
    Fire = 0,
    /// At least once.
    Confirm = 1,
    /// Exactly once.
    Commit = 2,
}

/// What a frame says before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Quality of service.
    pub qos: QoS,
    /// The sender's clock in microseconds. No stock client sends one.
    pub timestamp_us: Option<u64>,
    /// Bytes of payload.
    pub payload_len: u16,
}

impl Header {
    /// Splits a frame into header and payload. Bytes after the payload are ignored, as are the flags for encryption,
    /// compression and version: the payload's first byte alone tells its form (reference §4.1).
    #[inline(always)]
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(frame, 0);
        let Ok(first) = reader.u32("header") else {
            return Err(short_header(frame, &reader));
        };
        let [magic, flags, high, low] = first.to_be_bytes();
        if magic != MAGIC {
            return Err(DecodeError::new(0, DecodeErrorKind::Magic(magic)));
        }
        let payload_len = u16::from_be_bytes([high, low]);
        let timestamp_us = if flags & TIMESTAMP != 0 { Some(reader.u64("timestamp")?) } else { None };
        let payload = reader.take(usize::from(payload_len), "payload")?;
        let qos = match flags >> 6 {
            1 => QoS::Confirm,
            2 => QoS::Commit,
            _ => QoS::Fire,
        };
        Ok((Self { qos, timestamp_us, payload_len }, payload))
    }

    /// Appends the header.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first_bytes());
        if let Some(timestamp_us) = self.timestamp_us {
            out.extend_from_slice(&timestamp_us.to_be_bytes());
        }
    }

    /// Everything but the timestamp.
    pub(crate) fn first_bytes(&self) -> [u8; 4] {
        let [high, low] = self.payload_len.to_be_bytes();
        let timestamp = if self.timestamp_us.is_some() { TIMESTAMP } else { 0 };
        [MAGIC, (self.qos as u8) << 6 | timestamp | COMPACT, high, low]
    }

    /// Bytes the header takes: 4, or 12 with a timestamp.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        if self.timestamp_us.is_some() { 12 } else { 4 }
    }
}

/// A first byte that is wrong says more than "too short": the sender may not speak CLASP at all.
#[cold]
fn short_header(frame: &[u8], reader: &Reader<'_>) -> DecodeError {
    match frame.first() {
        Some(&byte) if byte != MAGIC => DecodeError::new(0, DecodeErrorKind::Magic(byte)),
        _ => reader.short("header", 4),
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        for qos in [QoS::Fire, QoS::Confirm, QoS::Commit] {
            for timestamp_us in [None, Some(0x0102_0304_0506_0708)] {
                let header = Header { qos, timestamp_us, payload_len: 1 };
                let mut out = vec![];
                header.encode_into(&mut out);
                assert_eq!(out.len(), header.encoded_len());
                out.push(0x41);
                assert_eq!(Header::decode(&out), Ok((header, &[0x41][..])));
            }
        }
    }

    #[test]
    fn reserved_qos_reads_as_fire() {
        assert_eq!(Header::decode(&[0x53, 0xC1, 0, 0]).map(|(h, _)| h.qos), Ok(QoS::Fire));
    }
}
