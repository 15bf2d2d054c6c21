use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::exchange::{Begun, Shared};
use super::*;
use crate::clock_for_tests::start;
use crate::event::RouterId;
use card::Side;

fn party(session: &str) -> Party {
    Party { router: RouterId::FIRST, session: session.to_owned() }
}

/// A device that shows a code, devices that type one, and a router in between that does what it likes.
struct Table {
    rng: StdRng,
    now: Instant,
    initiator: Identity,
    responder: Identity,
    window: Window,
    call: Option<Call>,
    failed: Vec<(Side, PairingError)>,
    paired: Vec<(Side, Provisional)>,
    /// What passed, in order, before anything was done to it.
    wire: Vec<(Side, Letter)>,
}

impl Table {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let [initiator, responder] = [(); 2].map(|()| identity(&mut rng));
        let (window, call) = (Window::default(), None);
        let (failed, paired, wire) = (Vec::new(), Vec::new(), Vec::new());
        Self { rng, now: start(), initiator, responder, window, call, failed, paired, wire }
    }

    fn open(&mut self) -> Code {
        self.window.open(self.now, WINDOW, &mut self.rng).code
    }

    fn call(&mut self, known: &Known, wanted: Option<DeviceId>) {
        self.call = Some(Call::begin(self.now, party("responder"), known, wanted, &mut self.rng));
    }

    /// Lets both talk until neither has anything to say. What a side says goes through `router`, which returns what arrives.
    fn talk(&mut self, mut router: impl FnMut(&mut StdRng, Side, Letter) -> Vec<Letter>) {
        loop {
            let output = match self.call.as_mut().and_then(Call::poll_output) {
                Some(output) => Some((Side::Initiator, output)),
                None => self.window.poll_output().map(|output| (Side::Responder, output)),
            };
            let Some((side, output)) = output else { return };
            match output {
                PairingOutput::Send(_, letter) => {
                    self.wire.push((side, letter.clone()));
                    for letter in router(&mut self.rng, side, letter) {
                        self.deliver(side, &letter);
                    }
                }
                PairingOutput::Failed(why) => self.failed.push((side, why)),
                PairingOutput::Provisional(_, provisional) => self.paired.push((side, *provisional)),
            }
        }
    }

    fn deliver(&mut self, from: Side, letter: &Letter) {
        match from {
            Side::Initiator => {
                let me = Me { identity: &self.responder, name: "responder" };
                self.window.handle(self.now, party("initiator"), letter, me, &mut self.rng);
            }
            Side::Responder => {
                let me = Me { identity: &self.initiator, name: "initiator" };
                if let Some(call) = &mut self.call
                    && call.is_for(&party("responder"), letter)
                {
                    call.handle(letter, me);
                }
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.window.handle_timeout(self.now);
        if let Some(call) = &mut self.call {
            call.handle_timeout(self.now);
        }
        self.talk(honest);
    }

    /// Whatever came to be is what the two devices meant: each has the other's card, and both the same key.
    fn assert_no_false_pair(&self, seed: u64) {
        let mut keys = Vec::new();
        for (side, Provisional { pair, check }) in &self.paired {
            let other = if *side == Side::Initiator { &self.responder } else { &self.initiator };
            assert_eq!(pair.id(), other.id(), "seed {seed}: {side:?}");
            assert_eq!(&pair.fingerprint, other.fingerprint(), "seed {seed}: {side:?}");
            keys.push((*pair.key.as_bytes(), check.clone()));
        }
        assert!(keys.windows(2).all(|two| two[0] == two[1]), "seed {seed}");
    }

    fn sides(&self) -> Vec<Side> {
        self.paired.iter().map(|(side, _)| *side).collect()
    }
}

fn identity(rng: &mut StdRng) -> Identity {
    Identity::generate(rng).expect("an identity")
}

fn honest(_: &mut StdRng, _: Side, letter: Letter) -> Vec<Letter> {
    vec![letter]
}

#[test]
fn who_knows_the_code_is_paired_and_both_have_the_same() {
    for seed in 0..20 {
        let mut table = Table::new(seed);
        let code = table.open();
        let wanted = table.responder.id();
        table.call(&Known::Code(code), Some(wanted).filter(|_| seed % 2 == 0));
        table.talk(honest);
        assert_eq!(table.sides(), [Side::Initiator, Side::Responder], "seed {seed}: {:?}", table.failed);
        table.assert_no_false_pair(seed);
        let names: Vec<_> = table.paired.iter().map(|(_, p)| p.pair.name.as_str()).collect();
        assert_eq!(names, ["responder", "initiator"]);
        let check = &table.paired[0].1.check;
        assert!(check.len() == 6 && check.chars().all(|c| c.is_ascii_digit()), "{check}");
        assert!(!table.window.is_open(), "a code is good for one device");
        assert_eq!(table.wire.len(), 4, "two round trips");
    }
}

#[test]
fn the_picture_pairs_as_well_and_only_the_device_in_it() {
    let mut table = Table::new(1);
    let invitation = table.window.open(table.now, WINDOW, &mut table.rng);
    let (known, device) = Known::read(&invitation.qr_text(&table.responder)).unwrap();
    table.call(&known, device);
    table.talk(honest);
    assert_eq!(table.sides().len(), 2);

    let mut table = Table::new(2);
    let invitation = table.window.open(table.now, WINDOW, &mut table.rng);
    let (known, _) = Known::read(&invitation.qr_text(&table.responder)).unwrap();
    let other = table.initiator.id();
    table.call(&known, Some(other));
    table.talk(honest);
    let found = table.responder.id();
    assert_eq!(table.failed, [(Side::Initiator, PairingError::OtherDevice(found))]);
}

#[test]
fn a_wrong_code_pairs_nobody_and_the_third_one_uses_the_code_up() {
    let mut table = Table::new(3);
    let right = table.open();
    let wrong = |n: u32| {
        Known::Code(Code::numbered((right.show().replace('-', "").parse::<u32>().unwrap() + n) % 100_000_000))
    };
    for n in 1..=3 {
        assert!(table.window.is_open());
        table.call(&wrong(n), None);
        table.talk(honest);
        assert_eq!(table.failed.first(), Some(&(Side::Initiator, PairingError::Said(Fault::WrongCode))));
        let burnt = (Side::Responder, PairingError::Burnt("initiator".into()));
        assert_eq!(table.failed.contains(&burnt), n == 3, "{:?}", table.failed);
        table.failed.clear();
    }
    assert!(!table.window.is_open());
    table.call(&Known::Code(right), None);
    table.talk(honest);
    assert_eq!(table.failed, [(Side::Initiator, PairingError::Said(Fault::Closed))]);
    assert!(table.paired.is_empty());
}

#[test]
fn a_guess_is_counted_before_anything_leaves_that_it_could_be_checked_with() {
    let mut table = Table::new(4);
    table.open();
    // Somebody who hangs up as soon as `pair2` is there has had his guess.
    for n in 1..=3_u8 {
        table.call(&Known::Code(Code::numbered(n.into())), None);
        table.talk(|_, side, letter| if side == Side::Responder { Vec::new() } else { vec![letter] });
        assert!(matches!(
            table.wire.last(),
            Some((Side::Responder, Letter { body: LetterBody::Reply { .. }, .. }))
        ));
        table.wait(RUN);
    }
    assert!(!table.window.is_open());
    assert!(table.failed.contains(&(Side::Responder, PairingError::Burnt("initiator".into()))));
}

#[test]
fn one_device_at_a_time() {
    let mut table = Table::new(5);
    let code = table.open();
    table.call(&Known::Code(code.clone()), None);
    let mut others: Vec<Call> = Vec::new();
    for n in 0..50 {
        others.push(Call::begin(
            table.now,
            party(&format!("other {n}")),
            &Known::Code(code.clone()),
            None,
            &mut table.rng,
        ));
    }
    // The first one's `pair1` arrives, then everybody else's, then the rest of the first one's run.
    let me = Me { identity: &table.responder, name: "responder" };
    let mut begun = false;
    loop {
        let Some(output) = table.call.as_mut().and_then(Call::poll_output) else { break };
        let PairingOutput::Send(_, letter) = output else { break };
        table.window.handle(table.now, party("initiator"), &letter, me, &mut table.rng);
        if !std::mem::replace(&mut begun, true) {
            for (n, call) in others.iter_mut().enumerate() {
                let Some(PairingOutput::Send(_, letter)) = call.poll_output() else { panic!() };
                table.window.handle(table.now, party(&format!("other {n}")), &letter, me, &mut table.rng);
            }
        }
        while let Some(output) = table.window.poll_output() {
            match output {
                PairingOutput::Send(to, letter) if to == party("initiator") => {
                    let me = Me { identity: &table.initiator, name: "initiator" };
                    table.call.as_mut().unwrap().handle(&letter, me);
                }
                PairingOutput::Send(_, letter) => assert_eq!(letter.body, LetterBody::Fault(Fault::Busy)),
                PairingOutput::Provisional(to, provisional) => {
                    assert_eq!(to, party("initiator"));
                    table.paired.push((Side::Responder, *provisional));
                }
                PairingOutput::Failed(why) => panic!("{why}"),
            }
        }
    }
    assert_eq!(table.sides(), [Side::Responder]);
    table.assert_no_false_pair(5);
}

#[test]
fn everything_ends_in_time() {
    let mut table = Table::new(6);
    let code = table.open();
    table.call(&Known::Code(code), None);
    table.talk(|_, _, _| Vec::new());
    assert_eq!(table.call.as_ref().and_then(Call::wake).map(|wake| wake.at), Some(table.now + RUN));
    table.wait(RUN);
    assert_eq!(table.failed, [(Side::Initiator, PairingError::Silence(RUN))]);
    assert_eq!(table.window.wake().map(|wake| wake.at), Some(table.now + WINDOW - RUN));
    table.wait(WINDOW - RUN);
    assert_eq!(table.failed.last(), Some(&(Side::Responder, PairingError::WindowOver)));
    assert!(table.window.wake().is_none() && !table.window.is_open());
    let long = table.window.open(table.now, LONGEST_WINDOW * 2, &mut table.rng);
    assert_eq!(long.until, table.now + LONGEST_WINDOW);
}

#[test]
fn another_version_and_the_device_itself_are_refused() {
    let mut table = Table::new(7);
    let code = table.open();
    table.call(&Known::Code(code.clone()), None);
    table.talk(|_, _, mut letter| {
        if let LetterBody::Begin { version, .. } = &mut letter.body {
            *version = 2;
        }
        vec![letter]
    });
    assert_eq!(table.failed, [(Side::Initiator, PairingError::Said(Fault::Version))]);
    table.failed.clear();
    table.responder = table.initiator.clone();
    table.call(&Known::Code(code), None);
    table.talk(honest);
    assert_eq!(table.failed, [(Side::Responder, PairingError::Itself)]);
    assert!(table.paired.is_empty());
}

/// What a router may do to a letter without knowing the code.
fn evil(rng: &mut StdRng, letter: Letter, old: &[Letter], mallory: &Identity) -> Vec<Letter> {
    let mut changed = letter.clone();
    match rng.random_range(0..10) {
        0 => return Vec::new(),
        1 => return vec![letter.clone(), letter],
        2 => flip(rng, &mut changed),
        3 => {
            changed.body = LetterBody::Fault(Fault::WrongCode);
            return vec![changed];
        }
        4 if !old.is_empty() => {
            let at = rng.random_range(0..old.len());
            changed.body = old[at].body.clone();
            return vec![changed, letter];
        }
        5 => replace_pake(rng, &mut changed),
        6 => replace_box(&mut changed, mallory),
        7 => changed.correlation_id = format!("{:032x}", rng.random::<u128>()),
        _ => {}
    }
    vec![changed]
}

fn flip(rng: &mut StdRng, letter: &mut Letter) {
    let bit = 1 << rng.random_range(0..8);
    match &mut letter.body {
        LetterBody::Begin { nonce, pake, scanned, .. } => match rng.random_range(0..3) {
            0 => nonce[rng.random_range(0..16)] ^= bit,
            1 => pake[rng.random_range(0..33)] ^= bit,
            _ => *scanned = !*scanned,
        },
        LetterBody::Reply { nonce, pake } => match rng.random_range(0..2) {
            0 => nonce[rng.random_range(0..16)] ^= bit,
            _ => pake[rng.random_range(0..33)] ^= bit,
        },
        LetterBody::InitiatorCard(sealed) | LetterBody::ResponderCard(sealed) => {
            let at = rng.random_range(0..sealed.len());
            sealed[at] ^= bit;
        }
        LetterBody::Fault(_) => {}
    }
}

/// The man in the middle's own half, made with a guess.
fn replace_pake(rng: &mut StdRng, letter: &mut Letter) {
    let guess = Known::Code(Code::numbered(rng.random_range(0..100_000_000)));
    match &mut letter.body {
        LetterBody::Begin { pake, nonce, .. } => {
            let begun = Begun::new(Side::Initiator, &guess, rng);
            (*pake, *nonce) = (begun.pake, begun.nonce);
        }
        LetterBody::Reply { pake, nonce } => {
            let begun = Begun::new(Side::Responder, &guess, rng);
            (*pake, *nonce) = (begun.pake, begun.nonce);
        }
        _ => {}
    }
}

/// Its own card, in a box closed with a key it made up.
fn replace_box(letter: &mut Letter, mallory: &Identity) {
    let me = Me { identity: mallory, name: "mallory" };
    match &mut letter.body {
        LetterBody::InitiatorCard(sealed) => {
            *sealed = Shared::for_tests(Side::Initiator, [0; 32], vec![0; 32]).close(me);
        }
        LetterBody::ResponderCard(sealed) => {
            *sealed = Shared::for_tests(Side::Responder, [0; 32], vec![0; 32]).close(me);
        }
        _ => {}
    }
}

#[test]
fn no_router_can_make_a_false_pair() {
    let mut paired = [0_u32; 3];
    for round in 0..100_u64 {
        let mut table = Table::new(round);
        let mallory = identity(&mut table.rng);
        let mut old: Vec<Letter> = Vec::new();
        for run in 0..100 {
            if !table.window.is_open() {
                table.open();
            }
            let shown = table.window.invitation().unwrap().code.clone();
            table.call(&Known::Code(shown), None);
            let seen = std::mem::take(&mut old);
            table.talk(|rng, _, letter| evil(rng, letter, &seen, &mallory));
            table.assert_no_false_pair(round * 100 + run);
            paired[table.paired.len()] += 1;
            table.paired.clear();
            old = table.wire.drain(..).map(|(_, letter)| letter).collect();
            table.wait(RUN);
            table.failed.clear();
        }
    }
    // The router is not always at it, so that some do get through; and one side alone may know that the code was right.
    assert_eq!(paired.iter().sum::<u32>(), 10_000);
    assert!(paired.iter().all(|count| *count > 300), "{paired:?}");
}

/// With a hundred codes instead of a hundred million, three guesses for each: what a stranger gets out of it.
#[test]
fn three_guesses_are_right_as_often_as_they_should_be() {
    let mut table = Table::new(11);
    let windows = 10_000;
    let mut right = 0;
    for _ in 0..windows {
        let code = Code::numbered(table.rng.random_range(0..100));
        table.window.open_with(table.now, WINDOW, code, &mut table.rng);
        let first = table.rng.random_range(0..100);
        for guess in 0..5 {
            table.call(&Known::Code(Code::numbered((first + guess) % 100)), None);
            table.talk(honest);
        }
        right += table.paired.drain(..).filter(|(side, _)| *side == Side::Responder).count();
        table.failed.clear();
        table.wire.clear();
    }
    // 3 % of 10,000, and five standard deviations of 17.
    assert!((215..=385).contains(&right), "{right} of {windows}");
}

#[test]
fn a_code_is_in_no_log_and_on_no_wire() {
    let mut table = Table::new(12);
    let code = table.open();
    let shown = code.show();
    table.call(&Known::Code(code), None);
    table.talk(honest);
    let text = format!("{:?} {:?} {:?} {:?}", table.window, table.call, table.paired, table.failed);
    assert!(!text.contains(&shown) && !text.contains(&shown.replace('-', "")), "{text}");
}

#[test]
fn faults_have_words_and_unknown_words_are_faults() {
    for (fault, word) in Fault::ALL {
        assert_eq!((fault.word(), Fault::of(word)), (word, fault));
        assert!(!fault.to_string().is_empty());
    }
    assert_eq!(Fault::of("whatever"), Fault::Closed);
}
