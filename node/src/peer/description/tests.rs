use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::SctpInitData;
use str0m::{Rtc, RtcConfig};

use super::*;
use crate::clock_for_tests::start;
use crate::peer::crypto;

const HEX: &str =
    "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
const MEDIA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

/// A complete description with these lines in its session and in its media part.
fn text(session: &str, media: &str) -> String {
    format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{session}{MEDIA}{media}")
}

fn credentials() -> String {
    format!("a=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n", "p".repeat(22))
}

fn fingerprint_line() -> String {
    format!("a=fingerprint:sha-256 {HEX}\r\n")
}

/// How several implementations lay out the description of a data-channel session.
fn layouts() -> Vec<(&'static str, String)> {
    let (ice, print) = (credentials(), fingerprint_line());
    let lower = print.to_lowercase();
    let lf = text(&format!("a=group:BUNDLE 0\r\n{print}"), &format!("{ice}a=setup:actpass\r\na=mid:0\r\n"));
    vec![
        (
            "browser, Chromium",
            text(
                "a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
                &format!(
                    "c=IN IP4 0.0.0.0\r\n{ice}a=ice-options:trickle\r\n{print}a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
                ),
            ),
        ),
        (
            "browser, Firefox",
            text(
                &format!(
                    "a=sendrecv\r\n{print}a=group:BUNDLE 0\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n"
                ),
                &format!(
                    "c=IN IP4 0.0.0.0\r\na=sendrecv\r\n{ice}a=mid:0\r\na=setup:actpass\r\na=sctp-port:5000\r\na=max-message-size:1073741823\r\n"
                ),
            ),
        ),
        (
            "stock client",
            text(
                &format!("{print}a=group:BUNDLE 0\r\n"),
                &format!(
                    "c=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=sctp-port:5000\r\n{ice}"
                ),
            ),
        ),
        (
            "libdatachannel",
            text(
                &format!(
                    "a=group:BUNDLE 0\r\na=group:LS 0\r\na=msid-semantic:WMS *\r\na=ice-options:ice2,trickle\r\n{print}"
                ),
                &format!(
                    "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv\r\na=sctp-port:5000\r\na=max-message-size:262144\r\na=setup:actpass\r\n{ice}"
                ),
            ),
        ),
        (
            "aiortc",
            text(
                "a=group:BUNDLE 0\r\na=msid-semantic:WMS *\r\n",
                &format!(
                    "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:65536\r\n{ice}{print}a=fingerprint:sha-512 00:11\r\na=setup:actpass\r\n"
                ),
            ),
        ),
        ("pion, line feeds only", lf.replace("\r\n", "\n")),
        (
            "lower case, an older m= line",
            text("", &format!("{ice}{lower}a=setup:actpass\r\na=sctpmap:5000 webrtc-datachannel 1024\r\n"))
                .replace(MEDIA, "m=application 9 DTLS/SCTP 5000\r\n"),
        ),
        ("an empty line at the end", format!("{lf}\r\n")),
    ]
}

#[test]
fn the_layouts_of_all_known_implementations_say_the_same() {
    for (who, text) in layouts() {
        let got = Description::parse(&text).unwrap_or_else(|fault| panic!("{who}: {fault}"));
        assert_eq!(got.mid, "0", "{who}");
        assert_eq!((got.credentials.ufrag.as_str(), got.credentials.pass.len()), ("abcd", 22), "{who}");
        assert_eq!(got.fingerprint_text(), format!("sha-256 {HEX}"), "{who}");
        assert_eq!(got.setup, SetupRole::ActPass, "{who}");
        assert!(!got.ice_lite && got.sctp_init.is_none() && got.candidates.is_empty(), "{who}");
    }
}

#[test]
fn descriptions_seen_on_the_wire_are_read() {
    for name in ["obs_rust_client_p2p_offer", "obs_rust_client_p2p_answer"] {
        let vectors = include_str!("../../../../router-lite/wire/tests/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let all = vectors["vectors"].as_array().unwrap();
        let vector = all.iter().find(|vector| vector.to_string().contains(name)).unwrap();
        let sdp = vector["message"]["value"]["map"]["sdp"]["string"].as_str().unwrap();
        let got = Description::parse(sdp).unwrap();
        assert!(sdp.contains(&got.fingerprint_text()), "{got:?}");
        assert!(sdp.contains(&format!("a=ice-pwd:{}\r\n", got.credentials.pass)));
        assert_eq!(got.setup == SetupRole::Active, name.ends_with("answer"));
        assert_eq!((got.mid.as_str(), got.message_limit()), ("0", MAX_SEND_MESSAGE_BYTES));
    }
}

#[test]
fn what_is_not_a_data_channel_session_is_refused_with_its_line() {
    let (ice, print) = (credentials(), fingerprint_line());
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    let cases = [
        (String::new(), "SDP has 0 m= lines"),
        ("x".repeat(MAX_SDP_BYTES + 1), "SDP of 16385 bytes"),
        ("v=1\r\n".to_owned(), "SDP line 1: \"v=1\" is not v=0"),
        ("v=0\r\nnonsense\r\n".to_owned(), "SDP line 2: \"nonsense\" is not a letter"),
        (format!("v=0\r\n{audio}"), "SDP line 2: \"m=audio 9"),
        (text("", &format!("{ice}{print}{audio}")), "SDP has 2 m= lines"),
        (
            text("", &format!("{ice}{print}")).replace("tion 9 ", "tion 0 "),
            "SDP line 5: the data-channel section is turned down",
        ),
        (text("", &print), "SDP has no a=ice-ufrag"),
        (text("", &format!("a=ice-ufrag:abcd\r\n{print}")), "SDP has no a=ice-pwd"),
        (text("", &ice), "SDP has no a=fingerprint"),
        (text("", "a=ice-ufrag:abc\r\n"), "SDP line 6: \"a=ice-ufrag:abc\" is not an ICE user fragment"),
        (text("", "a=ice-ufrag:ab:cd\r\n"), "SDP line 6"),
        (text("", "a=ice-pwd:hunter2\r\n"), "SDP line 6: \"a=ice-pwd:…\" is not an ICE password"),
        (
            text("", "a=fingerprint:sha-256 00:11\r\n"),
            "SDP line 6: \"a=fingerprint:sha-256 00:11\" is not a hash",
        ),
        (text("", "a=fingerprint:sha-512 +0:11\r\n"), "SDP line 6"),
        (text("a=setup:holdconn\r\n", ""), "SDP line 5: \"a=setup:holdconn\" is not actpass"),
        (text("", "a=mid:\r\n"), "SDP line 6"),
        (text("", &format!("a=mid:{}\r\n", "m".repeat(MAX_MID_BYTES + 1))), "SDP line 6"),
    ];
    for (text, want) in cases {
        let got = Description::parse(&text).map_err(|fault| fault.to_string());
        assert!(matches!(&got, Err(why) if why.starts_with(want)), "{text:.200}: {got:?}, want {want}");
    }
}

#[test]
fn what_is_said_of_the_media_section_counts_more_than_what_is_said_of_the_session() {
    let other = HEX.replace("00:11", "FF:11");
    let session =
        format!("a=ice-ufrag:other\r\na=fingerprint:sha-256 {other}\r\na=setup:active\r\na=ice-lite\r\n");
    let media = format!("{}a=fingerprint:sha-1 00\r\n", credentials());
    assert!(Description::parse(&text(&session, &media)).is_err(), "20 bytes are a SHA-1");
    let media =
        format!("{}a=fingerprint:sha-512 00\r\n{}a=setup:passive\r\n", credentials(), fingerprint_line());
    let got = Description::parse(&text(&session, &media)).unwrap();
    assert_eq!((got.credentials.ufrag.as_str(), got.fingerprint_text()), ("abcd", format!("sha-256 {HEX}")));
    assert_eq!(
        (got.setup, got.setup.counterpart(), got.ice_lite),
        (SetupRole::Passive, SetupRole::Active, true)
    );
    let of_session = Description::parse(&text(&session, &credentials())).unwrap();
    assert_eq!(
        (of_session.setup, of_session.fingerprint_text()),
        (SetupRole::Active, format!("sha-256 {other}"))
    );
}

#[test]
fn the_message_limit_is_what_the_peer_says_but_never_more_than_we_send() {
    for (line, want) in [
        ("", 65_535),
        ("a=max-message-size:16384\r\n", 16_384),
        ("a=max-message-size:0\r\n", 65_535),
        ("a=max-message-size:262144\r\n", 65_535),
        ("a=max-message-size:nonsense\r\n", 65_535),
    ] {
        let text = text("", &format!("{}{}{line}", credentials(), fingerprint_line()));
        assert_eq!(Description::parse(&text).unwrap().message_limit(), want, "{line}");
    }
}

/// Some description, every part of it drawn.
fn drawn(rng: &mut StdRng) -> Description {
    let mut word = |least: usize, most: usize| -> String {
        let len = rng.random_range(least..=most);
        (0..len).map(|_| char::from(b"ABCyz019+/"[rng.random_range(0..10)])).collect()
    };
    let credentials = IceCreds { ufrag: word(4, 256), pass: word(22, 256) };
    let (mid, sctp_init) = (word(1, MAX_MID_BYTES), word(1, 40));
    let candidates = vec![format!("candidate:{} 1 udp 1 192.0.2.1 5 typ host", word(1, 32)); 3];
    let (hash_func, len) = [("sha-256", 32), ("sha-1", 20), ("sha-512", 64)][rng.random_range(0..3)];
    Description {
        mid,
        credentials,
        ice_lite: rng.random(),
        fingerprint: Fingerprint {
            hash_func: hash_func.to_owned(),
            bytes: (0..len).map(|_| rng.random()).collect(),
        },
        setup: [SetupRole::ActPass, SetupRole::Active, SetupRole::Passive][rng.random_range(0..3)],
        max_message_size: rng.random::<bool>().then(|| rng.random_range(0..1 << 30)),
        sctp_init: rng.random::<bool>().then_some(sctp_init),
        candidates: candidates[..rng.random_range(0..=3)].to_vec(),
    }
}

#[test]
fn what_is_written_reads_the_same_here_and_in_str0m() {
    let mut rng = StdRng::from_seed([3; 32]);
    for round in 0..500 {
        let description = drawn(&mut rng);
        let text = description.write(Origin { id: rng.random::<u64>() >> 2, version: round });
        assert_eq!(Description::parse(&text).as_ref(), Ok(&description), "{text}");
        assert!(SdpOffer::from_sdp_string(&text).is_ok(), "{text}");
    }
}

#[test]
fn mutated_text_is_read_or_refused_and_never_stops_us() {
    let mut rng = StdRng::from_seed([4; 32]);
    let samples: Vec<_> = layouts().into_iter().map(|(_, text)| text).collect();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = samples[rng.random_range(0..samples.len())].clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes[at] = b"\r\n:= 0azAZ"[rng.random_range(0..10)],
                2 => bytes.truncate(at + 1),
                _ => bytes.extend_from_within(at..),
            }
        }
        match Description::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(description) => {
                read += 1;
                let again = Description::parse(&description.write(Origin { id: 1, version: 1 }));
                assert_eq!(again, Ok(description), "what was read can be written");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} {refused}");
}

fn str0m_side() -> Rtc {
    let certificate = crate::peer::Certificate::generate(&mut StdRng::from_seed([8; 32])).unwrap();
    let config =
        RtcConfig::new().set_crypto_provider(crypto::provider()).set_dtls_cert(certificate.to_dtls());
    config.clear_codecs().set_snap_enabled(true).build(start())
}

#[test]
fn str0m_and_we_understand_each_others_offers_and_answers() {
    let mut rng = StdRng::from_seed([5; 32]);
    let fresh_init = || SctpInitData::new().local_init_string().ok();
    let ours = |setup, sctp_init| {
        let mut description = drawn(&mut StdRng::from_seed([6; 32]));
        description.fingerprint = Fingerprint { hash_func: "sha-256".to_owned(), bytes: vec![7; 32] };
        Description { mid: "0".into(), setup, ice_lite: false, sctp_init, ..description }
    };
    let mut side = str0m_side();
    let mut changes = side.sdp_api();
    changes.add_channel("CLASP".to_owned());
    let (offer, pending) = changes.apply().unwrap();
    let read = Description::parse(&offer.to_sdp_string()).unwrap();
    assert_eq!(read.credentials, side.direct_api().local_ice_credentials());
    assert_eq!(&read.fingerprint, side.direct_api().local_dtls_fingerprint());
    assert!(read.sctp_init.is_some() && read.setup == SetupRole::ActPass);
    let answer = Description { mid: read.mid.clone(), ..ours(read.setup.counterpart(), fresh_init()) };
    let answer = answer.write(Origin { id: rng.random::<u64>() >> 2, version: 1 });
    side.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();

    let mut side = str0m_side();
    let offer = ours(SetupRole::ActPass, fresh_init()).write(Origin { id: 1, version: 1 });
    let answer = side.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer).unwrap()).unwrap();
    let read = Description::parse(&answer.to_sdp_string()).unwrap();
    assert_eq!((read.mid.as_str(), read.setup), ("0", SetupRole::Passive));
    assert_eq!(read.credentials, side.direct_api().local_ice_credentials());
    assert!(read.sctp_init.is_some());
}
