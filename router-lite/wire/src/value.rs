//! Values: what travels in SET, PUBLISH and SNAPSHOT.
//!
//! A decoded value borrows from the frame and allocates nothing: arrays and maps stay in their encoded form,
//! validated once, and are walked by iterators. A value to be sent is built from slices with
//! [`Seq::items`]. Integers of every width read as [`Value::Int`], floats as [`Value::Float`] (reference §4.2).

pub(crate) mod codec;

use crate::seq::Seq;

/// One value, borrowed from a frame or from the caller.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// No value (tag 00).
    Null,
    /// A boolean (tag 01).
    Bool(bool),
    /// A signed integer (read from tags 02–05, written as 05).
    Int(i64),
    /// A float (read from tags 06 and 07, written as 07).
    Float(f64),
    /// UTF-8 text (tag 08), at most 65 535 bytes.
    Str(&'a str),
    /// Raw bytes (tag 09), at most 65 535.
    Bytes(&'a [u8]),
    /// An array (tag 0A), at most 65 535 values.
    Array(Seq<'a, Value<'a>>),
    /// A map (tag 0B), at most 65 535 entries. With duplicate keys the last one wins.
    Map(Seq<'a, Entry<'a>>),
}

/// One entry of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl PartialEq for Value<'_> {
    /// Floats are compared by their bits (a NaN equals itself, 0 and -0 differ), maps entry by entry in order.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl<'a> Value<'a> {
    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The value under `key`, if this is a map that has it. The last of duplicate keys wins.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        match *self {
            Value::Map(entries) => entries.iter().filter(|entry| entry.key == key).last().map(|e| e.value),
            _ => None,
        }
    }
}
