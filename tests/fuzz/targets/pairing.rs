//! The two sides of a pairing, and a router that says whatever it likes to both: no panic, no pair, nothing that grows.
#![no_main]

use std::time::{Duration, Instant};

use clasp_node::event::RouterId;
use clasp_node::identity::Identity;
use clasp_node::pairing::{
    Call, Fault, GUESSES, Known, Letter, LetterBody, Me, PairingOutput, Party, WINDOW, Window,
};
use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// What one step of the input makes of a letter: 48 bytes say what it is and what is in it.
const STEP: usize = 48;

thread_local! {
    /// Keys cost more than all the rest.
    static DEVICE: Identity = Identity::generate(&mut StdRng::from_seed([1; 32])).expect("an identity");
}

fuzz_target!(|data: &[u8]| DEVICE.with(|device| run(device, data)));

fn run(device: &Identity, data: &[u8]) {
    let me = Me { identity: device, name: "device" };
    let mut rng = StdRng::from_seed([2; 32]);
    let mut now = Instant::now();
    let party = |n: u8| Party { router: RouterId::FIRST, session: format!("session {n}") };
    let (mut window, mut guesses) = (Window::default(), 0);
    window.open(now, WINDOW, &mut rng);
    let (other, _) = Known::read("0000-0000").expect("a code");
    let mut call = Call::begin(now, party(0), &other, None, &mut rng);
    let mut last = String::from("00000000000000000000000000000000");
    while let Some(output) = call.poll_output() {
        let PairingOutput::Send(_, letter) = output else { panic!("{output:?}") };
        last = letter.correlation_id;
    }
    let own = last.clone();
    for step in data.chunks(STEP).take(64) {
        let at = |place: usize| step.get(place).copied().unwrap_or(0);
        let mut nonce = [0; 16];
        let mut pake = [0; 33];
        nonce.iter_mut().enumerate().for_each(|(place, byte)| *byte = at(2 + place));
        pake.iter_mut().enumerate().for_each(|(place, byte)| *byte = at(3 + place));
        let body = match at(0) % 6 {
            0 => LetterBody::Begin { version: 1 + u32::from(at(1) == 255), scanned: at(1) % 2 == 0, nonce, pake },
            1 => LetterBody::Reply { nonce, pake },
            2 => LetterBody::InitiatorCard(step.to_vec()),
            3 => LetterBody::ResponderCard(step.to_vec()),
            4 => LetterBody::Fault(Fault::of("busy")),
            _ => {
                now += Duration::from_secs(u64::from(at(1) / 16));
                window.handle_timeout(now);
                call.handle_timeout(now);
                continue;
            }
        };
        let correlation_id = if at(1) % 3 == 0 { own.clone() } else { format!("{:032x}", at(1) % 4) };
        let letter = Letter { correlation_id, body };
        let from = party(at(1) % 2);
        if call.is_for(&from, &letter) {
            call.handle(&letter, me);
        }
        window.handle(now, from, &letter, me, &mut rng);
        let mut said = 0;
        while let Some(output) = call.poll_output().or_else(|| window.poll_output()) {
            said += 1;
            match output {
                PairingOutput::Send(_, Letter { body: LetterBody::Reply { .. }, .. }) => guesses += 1,
                PairingOutput::Send(..) | PairingOutput::Failed(_) => {}
                PairingOutput::Provisional(..) => panic!("nobody here knows the code"),
            }
        }
        assert!(said <= 4, "one letter gave rise to {said}");
        assert!(guesses <= u32::from(GUESSES), "{guesses} guesses");
    }
}
