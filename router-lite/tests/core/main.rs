//! The core, without sockets and without waiting: one file per topic.
#![expect(clippy::indexing_slicing, reason = "a test that meets the unexpected has failed")]

#[path = "../support/messages.rs"]
mod messages;
#[path = "../support/openmetrics.rs"]
mod openmetrics;
mod room;

mod bundles;
mod gestures;
mod handshake;
mod hostile;
mod liveness;
mod metrics;
mod outboxes;
mod peers;
mod pubsub;
mod random;
mod scopes;
mod tokens;
mod values;
