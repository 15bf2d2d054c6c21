//! Signals announced with ANNOUNCE, for QUERY.
//!
//! Owns: the registry and its bounds. The stock router keeps announced signals after their announcer is gone, and so do
//! we, until their room is needed.

use std::collections::BTreeMap;

use bytes::Bytes;
use clasp_wire::{
    Message, Seq,
    limits::MAX_PAYLOAD_BYTES,
    message::{Signal, SignalType},
};

use crate::{
    id::SessionId,
    limits::{MAX_SIGNAL_BYTES, MAX_SIGNALS, SIGNAL_OVERHEAD_BYTES},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    all: BTreeMap<Box<str>, Announced>,
    bytes: usize,
}

#[derive(Debug)]
struct Announced {
    signal: SignalType,
    datatype: Option<Box<str>>,
    access: Option<Box<str>>,
    /// Who announced it last; none when that session has ended.
    by: Option<SessionId>,
}

/// There is no room for the signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SignalsFull;

impl Signals {
    /// Registers `signal`, replacing an older one at its address.
    pub(crate) fn announce(&mut self, by: SessionId, signal: &Signal<'_>) -> Result<(), SignalsFull> {
        let new = Announced {
            signal: signal.signal,
            datatype: signal.datatype.map(Into::into),
            access: signal.access.map(Into::into),
            by: Some(by),
        };
        let cost = new.cost(signal.address);
        if cost > MAX_SIGNAL_BYTES {
            return Err(SignalsFull);
        }
        loop {
            let old = self.all.get(signal.address).map(|old| old.cost(signal.address));
            let (count, bytes) = (self.all.len() - usize::from(old.is_some()), self.bytes - old.unwrap_or(0));
            if count < MAX_SIGNALS && bytes + cost <= MAX_SIGNAL_BYTES {
                break;
            }
            let orphan = self.all.iter().find(|(_, announced)| announced.by.is_none());
            let Some(address) = orphan.map(|(address, _)| address.clone()) else { return Err(SignalsFull) };
            self.remove(&address);
        }
        self.remove(signal.address);
        self.bytes += cost;
        self.all.insert(signal.address.into(), new);
        Ok(())
    }

    /// The session has ended: its signals may make room.
    pub(crate) fn orphan(&mut self, by: SessionId) {
        for announced in self.all.values_mut().filter(|announced| announced.by == Some(by)) {
            announced.by = None;
        }
    }

    /// The signals `wanted`, in as many RESULT frames as it takes; one empty RESULT if there are none.
    pub(crate) fn results(&self, wanted: impl Fn(&str) -> bool) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let mut chosen: Vec<Signal<'_>> = Vec::new();
        let mut bytes = 3;
        for (address, announced) in self.all.iter().filter(|(address, _)| wanted(address)) {
            let len = announced.entry_len(address);
            if bytes + len > MAX_PAYLOAD_BYTES {
                frames.push(encode(&chosen));
                chosen.clear();
                bytes = 3;
            }
            bytes += len;
            chosen.push(Signal {
                address,
                signal: announced.signal,
                datatype: announced.datatype.as_deref(),
                access: announced.access.as_deref(),
                meta: None,
            });
        }
        if !chosen.is_empty() || frames.is_empty() {
            frames.push(encode(&chosen));
        }
        frames
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Signals of sessions that are still there, for consistency checks.
    pub(crate) fn owners(&self) -> impl Iterator<Item = SessionId> {
        self.all.values().filter_map(|announced| announced.by)
    }

    fn remove(&mut self, address: &str) {
        if let Some(old) = self.all.remove(address) {
            self.bytes -= old.cost(address);
        }
    }
}

impl Announced {
    fn cost(&self, address: &str) -> usize {
        self.entry_len(address) + SIGNAL_OVERHEAD_BYTES
    }

    /// Bytes in a RESULT.
    fn entry_len(&self, address: &str) -> usize {
        let text = |field: &Option<Box<str>>| field.as_ref().map_or(0, |text| 2 + text.len());
        2 + address.len() + 2 + text(&self.datatype) + text(&self.access)
    }
}

fn encode(signals: &[Signal<'_>]) -> Bytes {
    let mut frame = Vec::new();
    Message::Result { signals: Seq::items(signals) }.encode_into(&mut frame).expect(
        "a signal takes less room in a RESULT than in the ANNOUNCE it came in, and they were counted",
    );
    frame.into()
}

#[cfg(test)]
mod tests;
