//! The CLASP wire format.
//!
//! Owns: frames, values, messages, addresses and patterns, P2P signal bodies. Does not own: sockets, clocks,
//! sessions, policy. `no_std` with `alloc`.
//!
//! # Contract
//! No input from outside can make this crate panic, recurse deeper than [`limits::MAX_DEPTH`], or write more than two
//! frames' worth of bytes ([`limits::MAX_FRAME_BYTES`]). Decoding borrows from the frame and allocates nothing, except for
//! MessagePack frames, which are rewritten into the compact form first, in a buffer the caller owns.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod limits;
pub mod message;
pub mod p2p;

mod address;
mod error;
mod header;
mod msgpack;
mod reader;
mod seq;
mod value;
mod writer;

pub use address::{Address, Pattern};
pub use error::{AddressError, AddressErrorKind, DecodeError, DecodeErrorKind, EncodeError};
pub use header::{Header, QoS};
pub use message::Message;
pub use seq::{Item, Iter, Seq};
pub use value::{Entry, Value};
