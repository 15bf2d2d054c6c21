//! How a request leaves: it gets an id nobody can guess, and the address pair it belongs to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use log::debug;
use rand::RngExt;
use rand::rngs::StdRng;
use stun_types::message::TransactionId;

use super::message::{Ask, Auth};
use super::transaction::Transaction;
use super::{ServerFault, ServersOutput};

/// The way from one socket to one server.
pub(super) struct Wire<'a> {
    pub(super) now: Instant,
    pub(super) rng: &'a mut StdRng,
    /// Our socket.
    pub(super) base: SocketAddr,
    /// The server.
    pub(super) remote: SocketAddr,
    pub(super) out: &'a mut VecDeque<ServersOutput>,
}

impl Wire<'_> {
    /// An id for a message. Who could guess it could answer in the server's place (RFC 8489 §5).
    pub(super) fn id(&mut self) -> TransactionId {
        self.rng.random::<u128>().into()
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, ask: Ask, auth: Option<&Auth>) -> Result<Transaction, ServerFault> {
        let id = self.id();
        let bytes = ask.encode(id, auth).map_err(|error| {
            debug!(error:% = error; "request not written");
            ServerFault::BadAnswer // ours is made of what the server sent
        })?;
        self.send(bytes.clone());
        Ok(Transaction::new(self.now, id, bytes))
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.out.push_back(ServersOutput::Transmit { source: self.base, destination: self.remote, bytes });
    }
}
