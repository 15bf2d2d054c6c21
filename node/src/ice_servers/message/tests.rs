use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use stun_types::message::BINDING;

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An answer of a public server to a request of ours: no MESSAGE-INTEGRITY, a SOFTWARE attribute, XOR-MAPPED-ADDRESS (RFC 5769
/// §2.2, without what only its short-term credentials add).
const RECORDED: [u8; 48] = [
    0x01, 0x01, 0x00, 0x1C, 0x21, 0x12, 0xA4, 0x42, 0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA,
    0x87, 0xDF, 0xAE, 0x80, 0x22, 0x00, 0x0B, b't', b'e', b's', b't', b' ', b'v', b'e', b'c', b't', b'o',
    b'r', 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43,
];

#[test]
fn a_recorded_answer_tells_our_address() {
    let Some(Received::Response(response)) = parse(&RECORDED) else { panic!("not read") };
    assert_eq!(response.id(), 0xB7E7_A701_BC34_D686_FA87_DFAE.into());
    assert_eq!((response.error(), response.mapped()), (None, Some(address("192.0.2.1:32853"))));
}

#[test]
fn requests_carry_what_the_rfc_asks_for() {
    let credentials = Credentials { user: "alice".into(), password: "sesame".into() };
    let auth = Auth::new(&credentials, "realm", "nonce");
    let peer = address("192.0.2.9:9");
    let asks = [
        (Ask::Binding, BINDING, vec![]),
        (
            Ask::Allocate { lifetime: 600, ipv6: true },
            ALLOCATE,
            vec![REQUESTED_TRANSPORT, LIFETIME, REQUESTED_ADDRESS_FAMILY],
        ),
        (Ask::Refresh { lifetime: 0 }, REFRESH, vec![LIFETIME]),
        (Ask::CreatePermission(peer), CREATE_PERMISSION, vec![XOR_PEER_ADDRESS]),
        (Ask::ChannelBind(0x4000, peer), CHANNEL_BIND, vec![CHANNEL_NUMBER, XOR_PEER_ADDRESS]),
    ];
    for (ask, method, attributes) in asks {
        let bytes = ask.encode(7.into(), Some(&auth)).unwrap();
        let message = Message::from_bytes(&bytes).unwrap();
        assert!(message.has_method(method) && message.has_class(MessageClass::Request), "{ask:?}");
        assert!(attributes.iter().all(|kind| message.raw_attribute(*kind).is_some()), "{ask:?}");
        assert!(message.validate_integrity_with_key(&auth.key).is_ok(), "{ask:?}");
        let (user, nonce) = (message.attribute::<Username>().unwrap(), message.attribute::<Nonce>().unwrap());
        assert_eq!((user.username(), nonce.nonce()), ("alice", "nonce"), "{ask:?}");
        assert!(message.raw_attribute(AttributeType::new(0x8028)).is_some(), "fingerprint of {ask:?}");
        if let Ask::ChannelBind(..) = ask {
            assert_eq!(xor_address(&message, XOR_PEER_ADDRESS), Some(peer));
            let other =
                Auth::new(&Credentials { password: "other".into(), ..credentials.clone() }, "realm", "nonce");
            assert!(message.validate_integrity_with_key(&other.key).is_err());
        }
    }
}

#[test]
fn the_key_is_the_one_of_rfc_8489() {
    // §9.2.2: SHA-1 over the MD5 of "user:realm:pass"; the key of its example is 8493fbc53ba582fb4c044c456bdc40eb.
    let credentials = Credentials { user: "user".into(), password: "pass".into() };
    let auth = Auth::new(&credentials, "realm", "n");
    let bytes = Ask::Refresh { lifetime: 0 }.encode(1.into(), Some(&auth)).unwrap();
    let at = bytes.len() - 8 - 20; // in front of the fingerprint
    let key =
        [0x84, 0x93, 0xFB, 0xC5, 0x3B, 0xA5, 0x82, 0xFB, 0x4C, 0x04, 0x4C, 0x45, 0x6B, 0xDC, 0x40, 0xEB];
    let mut signed = bytes[..at - 4].to_vec();
    let len = u16::try_from(at).unwrap(); // up to and with MESSAGE-INTEGRITY, without the header of 20 bytes
    signed[2..4].copy_from_slice(&len.to_be_bytes());
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(&key).unwrap();
    mac.update(&signed);
    mac.verify_slice(&bytes[at..at + 20]).unwrap();
}

#[test]
fn data_travels_in_channels_and_in_indications() {
    let packed = channel_data(0x4001, b"hello").unwrap();
    assert!(matches!(parse(&packed), Some(Received::OnChannel(0x4001, b"hello"))));
    // Padding, which UDP does not need, may be there.
    let padded = [packed.as_slice(), &[0; 3]].concat();
    assert!(matches!(parse(&padded), Some(Received::OnChannel(0x4001, b"hello"))));
    assert!(parse(&packed[..8]).is_none(), "shorter than it says");
    assert!(channel_data(0x4001, &[0; 65_536]).is_none());

    let peer = address("[2001:db8::9]:9");
    let sent = send_indication(3.into(), peer, b"hello").unwrap();
    assert!(parse(&sent).is_none(), "servers send Data, not Send");
    let mut data = sent;
    data[1] = 0x17; // Data indication
    assert!(matches!(parse(&data), Some(Received::FromPeer(p, b"hello")) if p == peer));
}

#[test]
fn no_datagram_makes_the_parser_panic() {
    let mut rng = StdRng::from_seed([9; 32]);
    let peer = address("192.0.2.9:9");
    let mut data = send_indication(3.into(), peer, b"some data").unwrap();
    data[1] = 0x17;
    let seeds = [RECORDED.to_vec(), data, channel_data(0x4001, b"hello").unwrap()];
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        if let Some(Received::Response(response)) = parse(&bytes) {
            let _all = (response.error(), response.mapped(), response.relayed(), response.lifetime());
            let _challenge = response.challenge();
        }
        let mut noise = [0; 64];
        rng.fill_bytes(&mut noise);
        noise[0] &= 0x41;
        let _parsed = parse(&noise[..round % 64]);
    }
}
