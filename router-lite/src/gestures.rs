//! Thins out the moves of gestures: of those that come within one interval only the newest is passed on.
//!
//! Owns: the gestures of one session that have begun and not ended, and the move each one holds back. Does not own:
//! who hears of them. Being kept per session, two people on one address and id cannot overwrite each other.

use std::time::Instant;

use bytes::Bytes;
use clasp_wire::message::Phase;

use crate::limits::{GESTURE_INTERVAL, MAX_GESTURES};

/// A move whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) address: Box<str>,
    pub(crate) frame: Bytes,
}

/// What to do with a gesture message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pass it on, after the older moves that were held back for it (at most one of the same gesture, one of a gesture
    /// that had to be forgotten).
    Pass(Vec<Held>),
    /// It is held back, until the given moment.
    Hold(Instant),
}

#[derive(Debug)]
struct Gesture {
    address: Box<str>,
    id: u32,
    /// The newest move, not passed on yet.
    held: Option<Bytes>,
    /// When it will be.
    due: Instant,
    last: Instant,
}

/// See the module. Boxed when the first gesture begins.
#[derive(Debug, Default)]
pub(crate) struct Gestures {
    active: Option<Box<heapless::Vec<Gesture, MAX_GESTURES>>>,
}

impl Gestures {
    /// A message of the gesture `id` at `address`. `forgotten` is counted up when another one had to make room.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        address: &str,
        id: u32,
        phase: Phase,
        frame: &Bytes,
        forgotten: &mut u64,
    ) -> Step {
        let position = self.position(address, id);
        let active = self.active.get_or_insert_default();
        let known = position.and_then(|at| active.get_mut(at));
        match (phase, known) {
            (Phase::Move, Some(gesture)) => {
                if gesture.held.replace(frame.clone()).is_none() {
                    gesture.due = now + GESTURE_INTERVAL;
                }
                gesture.last = now;
                Step::Hold(gesture.due)
            }
            (Phase::Start, Some(gesture)) => {
                gesture.last = now;
                Step::Pass(gesture.held.take().map(|frame| held(address, frame)).into_iter().collect())
            }
            (Phase::Start, None) => {
                let mut before = Vec::new();
                if active.is_full() {
                    *forgotten += 1;
                    let rested =
                        active.iter().enumerate().min_by_key(|(_, g)| g.last).map_or(0, |(at, _)| at);
                    let gesture = active.swap_remove(rested);
                    before.extend(gesture.held.map(|frame| Held { address: gesture.address, frame }));
                }
                let gesture = Gesture { address: address.into(), id, held: None, due: now, last: now };
                active.push(gesture).expect("room was made above");
                Step::Pass(before)
            }
            (Phase::End | Phase::Cancel, Some(gesture)) => {
                let before = gesture.held.take().map(|frame| held(address, frame)).into_iter().collect();
                if let Some(at) = position {
                    active.swap_remove(at);
                }
                self.tidy();
                Step::Pass(before)
            }
            // A move or an end without a beginning that we know of.
            (_, None) => {
                self.tidy();
                Step::Pass(Vec::new())
            }
        }
    }

    /// Takes out the moves that are due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Held> {
        self.take_where(|gesture| gesture.due <= now)
    }

    /// Takes out every move held back: the session ends.
    pub(crate) fn take_all(&mut self) -> Vec<Held> {
        let all = self.take_where(|_| true);
        self.active = None;
        all
    }

    /// When the next move is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.active.as_ref()?.iter().filter(|gesture| gesture.held.is_some()).map(|gesture| gesture.due).min()
    }

    fn take_where(&mut self, wanted: impl Fn(&Gesture) -> bool) -> Vec<Held> {
        let active = self.active.iter_mut().flat_map(|active| active.iter_mut());
        let due = active.filter(|gesture| wanted(gesture));
        due.filter_map(|gesture| gesture.held.take().map(|frame| held(&gesture.address, frame))).collect()
    }

    fn position(&self, address: &str, id: u32) -> Option<usize> {
        self.active.as_ref()?.iter().position(|gesture| gesture.id == id && &*gesture.address == address)
    }

    fn tidy(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.is_empty()) {
            self.active = None;
        }
    }
}

fn held(address: &str, frame: Bytes) -> Held {
    Held { address: address.into(), frame }
}

#[cfg(test)]
mod tests;
