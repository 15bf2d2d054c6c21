//! SPAKE2, what comes out of it, and the boxes closed with that.
//!
//! ```text
//! X, Y     = the two SPAKE2 messages over the Ed25519 group, identities "I" and "R", 33 bytes each
//! TT       = SHA-256("clasp-pair-v1" | correlation, 16 | initiator's nonce, 16 | responder's nonce, 16 | X | Y)
//! K(label) = HKDF-SHA256(salt = TT, ikm = SPAKE2's key, info = "clasp-pair-v1 " | label), 32 bytes
//! box      = ChaCha20-Poly1305(key, nonce = 0, aad = TT), as each key closes one box
//! ```

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use spake2::{Ed25519Group, Spake2};
use zeroize::Zeroizing;

use super::card::Side;
use super::{Card, Known, Me};

const LABEL: &[u8] = b"clasp-pair-v1";

/// A SPAKE2 message.
pub(super) type Pake = [u8; 33];

/// One side of SPAKE2 that has said its part and waits for the other's.
pub(super) struct Begun {
    state: Spake2<Ed25519Group>,
    side: Side,
    pub(super) nonce: [u8; 16],
    pub(super) pake: Pake,
}

/// What both sides share if they know the same code, and else do not.
pub(super) struct Shared {
    side: Side,
    transcript: [u8; 32],
    key: Zeroizing<Vec<u8>>,
}

impl Begun {
    pub(super) fn new(side: Side, known: &Known, mut rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let [initiator, responder] =
            [Side::Initiator, Side::Responder].map(|side| spake2::Identity::new(side.letter()));
        let (state, message) = match side {
            Side::Initiator => {
                Spake2::<Ed25519Group>::start_a_with_rng(&known.password(), &initiator, &responder, &mut rng)
            }
            Side::Responder => {
                Spake2::<Ed25519Group>::start_b_with_rng(&known.password(), &initiator, &responder, &mut rng)
            }
        };
        let pake = message.try_into().expect("a side's letter and a point");
        Self { state, side, nonce, pake }
    }

    /// Takes the other side's part; `None` if it is none.
    pub(super) fn finish(self, correlation: &[u8; 16], nonce: &[u8; 16], pake: &Pake) -> Option<Shared> {
        let Self { state, side, nonce: own_nonce, pake: own_pake } = self;
        let key = Zeroizing::new(state.finish(pake).ok()?);
        let [nonces, pakes] = match side {
            Side::Initiator => [[&own_nonce[..], &nonce[..]], [&own_pake[..], &pake[..]]],
            Side::Responder => [[&nonce[..], &own_nonce[..]], [&pake[..], &own_pake[..]]],
        };
        let mut hash = Sha256::new_with_prefix(LABEL);
        for part in [&correlation[..]].into_iter().chain(nonces).chain(pakes) {
            hash.update(part);
        }
        Some(Shared { side, transcript: hash.finalize().into(), key })
    }
}

impl Shared {
    fn key(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        let hkdf = Hkdf::<Sha256>::new(Some(&self.transcript), &self.key);
        let expanded = hkdf.expand_multi_info(&[LABEL, b" ", label.as_bytes()], derived.as_mut());
        expanded.expect("32 bytes are less than HKDF can make");
        derived
    }

    /// The key both keep.
    pub(super) fn pair_key(&self) -> [u8; 32] {
        *self.key("pair")
    }

    /// Six digits for people who want to compare.
    pub(super) fn check(&self) -> String {
        let number =
            self.key("check").iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:06}", number % 1_000_000)
    }

    /// Our card in our box.
    pub(super) fn close(&self, me: Me<'_>) -> Vec<u8> {
        let mut card = Card::signed(me, self.side, &self.transcript);
        let closed = self.cipher(self.side).encrypt_in_place(&Nonce::default(), &self.transcript, &mut card);
        closed.expect("a card is far shorter than the cipher's limit of 256 GiB");
        card
    }

    /// The other side's card, if it knows the code and has signed it.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Card> {
        let other = match self.side {
            Side::Initiator => Side::Responder,
            Side::Responder => Side::Initiator,
        };
        let mut card = sealed.to_vec();
        self.cipher(other).decrypt_in_place(&Nonce::default(), &self.transcript, &mut card).ok()?;
        Card::open(&card, other, &self.transcript)
    }

    fn cipher(&self, by: Side) -> ChaCha20Poly1305 {
        let key = self.key(match by {
            Side::Initiator => "I to R",
            Side::Responder => "R to I",
        });
        ChaCha20Poly1305::new(&Key::from(*key))
    }

    #[cfg(test)]
    pub(super) fn for_tests(side: Side, transcript: [u8; 32], key: Vec<u8>) -> Self {
        Self { side, transcript, key: Zeroizing::new(key) }
    }
}

/// The 16 bytes a run's correlation id is the text of.
pub(super) fn correlation(text: &str) -> Option<[u8; 16]> {
    (text.len() == 32).then(|| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok())?
}
