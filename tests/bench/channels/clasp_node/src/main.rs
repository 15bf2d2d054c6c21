//! `peer-clasp-node ROUTER`: one end of a measured channel, with the `clasp-node` library. One thread does everything.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use channel_peer::line::{commands, emit};
use channel_peer::{Bench, Command, Event as Told, Framing, Outcome, now_ns};
use clasp_node::driver::Loopback;
use clasp_node::{Channel, Event, LinkId, NodeBuilder, NodeHandle, RouterId, RouterUrl, Running, Trust};
use smol::LocalExecutor;
use smol::channel::{Receiver, bounded};

/// Handed to the node at once.
const BATCH_BYTES: usize = 16 * 1024;

/// Commands come one at a time; signals are none of this end's.
const COMMANDS: usize = 16;

fn main() -> Outcome<()> {
    let router = std::env::args().nth(1).ok_or("usage: peer-clasp-node ROUTER")?.parse()?;
    let (sender, receiver) = bounded(COMMANDS);
    std::thread::spawn(move || commands(|command| sender.send_blocking(command).is_ok()));
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(run(router, receiver, &executor)))
}

async fn run(
    router: RouterUrl,
    orders: Receiver<Command>,
    executor: &Rc<LocalExecutor<'static>>,
) -> Outcome<()> {
    let node = NodeBuilder::new().name("bench").trust(Trust::Open).router(router).loopback(Loopback::Only);
    let Running { handle, events, task, .. } = node.start(executor).await?;
    let end = Rc::new(End { handle, bench: RefCell::new(Bench::new(Framing::Clasp)), link: Cell::new(None) });
    let listening = Rc::clone(&end);
    let told = executor.spawn(async move {
        while let Some(event) = events.next().await {
            if let Err(error) = listening.heard(event).await {
                emit(&Told::Failed { why: error.to_string() })?;
            }
        }
        Ok::<(), std::io::Error>(())
    });
    while let Ok(command) = orders.recv().await {
        if command == Command::Quit {
            break;
        }
        if let Err(error) = end.obey(command).await {
            emit(&Told::Failed { why: error.to_string() })?;
        }
    }
    end.handle.shutdown().await;
    told.await?;
    task.await;
    Ok(())
}

struct End {
    handle: NodeHandle,
    bench: RefCell<Bench>,
    link: Cell<Option<LinkId>>,
}

impl End {
    async fn obey(&self, command: Command) -> Outcome<()> {
        match command {
            Command::Connect { peer } => {
                self.bench.borrow_mut().connecting(now_ns());
                let link = self.handle.connect(RouterId::FIRST, &peer.ok_or("connect to whom?")?).await?;
                self.link.set(Some(link));
            }
            Command::Send { size, messages, ms } => {
                self.bench.borrow_mut().send(now_ns(), size, messages, ms)?;
                let link = self.link.get().ok_or("no link")?;
                loop {
                    let batch = self.batch();
                    if batch.is_empty() {
                        break;
                    }
                    self.handle.send_all(link, Channel::Reliable, batch).await?;
                }
            }
            Command::Echo { count } => {
                let message = self.bench.borrow_mut().echo(now_ns(), count);
                self.send(message).await?;
            }
            Command::Close => {
                // Without a link the other end was quicker, and that has been told.
                if let Some(link) = self.link.get() {
                    self.handle.disconnect(link, "next").await?;
                }
            }
            Command::Signal { .. } | Command::Quit => {}
        }
        Ok(())
    }

    async fn heard(&self, event: Event) -> Outcome<()> {
        match event {
            Event::RouterReady { session, .. } => emit(&Told::Ready { session: Some(session) })?,
            Event::Connected { link, .. } => {
                self.link.set(Some(link));
                let ping = self.bench.borrow_mut().opened(now_ns());
                if let Some(ping) = ping {
                    self.send(ping).await?;
                }
            }
            Event::Data { bytes, channel: Channel::Reliable, .. } => {
                let answer = self.bench.borrow_mut().received(now_ns(), &bytes);
                if let Some(reply) = answer.reply {
                    self.send(reply).await?;
                }
                if let Some(event) = answer.event {
                    emit(&event)?;
                }
            }
            Event::Failed { why, .. } => return Err(why.to_string().into()),
            Event::Disconnected { .. } => {
                self.link.set(None);
                emit(&Told::Closed)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What goes to the node at once: one large message, or many small ones.
    fn batch(&self) -> Vec<Bytes> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(message) = self.bench.borrow_mut().next(now_ns()) else { break };
            bytes += message.len();
            batch.push(message.into());
        }
        batch
    }

    async fn send(&self, message: Vec<u8>) -> Outcome<()> {
        let link = self.link.get().ok_or("no link")?;
        Ok(self.handle.send(link, Channel::Reliable, message.into()).await?)
    }
}
