//! Message type codes, the first byte of a payload (reference §3).

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const ANNOUNCE: u8 = 0x03;
pub(crate) const FEDERATION_SYNC: u8 = 0x04;
pub(crate) const SUBSCRIBE: u8 = 0x10;
pub(crate) const UNSUBSCRIBE: u8 = 0x11;
pub(crate) const PUBLISH: u8 = 0x20;
pub(crate) const SET: u8 = 0x21;
pub(crate) const GET: u8 = 0x22;
pub(crate) const SNAPSHOT: u8 = 0x23;
pub(crate) const REPLAY: u8 = 0x24;
pub(crate) const BUNDLE: u8 = 0x30;
pub(crate) const SYNC: u8 = 0x40;
pub(crate) const PING: u8 = 0x41;
pub(crate) const PONG: u8 = 0x42;
pub(crate) const ACK: u8 = 0x50;
pub(crate) const ERROR: u8 = 0x51;
pub(crate) const QUERY: u8 = 0x60;
pub(crate) const RESULT: u8 = 0x61;
