//! The messages we exchange with a server: which attributes go in, and which are looked at. How they are encoded is the business
//! of `stun-types`; the attributes of TURN (RFC 8656 §18), which it does not know by name, are added here.

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress, XorSocketAddr,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType,
    MessageWriteVec, Method, StunWriteError, TransactionId,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};

use super::config::Credentials;

pub(super) const BINDING: Method = stun_types::message::BINDING;
pub(super) const ALLOCATE: Method = Method::new(0x003);
pub(super) const REFRESH: Method = Method::new(0x004);
pub(super) const SEND: Method = Method::new(0x006);
pub(super) const DATA: Method = Method::new(0x007);
pub(super) const CREATE_PERMISSION: Method = Method::new(0x008);
pub(super) const CHANNEL_BIND: Method = Method::new(0x009);

pub(super) const CHANNEL_NUMBER: AttributeType = AttributeType::new(0x000C);
pub(super) const LIFETIME: AttributeType = AttributeType::new(0x000D);
pub(super) const XOR_PEER_ADDRESS: AttributeType = AttributeType::new(0x0012);
pub(super) const DATA_ATTRIBUTE: AttributeType = AttributeType::new(0x0013);
pub(super) const XOR_RELAYED_ADDRESS: AttributeType = AttributeType::new(0x0016);
const REQUESTED_ADDRESS_FAMILY: AttributeType = AttributeType::new(0x0017);
pub(super) const REQUESTED_TRANSPORT: AttributeType = AttributeType::new(0x0019);

/// UDP in REQUESTED-TRANSPORT, with the reserved bytes behind it.
const UDP: [u8; 4] = [17, 0, 0, 0];
/// IPv6 in REQUESTED-ADDRESS-FAMILY; IPv4 is what a server gives without being asked.
const IPV6: [u8; 4] = [2, 0, 0, 0];

/// ChannelData: channel number and length in front of the data (RFC 8656 §12.4).
const CHANNEL_HEADER: usize = 4;

/// What the server wants to see with each request, once it has told its realm.
pub(super) struct Auth {
    user: String,
    realm: String,
    nonce: String,
    key: IntegrityKey,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<credentials>")
    }
}

impl Auth {
    pub(super) fn new(credentials: &Credentials, realm: &str, nonce: &str) -> Self {
        let Credentials { user, password } = credentials.clone();
        let key = LongTermKeyCredentials::new(user.clone(), password, realm.to_owned());
        // A server that knows better than MD5 and SHA-1 takes them as well (RFC 8489 §9.2.5).
        let key = key.make_key(IntegrityAlgorithm::Sha1);
        Self { user, realm: realm.to_owned(), nonce: nonce.to_owned(), key }
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Binding,
    Allocate {
        lifetime: u32,
        ipv6: bool,
    },
    /// A lifetime of 0 gives the allocation back.
    Refresh {
        lifetime: u32,
    },
    CreatePermission(SocketAddr),
    ChannelBind(u16, SocketAddr),
}

impl Ask {
    /// The request as it goes out.
    pub(super) fn encode(self, id: TransactionId, auth: Option<&Auth>) -> Result<Vec<u8>, StunWriteError> {
        let method = match self {
            Self::Binding => BINDING,
            Self::Allocate { .. } => ALLOCATE,
            Self::Refresh { .. } => REFRESH,
            Self::CreatePermission(_) => CREATE_PERMISSION,
            Self::ChannelBind(..) => CHANNEL_BIND,
        };
        let kind = MessageType::from_class_method(MessageClass::Request, method);
        let mut message = Message::builder(kind, id, MessageWriteVec::with_capacity(128));
        match self {
            Self::Binding => {}
            Self::Allocate { lifetime, ipv6 } => {
                message.add_attribute(&RawAttribute::new(REQUESTED_TRANSPORT, &UDP))?;
                message.add_attribute(&RawAttribute::new(LIFETIME, &lifetime.to_be_bytes()))?;
                if ipv6 {
                    message.add_attribute(&RawAttribute::new(REQUESTED_ADDRESS_FAMILY, &IPV6))?;
                }
            }
            Self::Refresh { lifetime } => {
                message.add_attribute(&RawAttribute::new(LIFETIME, &lifetime.to_be_bytes()))?;
            }
            Self::CreatePermission(peer) => {
                message.add_attribute(&XorSocketAddr::new(peer, id).to_raw(XOR_PEER_ADDRESS))?;
            }
            Self::ChannelBind(number, peer) => {
                let [high, low] = number.to_be_bytes();
                message.add_attribute(&RawAttribute::new(CHANNEL_NUMBER, &[high, low, 0, 0]))?;
                message.add_attribute(&XorSocketAddr::new(peer, id).to_raw(XOR_PEER_ADDRESS))?;
            }
        }
        if let Some(auth) = auth {
            message.add_attribute(&Username::new(&auth.user)?)?;
            message.add_attribute(&Realm::new(&auth.realm)?)?;
            message.add_attribute(&Nonce::new(&auth.nonce)?)?;
            message.add_message_integrity_with_key(&auth.key, IntegrityAlgorithm::Sha1)?;
        }
        message.add_fingerprint()?;
        Ok(message.finish())
    }
}

/// A Send indication: data for a peer that has no channel (RFC 8656 §11.1).
pub(super) fn send_indication(
    id: TransactionId,
    peer: SocketAddr,
    data: &[u8],
) -> Result<Vec<u8>, StunWriteError> {
    let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
    let mut message = Message::builder(kind, id, MessageWriteVec::with_capacity(64 + data.len()));
    message.add_attribute(&XorSocketAddr::new(peer, id).to_raw(XOR_PEER_ADDRESS))?;
    message.add_attribute(&RawAttribute::new(DATA_ATTRIBUTE, data))?;
    Ok(message.finish())
}

/// Data for the peer a channel is bound to. `None` if it is longer than any datagram.
pub(super) fn channel_data(number: u16, data: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(data.len()).ok()?;
    let mut out = Vec::with_capacity(CHANNEL_HEADER + data.len());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
    Some(out)
}

/// What a server sent.
#[derive(Debug)]
pub(super) enum Received<'a> {
    /// The answer to a request.
    Response(Response<'a>),
    /// What a peer sent to our relayed address.
    FromPeer(SocketAddr, &'a [u8]),
    /// The same, on this channel.
    OnChannel(u16, &'a [u8]),
}

/// Reads a datagram of a server; `None` if it is nothing a server sends.
pub(super) fn parse(datagram: &[u8]) -> Option<Received<'_>> {
    match datagram.first()? {
        0x40..=0x4F => {
            let (header, rest) = datagram.split_at_checked(CHANNEL_HEADER)?;
            let &[n1, n2, l1, l2] = header else { return None };
            let data = rest.get(..usize::from(u16::from_be_bytes([l1, l2])))?;
            Some(Received::OnChannel(u16::from_be_bytes([n1, n2]), data))
        }
        0x00..=0x03 => {
            let message = Message::from_bytes(datagram).ok()?;
            if message.is_response() {
                return Some(Received::Response(Response(message)));
            }
            if !(message.has_method(DATA) && message.has_class(MessageClass::Indication)) {
                return None;
            }
            let peer = xor_address(&message, XOR_PEER_ADDRESS)?;
            let (offset, data) = message.raw_attribute_and_offset(DATA_ATTRIBUTE)?;
            let begin = offset + CHANNEL_HEADER; // an attribute's type and length are as long
            let len = data.value.len();
            Some(Received::FromPeer(peer, datagram.get(begin..begin + len)?))
        }
        _ => None,
    }
}

pub(super) fn xor_address(message: &Message<'_>, kind: AttributeType) -> Option<SocketAddr> {
    let raw = message.raw_attribute(kind)?;
    XorSocketAddr::from_raw(&raw).ok().map(|address| address.addr(message.transaction_id()))
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Response<'a>(Message<'a>);

impl Response<'_> {
    pub(super) fn id(&self) -> TransactionId {
        self.0.transaction_id()
    }

    /// The error code and what the server says about it; `None` if it did what was asked.
    pub(super) fn error(&self) -> Option<(u16, String)> {
        if self.0.has_class(MessageClass::Success) {
            return None;
        }
        match self.0.attribute::<ErrorCode>() {
            Ok(error) => Some((error.code(), error.reason().chars().take(64).collect())),
            Err(_) => Some((ErrorCode::SERVER_ERROR, "no error code".to_owned())),
        }
    }

    /// The address our request came from, as the server saw it.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        let mapped = self.0.attribute::<XorMappedAddress>().ok()?;
        Some(mapped.addr(self.id()))
    }

    /// The address the server listens at for us.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        xor_address(&self.0, XOR_RELAYED_ADDRESS)
    }

    /// How long what was asked for lasts, in seconds.
    pub(super) fn lifetime(&self) -> Option<u32> {
        let raw = self.0.raw_attribute(LIFETIME)?;
        let bytes = <[u8; 4]>::try_from(raw.value.as_ref()).ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// What the server wants credentials for, and the nonce to use.
    pub(super) fn challenge(&self) -> Option<(String, String)> {
        let realm = self.0.attribute::<Realm>().ok()?;
        let nonce = self.0.attribute::<Nonce>().ok()?;
        Some((realm.realm().to_owned(), nonce.nonce().to_owned()))
    }

    /// Whether somebody wrote it who knows the password.
    pub(super) fn is_authentic(&self, auth: &Auth) -> bool {
        self.0.validate_integrity_with_key(&auth.key).is_ok()
    }
}

#[cfg(test)]
mod tests;
