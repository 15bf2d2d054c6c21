//! BUNDLE: several SETs and PUBLISHes in one frame.
//!
//! Checked as a whole before anything is done; then first the SETs, then the PUBLISHes, each passed on as a frame of its
//! own. A bundle may set more frames loose than an outbox holds, so it is worked off in steps, between which the
//! driver writes.

use clasp_wire::{Address, EncodeError, Message, message::Bundle};

use super::{Router, Work};
use crate::{access::is_reserved, counters::Refusal, id::SessionId, limits::WORK_STEP, slots::Slot};

/// A bundle being worked off.
#[derive(Debug)]
pub(super) struct BundleRun {
    slot: Slot,
    session: SessionId,
    /// Its members in the order of their execution, as frames one after the other.
    members: Vec<u8>,
    /// Bytes of them that are done.
    done: usize,
    revision: Option<u64>,
    wants_ack: bool,
}

impl Router {
    pub(super) fn handle_bundle(&mut self, slot: Slot, bundle: &Bundle<'_>, wants_ack: bool) {
        let Some(connection) = self.slots.get(slot) else { return };
        let Some(session) = connection.session().map(|session| session.id) else { return };
        for member in bundle.messages {
            let (kind, address) = match member {
                Message::Set(set) => ("SET", set.address),
                Message::Publish(publish) => ("PUBLISH", publish.address),
                _ => continue,
            };
            if !connection.scope.writes(address) || is_reserved(address) {
                self.tally.note(self.now.instant, Refusal::Scope, &"bundle");
                let text = format!("Bundle rejected: insufficient scope for {kind} to {address}");
                return self.reply_error(slot, 403, &text, Some(address));
            }
            if let Err(error) = Address::parse(address) {
                return self.refuse_address(slot, 200, &error);
            }
        }
        match in_order(bundle) {
            Ok(members) => {
                let run = BundleRun { slot, session, members, done: 0, revision: None, wants_ack };
                self.work.push_back(Work::Bundle(run));
            }
            Err(error) => self.refuse_too_large(slot, &error, None),
        }
    }

    /// Works off the next members. What a single SET is refused for, the sender is told; the others go on.
    pub(super) fn step_bundle(&mut self, mut run: BundleRun) {
        for _ in 0..WORK_STEP {
            // It may have been closed for being slow to read its own echoes.
            if self.session_id(run.slot) != Some(run.session) {
                return;
            }
            let rest = run.members.get(run.done..).unwrap_or_default();
            let Ok((header, member)) = Message::decode_compact(rest) else {
                if run.wants_ack {
                    self.reply_ack(run.slot, None, run.revision);
                }
                return;
            };
            match member {
                Message::Set(set) => run.revision = self.write(run.slot, &set).or(run.revision),
                Message::Publish(publish) => self.broadcast(run.slot, &publish),
                _ => {}
            }
            run.done += header.encoded_len() + usize::from(header.payload_len);
        }
        self.work.push_front(Work::Bundle(run));
    }
}

/// The SETs of a bundle, then its PUBLISHes; whatever else is in it is skipped.
fn in_order(bundle: &Bundle<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut members = Vec::new();
    for member in bundle.messages.iter().filter(|member| matches!(member, Message::Set(_))) {
        member.encode_into(&mut members)?;
    }
    for member in bundle.messages.iter().filter(|member| matches!(member, Message::Publish(_))) {
        member.encode_into(&mut members)?;
    }
    Ok(members)
}
