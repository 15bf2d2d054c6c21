//! What is in the files: JSON with a version. Each field is checked, and what is wrong is told by its name and never by its value,
//! which may be a secret.

mod tokens;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::identity::{DeviceId, Identity};
use crate::limits::MAX_PAIRS;
use crate::pairs::{Pair, PairKey, Pairs};

pub(super) use tokens::{read_tokens, write_tokens};

/// The version this program reads and writes.
const VERSION: u64 = 1;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Such as `pairs[3].key`; empty for the whole file.
    field: String,
    why: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.why),
            field => write!(f, "{field}: {}", self.why),
        }
    }
}

fn fault(field: impl Into<String>, why: impl Into<String>) -> Fault {
    Fault { field: field.into(), why: why.into() }
}

#[derive(Serialize)]
struct IdentityFile<'a> {
    version: u64,
    id: DeviceId,
    fingerprint: Hex<'a>,
    secret_key: Hex<'a>,
    certificate: Hex<'a>,
    private_key: Hex<'a>,
}

#[derive(Serialize)]
struct PairsFile<'a> {
    version: u64,
    pairs: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    id: DeviceId,
    name: &'a str,
    public_key: Hex<'a>,
    fingerprint: Hex<'a>,
    key: Hex<'a>,
    last_addresses: &'a [String],
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(HEXLOWER.encode(self.0)))
    }
}

/// `identity.json`
pub(super) fn write_identity(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let certificate = identity.certificate();
    text(&IdentityFile {
        version: VERSION,
        id: identity.id(),
        fingerprint: Hex(identity.fingerprint()),
        secret_key: Hex(identity.secret_key()),
        certificate: Hex(certificate.der()),
        private_key: Hex(certificate.private_key_der()),
    })
}

/// `pairs.json`, with all but the provisioned ones.
pub(super) fn write_pairs(pairs: &Pairs) -> Zeroizing<Vec<u8>> {
    let own = pairs.iter().filter(|pair| !pair.provisioned);
    let records = own.map(|pair| Record {
        id: pair.id(),
        name: &pair.name,
        public_key: Hex(pair.public_key()),
        fingerprint: Hex(&pair.fingerprint),
        key: Hex(pair.key.as_bytes()),
        last_addresses: pair.last_addresses(),
    });
    text(&PairsFile { version: VERSION, pairs: records.collect() })
}

fn text(file: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(file).expect("text, numbers and lists can be written");
    text.push(b'\n');
    Zeroizing::new(text)
}

/// Reads `identity.json`.
pub(super) fn read_identity(bytes: &[u8]) -> Result<Identity, Fault> {
    let mut fields = versioned(bytes)?;
    let (id, fingerprint) = (fields.id("id")?, fields.key("fingerprint")?);
    let secret_key = Zeroizing::new(fields.key("secret_key")?);
    let (certificate, private_key) = (fields.hex("certificate")?, fields.hex("private_key")?);
    fields.finish()?;
    let identity = Identity::from_parts(&secret_key, &certificate, &private_key)
        .map_err(|error| fault("certificate and private_key", error.to_string()))?;
    if identity.id() != id {
        return Err(fault("secret_key", "is not that of the id"));
    }
    if *identity.fingerprint() != fingerprint {
        return Err(fault("certificate", "is not that of the fingerprint"));
    }
    Ok(identity)
}

/// Reads `pairs.json`, or a file of provisioned pairs: every name in it may be had, and no two are of one device.
pub(super) fn read_pairs(bytes: &[u8]) -> Result<Pairs, Fault> {
    let mut fields = versioned(bytes)?;
    let Value::Array(records) = fields.take("pairs")? else { return Err(fault("pairs", "is not a list")) };
    fields.finish()?;
    if records.len() > MAX_PAIRS {
        return Err(fault("pairs", format!("has {} records, and {MAX_PAIRS} may be", records.len())));
    }
    let mut pairs = Pairs::new();
    for (number, record) in records.into_iter().enumerate() {
        let place = format!("pairs[{number}].");
        let pair = read_record(Fields::of(record, &place)?)?;
        let (id, name) = (pair.id(), pair.name.clone());
        if pairs.by_id(id).is_some() {
            return Err(fault(place + "id", "is there twice"));
        }
        match pairs.insert(pair) {
            Err(error) => return Err(fault(place + "fingerprint", error.to_string())),
            Ok(pair) if pair.name != name => {
                let why = "is there twice, or has characters no name has, or is too long";
                return Err(fault(place + "name", why));
            }
            Ok(_) => {}
        }
    }
    Ok(pairs)
}

fn read_record(mut fields: Fields) -> Result<Pair, Fault> {
    let (id, name) = (fields.id("id")?, fields.text("name")?);
    let (public_key, fingerprint) = (fields.key("public_key")?, fields.key("fingerprint")?);
    let key = PairKey::new(fields.key("key")?);
    let addresses = match fields.take("last_addresses") {
        Ok(Value::Array(addresses)) => addresses,
        Ok(_) => return Err(fields.fault("last_addresses", "is not a list")),
        Err(_) => Vec::new(), // nobody who provisions a pair knows any
    };
    let mut pair = Pair::new(public_key, fingerprint, key, name);
    if pair.id() != id {
        return Err(fields.fault("public_key", "is not that of the id"));
    }
    for address in addresses.iter().rev() {
        if !address.as_str().is_some_and(|address| pair.note_address(address)) {
            return Err(fields.fault("last_addresses", "holds what is no address, or one twice"));
        }
    }
    if pair.last_addresses().len() != addresses.len() {
        return Err(fields.fault("last_addresses", "holds too many"));
    }
    fields.finish()?;
    Ok(pair)
}

/// The fields of a file behind its version.
fn versioned(bytes: &[u8]) -> Result<Fields, Fault> {
    // Not serde's own message: that may quote what it found.
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        fault("", format!("is not JSON: line {}, column {}", error.line(), error.column()))
    })?;
    let mut fields = Fields::of(value, "")?;
    match fields.take("version")?.as_u64() {
        Some(VERSION) => Ok(fields),
        Some(newer) if newer > VERSION => {
            Err(fault("version", format!("is {newer}, of a newer program; this one knows {VERSION}")))
        }
        _ => Err(fault("version", format!("is not {VERSION}"))),
    }
}

/// The fields of an object that have not been taken yet.
struct Fields {
    object: Map<String, Value>,
    /// What stands in front of their names.
    place: String,
}

impl Fields {
    fn of(value: Value, place: &str) -> Result<Self, Fault> {
        match value {
            Value::Object(object) => Ok(Self { object, place: place.to_owned() }),
            _ => Err(fault(place.trim_end_matches('.'), "is not an object")),
        }
    }

    fn fault(&self, name: &str, why: &str) -> Fault {
        fault(format!("{}{name}", self.place), why)
    }

    fn take(&mut self, name: &str) -> Result<Value, Fault> {
        self.object.remove(name).ok_or_else(|| self.fault(name, "is missing"))
    }

    fn text(&mut self, name: &str) -> Result<String, Fault> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(self.fault(name, "is not text")),
        }
    }

    fn id(&mut self, name: &str) -> Result<DeviceId, Fault> {
        let text = self.text(name)?;
        text.parse().map_err(|error| self.fault(name, &format!("is {error}")))
    }

    fn hex(&mut self, name: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut text = self.text(name)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        text.zeroize();
        bytes.map(Zeroizing::new).map_err(|_| self.fault(name, "is not hexadecimal"))
    }

    fn key(&mut self, name: &str) -> Result<[u8; 32], Fault> {
        let bytes = self.hex(name)?;
        bytes
            .as_slice()
            .try_into()
            .map_err(|_| self.fault(name, "has not 32 bytes, as 64 hexadecimal digits"))
    }

    /// Whether there is nothing this program does not know, and would lose.
    fn finish(self) -> Result<(), Fault> {
        match self.object.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.fault(&name.escape_debug().to_string(), "is not a field of this version")),
        }
    }
}

#[cfg(test)]
mod tests;
