//! SNAPSHOTs: as many parameters as fit one frame, by their encoded size.

use std::time::Instant;

use bytes::Bytes;
use clasp_wire::{Message, Seq, limits::MAX_PAYLOAD_BYTES, message};

use super::{Param, Params};
use crate::{
    id::{SessionId, SessionText},
    limits::SNAPSHOT_ENTRY_BYTES,
};

/// Bytes of a SNAPSHOT before its first parameter.
const HEAD_BYTES: usize = 3;

/// One SNAPSHOT frame and where the next one goes on.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) frame: Bytes,
    pub(crate) count: usize,
    /// The last address in it, if there are more.
    pub(crate) after: Option<Box<str>>,
}

impl Params {
    /// The SNAPSHOT of what is `wanted`, from after the address `after`. An empty one when there is nothing (left).
    pub(crate) fn chunk(
        &self,
        now: Instant,
        after: Option<&str>,
        wanted: impl Fn(&str) -> bool,
        scratch: &mut Vec<u8>,
    ) -> Chunk {
        let mut chosen: Vec<(&str, &Param)> = Vec::new();
        let mut bytes = HEAD_BYTES;
        let mut more = false;
        for (address, param) in self.after(after, now).filter(|(address, _)| wanted(address)) {
            bytes += param.entry_bytes + SNAPSHOT_ENTRY_BYTES;
            if bytes > MAX_PAYLOAD_BYTES {
                more = true;
                break;
            }
            chosen.push((address, param));
        }
        let after = if more { chosen.last().map(|(address, _)| (*address).into()) } else { None };
        Chunk { count: chosen.len(), frame: encode(&chosen, scratch), after }
    }
}

/// The SNAPSHOT of one parameter.
pub(crate) fn snapshot_of(address: &str, param: &Param, scratch: &mut Vec<u8>) -> Bytes {
    encode(&[(address, param)], scratch)
}

fn encode(params: &[(&str, &Param)], scratch: &mut Vec<u8>) -> Bytes {
    let writers: Vec<SessionText> = params.iter().map(|(_, param)| SessionId::text(param.writer)).collect();
    let entries: Vec<message::Param<'_>> = params
        .iter()
        .zip(&writers)
        .filter_map(|((address, param), writer)| {
            Some(message::Param {
                address,
                value: param.value()?,
                revision: param.revision,
                writer: Some(writer),
                timestamp_us: Some(param.timestamp_us),
            })
        })
        .collect();
    scratch.clear();
    Message::Snapshot { params: Seq::items(&entries) }
        .encode_into(scratch)
        .expect("parameters are refused when they do not fit a SNAPSHOT, and chosen to fit one");
    Bytes::copy_from_slice(scratch)
}
