//! The DTLS certificate: self-signed, P-256, with fixed dates.
//!
//! WebRTC trusts a certificate by the fingerprint in the SDP (RFC 8122), never by its dates; but some stacks still check
//! them, and a board without a battery-backed clock boots in 1970. Hence a validity that covers every clock.

use std::time::Duration;

use p256::SecretKey;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rand::Rng;
use sha2::{Digest, Sha256};
use str0m::config::DtlsCert;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::GeneralizedTime;
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};
use zeroize::Zeroize;

/// 2000-01-01T00:00:00Z.
const NOT_BEFORE: Duration = Duration::from_secs(946_684_800);

/// Why there is no certificate.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// None could be made.
    #[error("cannot create the DTLS certificate: {0}")]
    Create(String),
    /// What was given is not a certificate.
    #[error("not a certificate: {0}")]
    Certificate(String),
    /// What was given is not a private key for ECDSA on P-256 (PKCS #8).
    #[error("not a P-256 private key")]
    PrivateKey,
    /// The certificate is for another key.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// A certificate and its key, with the fingerprint other peers see.
#[derive(Clone)]
pub struct Certificate {
    dtls: DtlsCert,
    fingerprint: [u8; 32],
}

impl Certificate {
    /// Makes a new key and certificate from `rng`.
    ///
    /// # Errors
    /// When the ASN.1 encoder refuses its input, which no random input has been seen to cause.
    pub fn generate(rng: &mut impl Rng) -> Result<Self, CertificateError> {
        let secret = secret_key(rng);
        let signer = SigningKey::from(&secret);
        // Firefox wants serial numbers to be unique across everything it has ever met.
        let mut serial = [0; 16];
        rng.fill_bytes(&mut serial);
        serial[0] = serial[0] & 0x7F | 0x40;

        let certificate = CertificateBuilder::new(
            SelfSigned { name: "CN=clasp-node".parse().map_err(fault)? },
            SerialNumber::new(&serial).map_err(fault)?,
            validity()?,
            SubjectPublicKeyInfo::from_key(signer.verifying_key()).map_err(fault)?,
        )
        .and_then(|builder| builder.build::<_, DerSignature>(&signer))
        .map_err(fault)?
        .to_der()
        .map_err(fault)?;
        let private_key = secret.to_pkcs8_der().map_err(fault)?.as_bytes().to_vec();
        Ok(Self::from_checked(certificate, private_key))
    }

    /// A certificate made before, and its key: what [`Self::der`] and [`Self::private_key_der`] returned.
    ///
    /// # Errors
    /// When either does not parse, or they do not belong together.
    pub fn from_der(certificate: &[u8], private_key: &[u8]) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(certificate);
        let parsed = parsed.map_err(|error| CertificateError::Certificate(error.to_string()))?;
        // What is wrong with a secret is not told in detail.
        let secret = SecretKey::from_pkcs8_der(private_key).map_err(|_| CertificateError::PrivateKey)?;
        let signer = SigningKey::from(&secret);
        let key = SubjectPublicKeyInfo::from_key(signer.verifying_key()).map_err(fault)?;
        if *parsed.tbs_certificate().subject_public_key_info() != key {
            return Err(CertificateError::Mismatch);
        }
        Ok(Self::from_checked(certificate.to_vec(), private_key.to_vec()))
    }

    fn from_checked(certificate: Vec<u8>, private_key: Vec<u8>) -> Self {
        let fingerprint = Sha256::digest(&certificate).into();
        Self { dtls: DtlsCert { certificate, private_key }, fingerprint }
    }

    /// The certificate (DER).
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.dtls.certificate
    }

    /// Its private key (PKCS #8, DER): a secret, for whoever stores it and nobody else.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        &self.dtls.private_key
    }

    /// SHA-256 over the DER certificate: what `a=fingerprint` says (RFC 8122).
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    pub(super) fn to_dtls(&self) -> DtlsCert {
        self.dtls.clone()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        self.dtls.private_key.zeroize();
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive() // the private key stays out of logs
    }
}

/// Draws until the number is a valid scalar; one draw in 2^32 is not.
fn secret_key(rng: &mut impl Rng) -> SecretKey {
    loop {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return key;
        }
    }
}

fn validity() -> Result<Validity, CertificateError> {
    let not_before = DateTime::from_unix_duration(NOT_BEFORE).map_err(fault)?;
    let not_after = DateTime::new(9999, 12, 31, 23, 59, 59).map_err(fault)?;
    Ok(Validity::new(
        Time::from(GeneralizedTime::from_date_time(not_before)),
        Time::from(GeneralizedTime::from_date_time(not_after)),
    ))
}

fn fault(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Create(error.to_string())
}

/// Issuer and subject are the same, and there are no extensions: nobody validates a chain here.
struct SelfSigned {
    name: Name,
}

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.name.clone()
    }

    fn get_subject(&self) -> Name {
        self.name.clone()
    }

    fn build_extensions(
        &self,
        _spk: SubjectPublicKeyInfoRef<'_>,
        _issuer_spk: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use x509_cert::Certificate as Parsed;

    use super::*;

    #[test]
    fn a_certificate_is_valid_from_2000_to_9999_whatever_the_clock_says() {
        let certificate = Certificate::generate(&mut StdRng::from_seed([7; 32])).unwrap();
        let parsed = Parsed::from_der(&certificate.dtls.certificate).unwrap();
        let validity = parsed.tbs_certificate().validity();
        assert_eq!(validity.not_before.to_unix_duration(), NOT_BEFORE);
        assert_eq!(validity.not_after.to_date_time().year(), 9999);
    }

    #[test]
    fn two_seeds_give_two_fingerprints_and_one_seed_gives_one() {
        let of = |seed| *Certificate::generate(&mut StdRng::from_seed([seed; 32])).unwrap().fingerprint();
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
    #[test]
    fn a_certificate_comes_back_from_its_parts_and_from_no_others() {
        let of = |seed| Certificate::generate(&mut StdRng::from_seed([seed; 32])).unwrap();
        let (one, other) = (of(1), of(2));
        let again = Certificate::from_der(one.der(), one.private_key_der()).unwrap();
        assert_eq!(again.fingerprint(), one.fingerprint());

        let fault = |certificate, key| Certificate::from_der(certificate, key).unwrap_err();
        assert_eq!(fault(one.der(), other.private_key_der()), CertificateError::Mismatch);
        assert_eq!(fault(one.der(), b"no key"), CertificateError::PrivateKey);
        let longer = [one.der(), b"x"].concat();
        for broken in [&b""[..], b"no certificate", &one.der()[1..], &longer] {
            let fault = fault(broken, one.private_key_der());
            assert!(matches!(fault, CertificateError::Certificate(_)), "{fault:?}");
        }
    }
}
