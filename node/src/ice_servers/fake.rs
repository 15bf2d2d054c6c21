//! A STUN and TURN server for the tests: it keeps the rules that matter to a client, and breaks them when told to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, Nonce, RawAttribute, Realm, XorMappedAddress, XorSocketAddr};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType,
    MessageWriteVec, Method,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};

use super::message::{
    ALLOCATE, BINDING, CHANNEL_BIND, CHANNEL_NUMBER, CREATE_PERMISSION, DATA, DATA_ATTRIBUTE, LIFETIME,
    REFRESH, REQUESTED_TRANSPORT, SEND, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, channel_data, xor_address,
};

const REALM: &str = "test";

pub(super) struct Held {
    pub(super) relayed: SocketAddr,
    pub(super) until: Instant,
    pub(super) permissions: BTreeMap<IpAddr, Instant>,
    pub(super) channels: BTreeMap<u16, (SocketAddr, Instant)>,
}

pub(super) struct Fake {
    pub(super) mapped: SocketAddr,
    pub(super) silent: bool,
    pub(super) password: String,
    pub(super) nonce: String,
    pub(super) lifetime: u32,
    /// Answer the next request of this kind with this error.
    pub(super) refuse: Option<(Method, u16)>,
    pub(super) held: Option<Held>,
    allocations: u16,
    /// Every request, in order.
    pub(super) asked: Vec<Method>,
    /// What went on to a peer, and whether it came in a channel.
    pub(super) relayed: Vec<(SocketAddr, Vec<u8>, bool)>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            mapped: "203.0.113.1:6000".parse().unwrap(),
            silent: false,
            password: "sesame".to_owned(),
            nonce: "first".to_owned(),
            lifetime: 600,
            refuse: None,
            held: None,
            allocations: 0,
            asked: Vec::new(),
            relayed: Vec::new(),
        }
    }

    fn key(&self) -> IntegrityKey {
        LongTermKeyCredentials::new("alice".into(), self.password.clone(), REALM.into())
            .make_key(IntegrityAlgorithm::Sha1)
    }

    /// Takes a datagram of the client's and returns the answer.
    pub(super) fn handle(&mut self, now: Instant, bytes: &[u8]) -> Option<Vec<u8>> {
        self.held.take_if(|held| held.until <= now);
        if let Some(held) = &mut self.held {
            held.channels.retain(|_, (_, until)| now < *until);
        }
        if self.silent {
            return None;
        }
        if let Some(0x40..=0x4F) = bytes.first() {
            let number = u16::from_be_bytes([bytes[0], bytes[1]]);
            let (peer, until) = self.held.as_ref()?.channels.get(&number)?;
            assert!(now < *until, "sent on a channel that has run out");
            self.relayed.push((*peer, bytes[4..].to_vec(), true));
            return None;
        }
        let message = Message::from_bytes(bytes).unwrap();
        if message.has_class(MessageClass::Indication) {
            assert!(message.has_method(SEND));
            let peer = xor_address(&message, XOR_PEER_ADDRESS).unwrap();
            let data = message.raw_attribute(DATA_ATTRIBUTE).unwrap().value.to_vec();
            if self.held.as_ref()?.permissions.get(&peer.ip()).is_some_and(|until| now < *until) {
                self.relayed.push((peer, data, false));
            }
            return None;
        }
        self.asked.push(message.method());
        if let Some((_, code)) = self.refuse.take_if(|(method, _)| message.has_method(*method)) {
            return Some(self.error(&message, code));
        }
        if message.has_method(BINDING) {
            let mapped = XorMappedAddress::new(self.mapped, message.transaction_id());
            return Some(self.success(&message, |answer| answer.add_attribute(&mapped).unwrap(), false));
        }
        let Ok(nonce) = message.attribute::<Nonce>() else { return Some(self.error(&message, 401)) };
        if message.validate_integrity_with_key(&self.key()).is_err() {
            return Some(self.error(&message, 401));
        }
        if nonce.nonce() != self.nonce {
            return Some(self.error(&message, 438));
        }
        Some(self.authorized(now, &message))
    }

    fn authorized(&mut self, now: Instant, message: &Message<'_>) -> Vec<u8> {
        let lifetime = || message.raw_attribute(LIFETIME).map(|raw| raw.value.to_vec());
        let granted = RawAttribute::new(LIFETIME, &self.lifetime.to_be_bytes()).into_owned();
        let until = now + Duration::from_secs(self.lifetime.into());
        match message.method() {
            ALLOCATE if self.held.is_some() => self.error(message, 437),
            ALLOCATE => {
                assert!(message.raw_attribute(REQUESTED_TRANSPORT).is_some());
                self.allocations += 1;
                let relayed = SocketAddr::from(([198, 51, 100, 1], 50_000 + self.allocations));
                let (permissions, channels) = (BTreeMap::new(), BTreeMap::new());
                self.held = Some(Held { relayed, until, permissions, channels });
                let id = message.transaction_id();
                let add = |answer: &mut MessageWriteVec| {
                    answer
                        .add_attribute(&XorSocketAddr::new(relayed, id).to_raw(XOR_RELAYED_ADDRESS))
                        .unwrap();
                    answer.add_attribute(&granted).unwrap();
                };
                self.success(message, add, true)
            }
            REFRESH if lifetime().is_some_and(|bytes| bytes == [0; 4]) => {
                self.held = None;
                self.success(message, |_| {}, true)
            }
            _ if self.held.is_none() => self.error(message, 437),
            REFRESH => {
                self.held.as_mut().unwrap().until = until;
                self.success(message, |answer| answer.add_attribute(&granted).unwrap(), true)
            }
            method => {
                let peer = xor_address(message, XOR_PEER_ADDRESS).unwrap();
                let held = self.held.as_mut().unwrap();
                if method == CHANNEL_BIND {
                    let raw = message.raw_attribute(CHANNEL_NUMBER).unwrap();
                    let number = u16::from_be_bytes([raw.value[0], raw.value[1]]);
                    let other = held.channels.iter().find(|(n, (p, _))| (**n == number) != (*p == peer));
                    assert!(other.is_none(), "a channel has one peer, a peer one channel");
                    held.channels.insert(number, (peer, now + Duration::from_secs(600)));
                } else {
                    assert_eq!(method, CREATE_PERMISSION);
                }
                held.permissions.insert(peer.ip(), now + Duration::from_secs(300));
                self.success(message, |_| {}, true)
            }
        }
    }

    fn success(&self, to: &Message<'_>, add: impl FnOnce(&mut MessageWriteVec), signed: bool) -> Vec<u8> {
        let mut answer = Message::builder_success(to, MessageWriteVec::new());
        add(&mut answer);
        if signed {
            answer.add_message_integrity_with_key(&self.key(), IntegrityAlgorithm::Sha1).unwrap();
        }
        answer.finish()
    }

    fn error(&self, to: &Message<'_>, code: u16) -> Vec<u8> {
        let mut answer = Message::builder_error(to, MessageWriteVec::new());
        answer.add_attribute(&ErrorCode::new(code, "no").unwrap()).unwrap();
        if matches!(code, 401 | 438) {
            answer.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
            answer.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        }
        answer.finish()
    }

    /// What the server sends to the client when a peer sends to its relayed address.
    pub(super) fn hear_peer(&self, now: Instant, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let held = self.held.as_ref()?;
        held.permissions.get(&peer.ip()).filter(|until| now < **until)?;
        if let Some((number, _)) = held.channels.iter().find(|(_, (p, _))| *p == peer) {
            return channel_data(*number, data);
        }
        let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
        let mut message = Message::builder(kind, 5.into(), MessageWriteVec::new());
        message.add_attribute(&XorSocketAddr::new(peer, 5.into()).to_raw(XOR_PEER_ADDRESS)).unwrap();
        message.add_attribute(&RawAttribute::new(DATA_ATTRIBUTE, data)).unwrap();
        Some(message.finish())
    }
}
