//! What a running node does for commands: links for as long as they are used, pings, and files both ways.
//!
//! Several commands share the node, and no command disturbs another one or a link that is there for its own sake. A link is opened if
//! there is none, and ends with the last command that used it. Whoever drives the node hands its events to [`Service::handle_event`],
//! which never waits.

mod board;
mod find;
mod reach;
mod transfer;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use log::debug;
use smol::future::FutureExt;
use smol::{LocalExecutor, Task, Timer};

pub(crate) use board::End;
pub(super) use board::wake;
pub use find::{Wanted, choose};
pub(crate) use reach::{Reached, ping};
pub(crate) use transfer::{Incoming, Sending};

use super::handle::NodeHandle;
use super::logs::LogRing;
use super::sharing::Sharing;
use crate::event::{Channel, Event, LinkId};
use crate::limits::{CONTROL_DEADLINE, LAST_WORDS_LIMIT, MAX_CHORES_PER_LINK};
use board::{Board, Order};

/// A running node, as commands use it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Service {
    node: NodeHandle,
    shared: Rc<Shared>,
    logs: Option<Arc<LogRing>>,
    sharing: Option<Rc<Sharing>>,
}

#[derive(Debug)]
struct Shared {
    board: RefCell<Board>,
    /// What is being told or ended, on which link, and whether it is the end of it that waits; at most [`MAX_CHORES_PER_LINK`] for each.
    chores: RefCell<Vec<(LinkId, bool, Task<()>)>>,
    executor: Rc<LocalExecutor<'static>>,
}

impl Service {
    /// Of this node.
    #[must_use]
    pub fn new(node: NodeHandle, executor: Rc<LocalExecutor<'static>>) -> Self {
        let (board, chores) = (RefCell::default(), RefCell::default());
        Self { node, shared: Rc::new(Shared { board, chores, executor }), logs: None, sharing: None }
    }

    /// The same, with what it logged.
    #[must_use]
    pub fn with_logs(self, logs: Arc<LogRing>) -> Self {
        Self { logs: Some(logs), ..self }
    }

    /// The same, with what it shares with other devices. That, too, hears of every event.
    #[must_use]
    pub fn with_sharing(self, sharing: Sharing) -> Self {
        Self { sharing: Some(Rc::new(sharing)), ..self }
    }

    /// Notes what the node tells. Every event has to come here, in its order.
    pub fn handle_event(&self, event: &Event) {
        // What is shared is no command's business.
        if self.sharing.as_ref().is_some_and(|sharing| sharing.handle_event(event)) {
            return;
        }
        let orders = self.board(|board| board.handle_event(event));
        self.carry_out(orders);
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &NodeHandle {
        &self.node
    }

    pub(crate) fn logs(&self) -> Option<&Arc<LogRing>> {
        self.logs.as_ref()
    }

    pub(crate) fn sharing(&self) -> Option<&Sharing> {
        self.sharing.as_deref()
    }

    fn board<T>(&self, act: impl FnOnce(&mut Board) -> T) -> T {
        act(&mut self.shared.board.borrow_mut())
    }

    /// Does what takes a moment, beside everything else: one link that is slow to take its last word is nobody else's business.
    fn carry_out(&self, orders: impl IntoIterator<Item = Order>) {
        for order in orders {
            let (Order::Tell(link, _) | Order::Hangup(link) | Order::HangupSoon(link)) = order;
            let mut chores = self.shared.chores.borrow_mut();
            chores.retain(|(_, _, task)| !task.is_finished());
            let waits = matches!(order, Order::HangupSoon(_));
            if waits && chores.iter().any(|(of, waits, _)| *of == link && *waits) {
                continue;
            }
            if chores.iter().filter(|(of, ..)| *of == link).count() >= MAX_CHORES_PER_LINK {
                // Only a peer that does not wait for its answers gets here.
                debug!(link:% = link; "too much to tell at once");
                continue;
            }
            let chore = self.chore(order);
            chores.push((link, waits, self.shared.executor.spawn(chore)));
        }
    }

    fn chore(&self, order: Order) -> impl Future<Output = ()> + 'static {
        let (node, shared) = (self.node.clone(), Rc::downgrade(&self.shared));
        async move {
            let hung_up = match order {
                Order::Tell(link, message) => {
                    let told = async {
                        if let Err(error) = node.send(link, Channel::Reliable, message).await {
                            debug!(link:% = link; "not told: {error}");
                        }
                        None
                    };
                    let too_slow = async {
                        Timer::after(CONTROL_DEADLINE).await;
                        Some((link, "it does not take what it is told"))
                    };
                    told.or(too_slow).await
                }
                Order::Hangup(link) => Some((link, UNUSED)),
                Order::HangupSoon(link) => {
                    Timer::after(LAST_WORDS_LIMIT).await;
                    let order = shared.upgrade().and_then(|shared| shared.board.borrow().close_now(link));
                    order.map(|_| (link, UNUSED))
                }
            };
            if let Some((link, why)) = hung_up
                && let Err(error) = node.disconnect(link, why).await
            {
                debug!(link:% = link; "not ended: {error}");
            }
        }
    }
}

/// What the peer is told when a link ends that was opened for a command.
const UNUSED: &str = "no command uses the link any more";

/// `work`, if it is done within `limit`.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    async { Some(work.await) }
        .or(async {
            Timer::after(limit).await;
            None
        })
        .await
}
