use std::time::Duration;

use super::*;
use crate::test_support::t0;

fn frame(n: usize) -> Bytes {
    Bytes::from(n.to_string())
}

struct Hand {
    gestures: Gestures,
    now: Instant,
    forgotten: u64,
}

impl Hand {
    fn new() -> Self {
        Self { gestures: Gestures::default(), now: t0().instant, forgotten: 0 }
    }

    fn says(&mut self, address: &str, id: u32, phase: Phase, n: usize) -> Step {
        self.gestures.handle(self.now, address, id, phase, &frame(n), &mut self.forgotten)
    }

    fn due(&mut self) -> Vec<Bytes> {
        self.gestures.take_due(self.now).into_iter().map(|held| held.frame).collect()
    }
}

#[test]
fn only_the_newest_move_of_an_interval_is_passed_on() {
    let mut hand = Hand::new();
    assert_eq!(hand.says("/g", 1, Phase::Start, 0), Step::Pass(vec![]));
    let due = hand.now + GESTURE_INTERVAL;
    for n in 1..=5 {
        assert_eq!(hand.says("/g", 1, Phase::Move, n), Step::Hold(due));
        hand.now += Duration::from_millis(3);
    }
    assert_eq!(hand.due(), [] as [Bytes; 0]);
    hand.now = due;
    assert_eq!(hand.due(), [frame(5)]);
    assert_eq!(hand.gestures.next_due(), None);
}

#[test]
fn steady_moves_are_passed_on_every_interval_and_not_only_when_they_pause() {
    let mut hand = Hand::new();
    let _ = hand.says("/g", 1, Phase::Start, 0);
    let mut passed = 0;
    for n in 0..160 {
        let _ = hand.says("/g", 1, Phase::Move, n);
        hand.now += Duration::from_millis(4);
        passed += hand.due().len();
    }
    assert_eq!(passed, 160 * 4 / 16);
}

#[test]
fn the_held_move_goes_before_the_end() {
    let mut hand = Hand::new();
    let _ = hand.says("/g", 1, Phase::Start, 0);
    let _ = hand.says("/g", 1, Phase::Move, 1);
    for phase in [Phase::End, Phase::Cancel] {
        let before = match hand.says("/g", 1, phase, 2) {
            Step::Pass(before) => before.len(),
            Step::Hold(_) => panic!("an end is never held back"),
        };
        assert_eq!(before, usize::from(phase == Phase::End));
    }
    assert!(hand.gestures.active.is_none(), "nothing is kept of a gesture that ended");
}

#[test]
fn a_move_without_a_start_passes_at_once() {
    let mut hand = Hand::new();
    assert_eq!(hand.says("/g", 1, Phase::Move, 1), Step::Pass(vec![]));
    assert!(hand.gestures.active.is_none());
}

#[test]
fn gestures_are_told_apart_by_address_and_id() {
    let mut hand = Hand::new();
    for (address, id) in [("/g", 1), ("/g", 2), ("/h", 1)] {
        let _ = hand.says(address, id, Phase::Start, 0);
    }
    let _ = hand.says("/g", 1, Phase::Move, 1);
    let _ = hand.says("/g", 2, Phase::Move, 2);
    let _ = hand.says("/h", 1, Phase::Move, 3);
    hand.now += GESTURE_INTERVAL;
    assert_eq!(hand.due(), [frame(1), frame(2), frame(3)]);
}

#[test]
fn the_17th_gesture_displaces_the_one_that_rested_longest() {
    let mut hand = Hand::new();
    for id in 0..MAX_GESTURES as u32 {
        let _ = hand.says("/g", id, Phase::Start, 0);
        hand.now += Duration::from_millis(1);
    }
    let _ = hand.says("/g", 0, Phase::Move, 7);
    hand.now += Duration::from_millis(1);
    assert_eq!(hand.says("/g", 99, Phase::Start, 8), Step::Pass(vec![]));
    assert_eq!(hand.forgotten, 1);
    assert!(matches!(hand.says("/g", 0, Phase::Move, 9), Step::Hold(_)), "the busy one is kept");
    assert_eq!(
        hand.says("/g", 1, Phase::Move, 9),
        Step::Pass(vec![]),
        "the resting one is passed on unthinned"
    );
}

#[test]
fn a_displaced_gesture_keeps_its_last_move() {
    let mut hand = Hand::new();
    for id in 0..MAX_GESTURES as u32 {
        let _ = hand.says("/g", id, Phase::Start, 0);
        let _ = hand.says("/g", id, Phase::Move, id as usize);
        hand.now += Duration::from_millis(1);
    }
    match hand.says("/g", 99, Phase::Start, 1) {
        Step::Pass(before) => assert_eq!(before, [held("/g", frame(0))]),
        Step::Hold(_) => panic!("a start is never held back"),
    }
}
