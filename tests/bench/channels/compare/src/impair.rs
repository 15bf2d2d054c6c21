//! A bad path between the two ends: loss and delay, on real sockets, decided by a seed.

pub(crate) mod path;
pub(crate) mod rewrite;
pub(crate) mod signalling;
pub(crate) mod sockets;

pub(crate) use path::Conditions;
pub(crate) use signalling::Signalling;
pub(crate) use sockets::Sockets;
