use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn ids<const N: usize>() -> [SessionId; N] {
    let mut rng = StdRng::from_seed([2; 32]);
    std::array::from_fn(|_| SessionId::random(&mut rng))
}

fn signal(address: &str) -> Signal<'_> {
    Signal { address, signal: SignalType::Stream, datatype: Some("f32"), access: None, meta: None }
}

fn addresses(frames: &[Bytes]) -> Vec<String> {
    let mut seen = Vec::new();
    for frame in frames {
        let Ok((_, Message::Result { signals })) = Message::decode_compact(frame) else {
            panic!("no RESULT")
        };
        seen.extend(signals.iter().map(|signal| signal.address.to_owned()));
    }
    seen
}

#[test]
fn an_empty_answer_is_still_an_answer() {
    let frames = Signals::default().results(|_| true);
    assert_eq!((frames.len(), addresses(&frames).len()), (1, 0));
}

#[test]
fn announcing_again_replaces() {
    let [me] = ids();
    let mut signals = Signals::default();
    for _ in 0..3 {
        signals.announce(me, &signal("/a")).unwrap();
    }
    assert_eq!(signals.len(), 1);
    assert_eq!(addresses(&signals.results(|_| true)), ["/a"]);
}

#[test]
fn the_1025th_signal_is_refused_until_somebody_has_left() {
    let [gone, here] = ids();
    let mut signals = Signals::default();
    for n in 0..MAX_SIGNALS {
        signals.announce(if n == 500 { gone } else { here }, &signal(&format!("/s/{n}"))).unwrap();
    }
    assert_eq!(signals.announce(here, &signal("/new")), Err(SignalsFull));
    signals.orphan(gone);
    assert_eq!(signals.len(), MAX_SIGNALS, "signals outlive their session");
    assert_eq!(signals.announce(here, &signal("/new")), Ok(()));
    assert!(!addresses(&signals.results(|_| true)).contains(&"/s/500".to_owned()));
}

#[test]
fn signals_are_bounded_in_bytes() {
    let [me] = ids();
    let mut signals = Signals::default();
    let long = format!("/{}", "x".repeat(10_000));
    let accepted =
        (0..100).take_while(|n| signals.announce(me, &signal(&format!("{long}{n}"))).is_ok()).count();
    assert_eq!(accepted, MAX_SIGNAL_BYTES / 10_080);
    assert!(signals.bytes() <= MAX_SIGNAL_BYTES);
    let before = signals.bytes();
    signals.announce(me, &signal(&format!("{long}0"))).unwrap();
    assert_eq!(signals.bytes(), before);
}

#[test]
fn an_answer_larger_than_a_frame_is_split() {
    let [me] = ids();
    let mut signals = Signals::default();
    let mut wanted = Vec::new();
    for n in 0..12 {
        let address = format!("/{n:02}{}", "x".repeat(9_990));
        signals.announce(me, &signal(&address)).unwrap();
        wanted.push(address);
    }
    let frames = signals.results(|_| true);
    assert_eq!(frames.len(), 2);
    assert_eq!(addresses(&frames), wanted);
}
