use super::*;

const OFFER: &str =
    "v=0\r\na=group:BUNDLE 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n";

struct World {
    a: DeviceId,
    b: DeviceId,
    key: PairKey,
}

impl World {
    fn new() -> Self {
        Self { a: DeviceId::of(&[1; 32]), b: DeviceId::of(&[2; 32]), key: PairKey::new([3; 32]) }
    }

    fn a_to_b(&self) -> Parties<'_> {
        Parties { from: self.a, to: self.b, key: &self.key }
    }

    fn b_to_a(&self) -> Parties<'_> {
        Parties { from: self.b, to: self.a, key: &self.key }
    }
}

fn nonce(count: u64) -> Nonce {
    Nonce { epoch: 7, count }
}

fn check(sdp: &str, kind: Kind<'_>, parties: Parties<'_>) -> Result<Tag, AuthError> {
    claim(sdp)?.expect("a claim").check(kind, parties, &mut SeenNonces::default())
}

#[test]
fn what_a_pair_signed_is_taken_once_and_the_description_is_unchanged() {
    let world = World::new();
    let (signed, tag) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(1));
    let line = signed.lines().find(|line| line.starts_with(LINE)).unwrap();
    assert_eq!(signed.replace(&format!("{line}\r\n"), ""), OFFER);
    assert!(signed.find(LINE) < signed.find("m="), "in the session part");
    let claim = claim(&signed).unwrap().unwrap();
    assert_eq!(claim.from, world.a);
    let mut seen = SeenNonces::default();
    assert_eq!(claim.check(Kind::Offer, world.a_to_b(), &mut seen), Ok(tag));
    assert_eq!(claim.check(Kind::Offer, world.a_to_b(), &mut seen), Err(AuthError::Replayed));
}

/// Computed with Python's `hmac` and `hashlib`.
#[test]
fn the_tag_is_the_documented_one() {
    let world = World::new();
    let (_, offer) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(1));
    assert_eq!(HEXLOWER.encode(&offer), KNOWN_OFFER_TAG);
    let (_, answer) = sign(OFFER, Kind::Answer(&offer), world.b_to_a(), nonce(2));
    assert_eq!(HEXLOWER.encode(&answer), KNOWN_ANSWER_TAG);
}

const KNOWN_OFFER_TAG: &str = "aec72539c7bbb3176180abe157708759974c3577bf9962efa6eb39ef9bc6dc7b";
const KNOWN_ANSWER_TAG: &str = "a6228e59b79b6eb5b75de3015d0ba5b824e5adc95efd12612848de27da91f803";

#[test]
fn a_change_of_anything_is_found() {
    let world = World::new();
    let (signed, offer) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(1));
    let other_key = PairKey::new([4; 32]);
    let with = |parties| check(&signed, Kind::Offer, parties);
    assert_eq!(with(world.a_to_b()), Ok(offer));
    assert_eq!(with(Parties { key: &other_key, ..world.a_to_b() }), Err(AuthError::Wrong));
    assert_eq!(with(Parties { to: world.a, ..world.a_to_b() }), Err(AuthError::Wrong), "for somebody else");
    assert_eq!(with(world.b_to_a()), Err(AuthError::Wrong), "reflected");
    assert_eq!(check(&signed, Kind::Answer(&offer), world.a_to_b()), Err(AuthError::Wrong));
    for at in 0..signed.len() {
        let mut changed = signed.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        let taken = claim(&changed).is_ok_and(|claim| {
            claim.is_some_and(|c| c.check(Kind::Offer, world.a_to_b(), &mut SeenNonces::default()).is_ok())
        });
        assert!(!taken, "byte {at}: {changed}");
    }
}

#[test]
fn an_answer_belongs_to_one_offer() {
    let world = World::new();
    let (_, offer) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(1));
    let (_, other) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(2));
    let (answer, _) = sign(OFFER, Kind::Answer(&offer), world.b_to_a(), nonce(1));
    assert!(check(&answer, Kind::Answer(&offer), world.b_to_a()).is_ok());
    assert_eq!(check(&answer, Kind::Answer(&other), world.b_to_a()), Err(AuthError::Wrong));
}

#[test]
fn a_claim_is_one_line_of_exactly_that_form() {
    let world = World::new();
    let (signed, _) = sign(OFFER, Kind::Offer, world.a_to_b(), nonce(1));
    let line = signed.lines().find(|line| line.starts_with(LINE)).unwrap();
    assert_eq!(claim(OFFER), Ok(None));
    assert_eq!(claim(&format!("s={line}\r\n{OFFER}")), Ok(None), "only where a line begins");
    let broken = [
        format!("{line}\r\n{signed}"),
        signed.replace(LINE, "a=x-clasp-auth:2"),
        signed.replace(line, &format!("{line} more")),
        signed.replace(line, &line[..line.len() - 1]),
        signed.replace(line, &line.to_uppercase().replace("A=X-CLASP-AUTH:", LINE)),
        line.to_owned(),
    ];
    for broken in broken {
        assert_eq!(claim(&broken), Err(AuthError::Unreadable), "{broken}");
    }
}

#[test]
fn every_nonce_is_taken_once_in_whatever_order_they_come() {
    let mut seen = SeenNonces::default();
    for count in [5, 3, 4, 100, 99, 64] {
        assert!(seen.note(nonce(count)), "{count}");
    }
    for count in [5, 3, 4, 100, 99, 64, 36, 0] {
        assert!(!seen.note(nonce(count)), "{count}: seen, or too old to tell");
    }
    assert!(seen.note(nonce(37)), "63 below the highest");
    assert!(seen.note(nonce(u64::MAX)) && !seen.note(nonce(u64::MAX)) && !seen.note(nonce(100)));
}

#[test]
fn processes_are_forgotten_longest_ago_first() {
    let mut seen = SeenNonces::default();
    let first = |epoch| Nonce { epoch, count: 1 };
    for epoch in 0..MAX_AUTH_EPOCHS as u64 {
        assert!(seen.note(first(epoch)));
    }
    assert!((0..MAX_AUTH_EPOCHS as u64).all(|epoch| !seen.note(first(epoch))));
    assert!(seen.note(first(99)));
    assert!(seen.note(first(0)), "forgotten for the newest");
    assert!(!seen.note(first(2)) && !seen.note(first(99)));
}
