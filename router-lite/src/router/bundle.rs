//! BUNDLE: several SETs and PUBLISHes in one frame.
//!
//! Checked as a whole before anything is done; then first the SETs, then the PUBLISHes, each passed on as a frame of its
//! own. A bundle may set more frames loose than an outbox holds, so it is worked off in steps, between which the
//! driver writes.

use bytes::Bytes;
use clasp_wire::{Address, Message, message::Bundle};

use super::{Router, Work};
use crate::{access::is_reserved, counters::Refusal, id::SessionId, limits::WORK_STEP, slots::Slot};

/// A bundle being worked off.
#[derive(Debug)]
pub(super) struct BundleRun {
    slot: Slot,
    session: SessionId,
    frame: Bytes,
    stage: Stage,
    /// Members of this stage that are done.
    done: usize,
    revision: Option<u64>,
    wants_ack: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sets,
    Publishes,
}

impl Router {
    pub(super) fn handle_bundle(&mut self, slot: Slot, bundle: &Bundle<'_>, frame: &Bytes, wants_ack: bool) {
        let Some(connection) = self.slots.get(slot) else { return };
        let Some(session) = connection.session().map(|session| session.id) else { return };
        let allowed = connection.scope.allows_data();
        for member in bundle.messages {
            let (kind, address) = match member {
                Message::Set(set) => ("SET", set.address),
                Message::Publish(publish) => ("PUBLISH", publish.address),
                _ => continue,
            };
            if !allowed || is_reserved(address) {
                self.tally.note(self.now.instant, Refusal::Scope, &"bundle");
                let text = format!("Bundle rejected: insufficient scope for {kind} to {address}");
                return self.reply_error(slot, 403, &text, Some(address));
            }
            if let Err(error) = Address::parse(address) {
                return self.refuse_address(slot, 200, &error);
            }
        }
        let frame = frame.clone();
        let stage = Stage::Sets;
        let run = BundleRun { slot, session, frame, stage, done: 0, revision: None, wants_ack };
        self.work.push_back(Work::Bundle(run));
    }

    /// Works off the next members. What a single SET is refused for, the sender is told; the others go on.
    pub(super) fn step_bundle(&mut self, mut run: BundleRun) {
        let current = self.slots.get(run.slot).and_then(|connection| connection.session());
        if current.is_none_or(|session| session.id != run.session) {
            return;
        }
        let frame = run.frame.clone();
        let mut scratch = std::mem::take(&mut self.decode_scratch);
        let before = run.done;
        // It was decoded when it came, so it will be again.
        if let Ok((_, Message::Bundle(bundle))) = Message::decode(&frame, &mut scratch) {
            match run.stage {
                Stage::Sets => self.step_sets(&mut run, &bundle),
                Stage::Publishes => self.step_publishes(&mut run, &bundle),
            }
        }
        scratch.clear();
        self.decode_scratch = scratch;
        let stage_is_over = run.done - before < WORK_STEP;
        match run.stage {
            Stage::Sets if stage_is_over => {
                self.work.push_front(Work::Bundle(BundleRun { stage: Stage::Publishes, done: 0, ..run }));
            }
            Stage::Publishes if stage_is_over => {
                if run.wants_ack {
                    self.reply_ack(run.slot, None, run.revision);
                }
            }
            _ => self.work.push_front(Work::Bundle(run)),
        }
    }

    fn step_sets(&mut self, run: &mut BundleRun, bundle: &Bundle<'_>) {
        let sets = bundle.messages.iter().filter_map(|member| match member {
            Message::Set(set) => Some(set),
            _ => None,
        });
        for set in sets.skip(run.done).take(WORK_STEP) {
            run.done += 1;
            run.revision = self.write(run.slot, &set).or(run.revision);
        }
    }

    fn step_publishes(&mut self, run: &mut BundleRun, bundle: &Bundle<'_>) {
        let publishes = bundle.messages.iter().filter_map(|member| match member {
            Message::Publish(publish) => Some(publish),
            _ => None,
        });
        for publish in publishes.skip(run.done).take(WORK_STEP) {
            run.done += 1;
            self.broadcast(run.slot, &publish);
        }
    }
}
