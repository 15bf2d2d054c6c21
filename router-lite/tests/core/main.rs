//! The core, without sockets and without waiting: one file per topic.
#![expect(clippy::indexing_slicing, reason = "a test that meets the unexpected has failed")]

#[path = "../support/messages.rs"]
mod messages;
mod room;

mod bundles;
mod gestures;
mod handshake;
mod hostile;
mod liveness;
mod outboxes;
mod peers;
mod pubsub;
mod random;
mod scopes;
mod values;
