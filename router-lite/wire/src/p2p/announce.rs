//! Who is there, and what they can do.

use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use crate::{
    error::EncodeError,
    p2p::{ANNOUNCE_ADDRESS, MAX_FEATURES, SignalError, signal::encode_event},
    seq::Seq,
    value::{Entry, Value},
};

/// What a peer publishes to [`ANNOUNCE_ADDRESS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PeerAnnounce<'a> {
    /// The peer's session.
    pub session_id: &'a str,
    /// Whether it takes connections.
    pub p2p_capable: bool,
    /// What else it can do.
    pub features: FeatureList<'a>,
    /// What people call it. Our extension: stock peers never send it and ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
}

impl<'a> PeerAnnounce<'a> {
    /// Reads the value of a PUBLISH to [`ANNOUNCE_ADDRESS`]. `features` may be missing; a `name` that is not text is
    /// somebody else's extension and ignored.
    pub fn from_value(value: Value<'a>) -> Result<Self, SignalError> {
        let Value::Map(entries) = value else { return Err(SignalError::NotAMap) };
        let [mut session_id, mut p2p_capable, mut features, mut name] = [None; 4];
        for entry in entries {
            let place = match entry.key {
                "session_id" => &mut session_id,
                "p2p_capable" => &mut p2p_capable,
                "features" => &mut features,
                "name" => &mut name,
                _ => continue,
            };
            *place = Some(entry.value);
        }
        Ok(Self {
            session_id: match session_id.ok_or(SignalError::Missing("session_id"))? {
                Value::Str(text) => text,
                _ => return Err(SignalError::WrongType("session_id")),
            },
            p2p_capable: match p2p_capable.ok_or(SignalError::Missing("p2p_capable"))? {
                Value::Bool(capable) => capable,
                _ => return Err(SignalError::WrongType("p2p_capable")),
            },
            features: features.map_or(Ok(FeatureList::default()), FeatureList::from_value)?,
            name: name.as_ref().and_then(Value::as_str),
        })
    }

    /// Appends the frame that announces this peer, in the stock client's shape. On an error `out` is left as it was.
    pub fn encode_publish(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let features = self.features.items.map(Value::Str);
        let features = features.get(..self.features.len()).unwrap_or_default();
        let entries = [
            Entry { key: "session_id", value: Value::Str(self.session_id) },
            Entry { key: "p2p_capable", value: Value::Bool(self.p2p_capable) },
            Entry { key: "features", value: Value::Array(Seq::items(features)) },
            Entry { key: "name", value: Value::Str(self.name.unwrap_or_default()) },
        ];
        let len = if self.name.is_some() { 4 } else { 3 };
        encode_event(ANNOUNCE_ADDRESS, entries.get(..len).unwrap_or_default(), out)
    }
}

/// At most [`MAX_FEATURES`] names.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeatureList<'a> {
    items: [&'a str; MAX_FEATURES],
    len: usize,
}

impl<'a> FeatureList<'a> {
    /// The first [`MAX_FEATURES`] of `names`.
    #[must_use]
    pub fn new(names: &[&'a str]) -> Self {
        names.iter().fold(Self::default(), |list, name| list.with(name))
    }

    /// Adds one name, unless the list is full.
    #[must_use]
    pub fn with(mut self, name: &'a str) -> Self {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = name;
            self.len += 1;
        }
        self
    }

    /// The names, in the sender's order.
    #[must_use]
    pub fn as_slice(&self) -> &[&'a str] {
        self.items.get(..self.len).unwrap_or_default()
    }

    /// How many names there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `name` is among them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.as_slice().contains(&name)
    }

    fn from_value(value: Value<'a>) -> Result<Self, SignalError> {
        let Value::Array(names) = value else { return Err(SignalError::WrongType("features")) };
        names.iter().try_fold(Self::default(), |list, name| match name {
            Value::Str(name) => Ok(list.with(name)),
            _ => Err(SignalError::WrongType("features")),
        })
    }
}

impl PartialEq for FeatureList<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for FeatureList<'_> {}

impl Serialize for FeatureList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.as_slice())
    }
}
