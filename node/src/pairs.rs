//! The devices this one is paired with, and what is known of each.
//!
//! Owns: which pairs there are, and their names. Does not own: how a pair comes about, where the table is kept.

mod name;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::identity::DeviceId;
use crate::limits::{MAX_PAIR_ADDRESS_BYTES, MAX_PAIR_ADDRESSES, MAX_PAIRS};
use name::NameFault;

/// The secret two paired devices share. It is overwritten when dropped, and no `Debug` shows it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PairKey([u8; 32]);

impl PairKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes: a secret, for a MAC and for whoever stores it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for PairKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairKey(…)")
    }
}

/// A paired device.
#[derive(Debug, Clone)]
pub struct Pair {
    id: DeviceId,
    public_key: [u8; 32],
    last_addresses: Vec<String>,
    /// The SHA-256 fingerprint of its DTLS certificate.
    pub fingerprint: [u8; 32],
    /// What both share.
    pub key: PairKey,
    /// What it is called here. Unique in [`Pairs`], which sees to it.
    pub name: String,
    /// Whether it comes from a file that somebody else keeps, and is written nowhere by this program.
    pub provisioned: bool,
}

impl Pair {
    /// A pair with the device that has this Ed25519 public key, which calls itself `name`.
    #[must_use]
    pub fn new(public_key: [u8; 32], fingerprint: [u8; 32], key: PairKey, name: impl Into<String>) -> Self {
        let (id, name) = (DeviceId::of(&public_key), name.into());
        Self { id, public_key, last_addresses: Vec::new(), fingerprint, key, name, provisioned: false }
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        self.id
    }

    /// Its Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// Where it was met, as a router's URL or an address; the latest first, at most [`MAX_PAIR_ADDRESSES`].
    #[must_use]
    pub fn last_addresses(&self) -> &[String] {
        &self.last_addresses
    }

    /// Notes where it was met. The oldest is forgotten for a new one; what is empty, longer than [`MAX_PAIR_ADDRESS_BYTES`] or has
    /// control characters is no address. Says whether that changed anything.
    pub fn note_address(&mut self, address: &str) -> bool {
        let known = self.last_addresses.iter().position(|known| known == address);
        if known == Some(0) || !is_address(address) {
            return false;
        }
        match known {
            Some(place) => drop(self.last_addresses.remove(place)),
            None => self.last_addresses.truncate(MAX_PAIR_ADDRESSES - 1),
        }
        self.last_addresses.insert(0, address.to_owned());
        true
    }
}

/// The address in one of [`Pair::last_addresses`], which may be a URL; none in one that has a host's name.
pub(crate) fn socket_address(text: &str) -> Option<SocketAddr> {
    let text = text.strip_prefix("ws://").unwrap_or(text);
    text.split('/').next()?.parse().ok()
}

fn is_address(text: &str) -> bool {
    (1..=MAX_PAIR_ADDRESS_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// Why the table was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// There are [`MAX_PAIRS`] pairs.
    #[error("{MAX_PAIRS} devices are paired, and no more can be: forget one first")]
    Full,
    /// Another device is known by this certificate.
    #[error("{0} has the same certificate")]
    FingerprintTaken(DeviceId),
    /// There is no such pair.
    #[error("{0} is not paired")]
    Unknown(DeviceId),
    /// The pair comes from a file that this program does not write.
    #[error("this pair comes from a file in pairs.d: change it there")]
    Provisioned,
    /// The name belongs to another device.
    #[error("{0:?} is the name of another device")]
    NameTaken(String),
    /// No device may have this name.
    #[error("a name {0}")]
    Name(&'static str),
}

impl From<NameFault> for PairError {
    fn from(fault: NameFault) -> Self {
        Self::Name(fault.0)
    }
}

/// The paired devices, at most [`MAX_PAIRS`]: each id, each certificate and each name once.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    by_id: BTreeMap<DeviceId, Pair>,
}

impl Pairs {
    /// No pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.by_id.values()
    }

    /// The pair with the device of this id.
    #[must_use]
    pub fn by_id(&self, id: DeviceId) -> Option<&Pair> {
        self.by_id.get(&id)
    }

    /// The pair with the device of this name. Case does not matter in ASCII.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Pair> {
        self.iter().find(|pair| pair.name.eq_ignore_ascii_case(name))
    }

    /// The pair with the device that has this certificate.
    #[must_use]
    pub fn by_fingerprint(&self, fingerprint: &[u8; 32]) -> Option<&Pair> {
        self.iter().find(|pair| pair.fingerprint == *fingerprint)
    }

    /// Adds a pair; one with the same device gives way to it. The pair gets the name that the device gave, without what no name may
    /// have, and with `-2`, `-3` … behind it where another device has that name already.
    ///
    /// # Errors
    /// [`PairError::Full`], [`PairError::FingerprintTaken`]; the table is as it was.
    pub fn insert(&mut self, mut pair: Pair) -> Result<&Pair, PairError> {
        let id = pair.id;
        if self.by_id.len() >= MAX_PAIRS && !self.by_id.contains_key(&id) {
            return Err(PairError::Full);
        }
        if let Some(other) = self.by_fingerprint(&pair.fingerprint).filter(|other| other.id != id) {
            return Err(PairError::FingerprintTaken(other.id));
        }
        let wanted = name::cleaned(&pair.name).unwrap_or_else(|| name::of_nameless(id));
        pair.name = name::unique(&wanted, |name| self.is_taken(name, id));
        self.by_id.remove(&id);
        Ok(self.by_id.entry(id).or_insert(pair))
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// [`PairError::Unknown`], [`PairError::Provisioned`], [`PairError::Name`], [`PairError::NameTaken`].
    pub fn rename(&mut self, id: DeviceId, name: &str) -> Result<(), PairError> {
        name::check(name)?;
        if self.is_taken(name, id) {
            return Err(PairError::NameTaken(name.to_owned()));
        }
        name.clone_into(&mut self.own(id)?.name);
        Ok(())
    }

    /// Forgets a device, and returns what was known of it.
    ///
    /// # Errors
    /// [`PairError::Unknown`], and [`PairError::Provisioned`]: such a pair would be back after a restart.
    pub fn remove(&mut self, id: DeviceId) -> Result<Pair, PairError> {
        self.own(id)?;
        self.by_id.remove(&id).ok_or(PairError::Unknown(id))
    }

    /// Notes where a device was met ([`Pair::note_address`]). Says whether that changed anything.
    pub fn note_address(&mut self, id: DeviceId, address: &str) -> bool {
        self.by_id.get_mut(&id).is_some_and(|pair| pair.note_address(address))
    }

    /// A pair that is not provisioned.
    fn own(&mut self, id: DeviceId) -> Result<&mut Pair, PairError> {
        match self.by_id.get_mut(&id) {
            None => Err(PairError::Unknown(id)),
            Some(pair) if pair.provisioned => Err(PairError::Provisioned),
            Some(pair) => Ok(pair),
        }
    }

    /// Whether a device other than this one has the name.
    fn is_taken(&self, name: &str, id: DeviceId) -> bool {
        self.by_name(name).is_some_and(|pair| pair.id != id)
    }
}

#[cfg(test)]
mod tests;
