//! Wakes one task of this thread.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// A flag that one task waits for. Set while nobody waits, it is found set by the next who does.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    set: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Notify {
    /// Sets the flag.
    pub(crate) fn notify(&self) {
        if !self.set.replace(true)
            && let Some(waker) = self.waiting.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Ready once the flag is set, and takes it back.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.set.take() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the flag.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}
