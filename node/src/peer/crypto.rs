//! The crypto provider str0m runs on: pure Rust, no C toolchain anywhere.
//!
//! DTLS comes from `dimpl` over RustCrypto; STUN's HMAC-SHA1 and the fingerprint hashes from RustCrypto directly.
//! SRTP is refused: a node carries no media.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::crypto::{
    Dtls12CipherSuite, Dtls13CipherSuite, SupportedDtls12CipherSuite, SupportedDtls13CipherSuite, rust_crypto,
};
use dimpl::{Config, Dtls};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider,
    Sha1HmacProvider, Sha1Provider, Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// First retransmission of a DTLS flight. RFC 9147 §5.8.2 says 1 s unless the round trip is known to be short; ICE has just
/// measured it, and on a LAN a lost flight should not cost a second.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(150);

/// With 150 ms doubling each time, 6 retries last 9.5 s: as long as a connect attempt does.
const RETRANSMISSIONS: usize = 6;

/// The provider, ready to be given to an `RtcConfig`.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            srtp_provider: &NoMedia,
            sha1_hmac_provider: &Hashes,
            sha1_provider: &Hashes,
            sha256_provider: &Hashes,
            dtls_provider: &DtlsOverRustCrypto,
        })
    });
    Arc::clone(provider)
}

#[derive(Debug)]
struct Hashes;

impl Sha1HmacProvider for Hashes {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
        for payload in payloads {
            mac.update(payload);
        }
        mac.finalize().into_bytes().into()
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        Sha1::digest(data).into()
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }
}

#[derive(Debug)]
struct DtlsOverRustCrypto;

impl DtlsProvider for DtlsOverRustCrypto {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None // always supplied by the node: one certificate for all its peers
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let mut config = Config::builder()
            .with_crypto_provider(dimpl_provider())
            .flight_start_rto(FIRST_RETRANSMISSION)
            .flight_retries(RETRANSMISSIONS)
            // ICE has already proved that the peer receives at its address (RFC 8842 §5.5), so the
            // cookie exchange would only cost a round trip.
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = Arc::new(config.build().map_err(CryptoError::DtlsImpl)?);
        let dtls = match version {
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert.clone(), now),
            DtlsVersion::Auto => Dtls::new_auto(config, cert.clone(), now),
            _ => Dtls::new_12(config, cert.clone(), now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// dimpl's provider with the AEAD this CPU is fastest at in front.
fn dimpl_provider() -> dimpl::crypto::CryptoProvider {
    static SUITES: OnceLock<&'static [&'static dyn SupportedDtls12CipherSuite]> = OnceLock::new();
    let mut provider = rust_crypto::default_provider();
    provider.cipher_suites = SUITES.get_or_init(|| {
        let mut suites = provider.cipher_suites.to_vec();
        if !has_aes_instructions() {
            // Stable: only moves ChaCha20-Poly1305 to the front. About 3.7 times faster than AES-GCM in software.
            suites.sort_by_key(|s| s.suite() != Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256);
        }
        suites.leak() // once per process
    });
    static SUITES_13: OnceLock<&'static [&'static dyn SupportedDtls13CipherSuite]> = OnceLock::new();
    provider.dtls13_cipher_suites = SUITES_13.get_or_init(|| {
        let mut suites = provider.dtls13_cipher_suites.to_vec();
        if !has_aes_instructions() {
            suites.sort_by_key(|s| s.suite() != Dtls13CipherSuite::CHACHA20_POLY1305_SHA256);
        }
        suites.leak() // once per process
    });
    provider
}

fn has_aes_instructions() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}

struct Instance(Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dtls")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

/// Media never flows here: the SDP has no audio or video line. DTLS may still agree on SRTP keys with a peer that offers
/// them, so the factories exist, and what they make refuses every packet.
#[derive(Debug)]
struct NoMedia;

const REFUSED: &str = "SRTP is not supported: this node carries no media";

impl SrtpProvider for NoMedia {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &NoMedia
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &NoMedia
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &NoMedia
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}
}

impl SupportedAes128CmSha1_80 for NoMedia {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(NoMedia)
    }
}

impl SupportedAeadAes128Gcm for NoMedia {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(NoMedia)
    }
}

impl SupportedAeadAes256Gcm for NoMedia {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(NoMedia)
    }
}

impl Aes128CmSha1_80Cipher for NoMedia {
    fn encrypt(&mut self, _iv: &[u8; 16], _input: &[u8], _output: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::Other(REFUSED.into()))
    }

    fn decrypt(&mut self, _iv: &[u8; 16], _input: &[u8], _output: &mut [u8]) -> Result<(), CryptoError> {
        Err(CryptoError::Other(REFUSED.into()))
    }
}

/// Both GCM profiles differ only in the trait's name.
macro_rules! refuse_gcm {
    ($cipher:ident) => {
        impl $cipher for NoMedia {
            fn encrypt(
                &mut self,
                _iv: &[u8; 12],
                _aad: &[u8],
                _input: &[u8],
                _output: &mut [u8],
            ) -> Result<(), CryptoError> {
                Err(CryptoError::Other(REFUSED.into()))
            }

            fn decrypt(
                &mut self,
                _iv: &[u8; 12],
                _aads: &[&[u8]],
                _input: &[u8],
                _output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                Err(CryptoError::Other(REFUSED.into()))
            }
        }
    };
}

refuse_gcm!(AeadAes128GcmCipher);
refuse_gcm!(AeadAes256GcmCipher);
