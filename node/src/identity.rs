//! Who a device is: an Ed25519 key for what it signs, a certificate for DTLS, and an id made from the former.
//!
//! Owns: what belongs to an identity, and its text form. Does not own: where it is kept.

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::SigningKey;
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::peer::{Certificate, CertificateError};

/// Keeps the hash of a key from being the hash of something else.
const ID_LABEL: &[u8] = b"clasp-id-v1";

/// Bytes of an id: 160 bits of a hash, as many as nobody finds a second key for.
const ID_BYTES: usize = 20;

/// The name of a device that nobody can take from it: the first 20 bytes of SHA-256 over a label and its Ed25519 public key.
///
/// As text 32 lower-case characters of base32 (RFC 4648 §6, without padding); case does not matter when it is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId([u8; ID_BYTES]);

/// A text that is not a [`DeviceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a device id: those have 32 characters, letters and the digits 2 to 7")]
pub struct DeviceIdError;

impl DeviceId {
    /// The id of the device that has this Ed25519 public key.
    #[must_use]
    pub fn of(public_key: &[u8; 32]) -> Self {
        let hash: [u8; 32] = Sha256::new_with_prefix(ID_LABEL).chain_update(public_key).finalize().into();
        let mut id = [0; ID_BYTES];
        id.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
        Self(id)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl std::fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| DeviceIdError)?;
        bytes.try_into().map(Self).map_err(|_| DeviceIdError)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

/// What makes a device the same one after a restart. Secrets are overwritten when it is dropped, and no `Debug` shows them.
#[derive(Clone)]
pub struct Identity {
    signing_key: SigningKey,
    certificate: Certificate,
}

impl Identity {
    /// A new one, from `rng`.
    ///
    /// # Errors
    /// As [`Certificate::generate`].
    pub fn generate(rng: &mut impl Rng) -> Result<Self, CertificateError> {
        let certificate = Certificate::generate(rng)?;
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Ok(Self { signing_key: SigningKey::from_bytes(&secret), certificate })
    }

    /// One made before: what [`Self::secret_key`], [`Certificate::der`] and [`Certificate::private_key_der`] returned.
    ///
    /// # Errors
    /// As [`Certificate::from_der`]. Every secret key is one.
    pub fn from_parts(
        secret_key: &[u8; 32],
        certificate_der: &[u8],
        private_key_der: &[u8],
    ) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_der(certificate_der, private_key_der)?;
        Ok(Self { signing_key: SigningKey::from_bytes(secret_key), certificate })
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        DeviceId::of(&self.public_key())
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.signing_key.verifying_key().to_bytes()
    }

    /// The Ed25519 key that signs for this device.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The same key as bytes (RFC 8032 §5.1.5): a secret, for whoever stores it and nobody else.
    #[must_use]
    pub fn secret_key(&self) -> &[u8; 32] {
        self.signing_key.as_bytes()
    }

    /// The DTLS certificate and its key.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The SHA-256 fingerprint of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        self.certificate.fingerprint()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("id", &self.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn identity(seed: u8) -> Identity {
        Identity::generate(&mut StdRng::from_seed([seed; 32])).unwrap()
    }

    #[test]
    fn an_id_is_the_hash_of_label_and_key_in_base_32() {
        // Computed with Python's hashlib and base64.
        let id = DeviceId::of(&[7; 32]);
        assert_eq!(id.to_string(), "2bixaaz5yoka7uvf3cyn4jzbqxtmjckv");
        assert_eq!(format!("{id:?}"), id.to_string());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let valid = DeviceId::of(&[7; 32]).to_string();
        let (shorter, longer) = (&valid[1..], format!("{valid}a"));
        let (padded, digit) = (format!("{}=", &valid[1..]), format!("{}1", &valid[1..]));
        let wide = format!("{}é", &valid[2..]);
        for text in ["", "kitchen", shorter, &longer, &padded, &digit, &wide] {
            assert_eq!(text.parse::<DeviceId>(), Err(DeviceIdError), "{text:?}");
        }
    }

    #[test]
    fn an_id_is_text_in_json() {
        let id = DeviceId::of(&[9; 32]);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), id);
        assert!(
            serde_json::from_str::<DeviceId>("\"kitchen\"").unwrap_err().to_string().contains("device id")
        );
    }

    #[test]
    fn an_identity_comes_back_from_its_parts() {
        let (one, other) = (identity(1), identity(2));
        let certificate = one.certificate();
        let again =
            Identity::from_parts(one.secret_key(), certificate.der(), certificate.private_key_der()).unwrap();
        assert_eq!((again.id(), again.fingerprint()), (one.id(), one.fingerprint()));
        assert_eq!(again.id(), DeviceId::of(&one.public_key()));
        assert_ne!(one.id(), other.id());
        let mixed =
            Identity::from_parts(one.secret_key(), certificate.der(), other.certificate().private_key_der());
        assert_eq!(mixed.unwrap_err(), CertificateError::Mismatch);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let identity = identity(3);
        assert_eq!(format!("{identity:?}"), format!("Identity {{ id: {}, .. }}", identity.id()));
    }
}
