//! What paired devices say to each other through routers that must neither read nor change it.
//!
//! ChaCha20-Poly1305 (RFC 8439) under a key for each direction and each process of the sender: HKDF-SHA256 of the pair's key, with a label, both
//! device ids and the process' random number as `info`; the nonce is the number the process has given the message. The correlation
//! id, which the router can read, is authenticated as well; the sessions are not: which session a device has is the router's word in any case.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::auth::{AuthError, Nonce, Parties, SeenNonces};

const LABEL: &[u8] = b"clasp-relay-v1";

/// Seals `message`, which belongs to the link of this correlation id, in its place. The nonce must be a new one.
pub(crate) fn seal(message: &mut Vec<u8>, parties: Parties<'_>, nonce: Nonce, correlation_id: &str) {
    let sealed = cipher(parties, nonce).encrypt_in_place(&number(nonce), correlation_id.as_bytes(), message);
    sealed.expect("a frame is far shorter than the cipher's limit of 256 GiB");
}

/// Opens `message` in its place.
pub(crate) fn open(
    message: &mut Vec<u8>,
    parties: Parties<'_>,
    nonce: Nonce,
    correlation_id: &str,
    seen: &mut SeenNonces,
) -> Result<(), AuthError> {
    let opened = cipher(parties, nonce).decrypt_in_place(&number(nonce), correlation_id.as_bytes(), message);
    opened.map_err(|_| AuthError::Wrong)?;
    if seen.note(nonce) { Ok(()) } else { Err(AuthError::Replayed) }
}

fn cipher(Parties { from, to, key }: Parties<'_>, nonce: Nonce) -> ChaCha20Poly1305 {
    let info: [&[u8]; 4] = [LABEL, from.as_bytes(), to.as_bytes(), &nonce.epoch.to_be_bytes()];
    let mut derived = Key::default();
    let expanded = Hkdf::<Sha256>::new(None, key.as_bytes()).expand_multi_info(&info, &mut derived);
    expanded.expect("32 bytes are less than HKDF can make");
    ChaCha20Poly1305::new(&derived)
}

fn number(nonce: Nonce) -> chacha20poly1305::Nonce {
    let mut bytes = chacha20poly1305::Nonce::default();
    for (place, byte) in bytes.iter_mut().skip(4).zip(nonce.count.to_be_bytes()) {
        *place = byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::DeviceId;
    use crate::pairs::PairKey;

    const NONCE: Nonce = Nonce { epoch: 7, count: 1 };
    const LINK: &str = "a-b-c";

    #[test]
    fn what_is_sealed_opens_once_for_the_other_device_of_the_pair_only() {
        let (a, b) = (DeviceId::of(&[1; 32]), DeviceId::of(&[2; 32]));
        let (key, other_key) = (PairKey::new([3; 32]), PairKey::new([4; 32]));
        let parties = Parties { from: a, to: b, key: &key };
        let mut sealed = b"message".to_vec();
        seal(&mut sealed, parties, NONCE, LINK);
        assert_eq!(sealed.len(), b"message".len() + 16);
        assert!(!sealed.windows(4).any(|part| b"message".windows(4).any(|plain| plain == part)));
        let opened = |parties, nonce, link| {
            let mut message = sealed.clone();
            open(&mut message, parties, nonce, link, &mut SeenNonces::default()).map(|()| message)
        };
        assert_eq!(opened(parties, NONCE, LINK), Ok(b"message".to_vec()));
        let wrong = Err(AuthError::Wrong);
        assert_eq!(opened(Parties { key: &other_key, ..parties }, NONCE, LINK), wrong);
        assert_eq!(opened(Parties { from: b, to: a, ..parties }, NONCE, LINK), wrong, "reflected");
        for nonce in [Nonce { epoch: 8, ..NONCE }, Nonce { count: 2, ..NONCE }] {
            assert_eq!(opened(parties, nonce, LINK), wrong);
        }
        assert_eq!(opened(parties, NONCE, "a-b-d"), wrong, "of another link");
        let mut seen = SeenNonces::default();
        let mut again = |sealed: &[u8]| open(&mut sealed.to_vec(), parties, NONCE, LINK, &mut seen);
        assert_eq!(again(&sealed), Ok(()));
        assert_eq!(again(&sealed), Err(AuthError::Replayed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(again(&changed), Err(AuthError::Wrong), "byte {at}");
        }
    }
}
