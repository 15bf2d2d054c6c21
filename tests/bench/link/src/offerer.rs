//! This process's node: dials, pings, sends.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clasp_node::driver::{Loopback, now};
use clasp_node::limits::OFFERS_PER_SECOND;
use clasp_node::{Channel, Event, LinkId, NodeBuilder, RouterId, RouterUrl, Running, Trust};
use clasp_wire::message::{Body, Phase, Publish, SignalType};
use clasp_wire::{Message, Value};
use smol::{LocalExecutor, Timer};

use crate::{MESSAGE_BYTES, Outcome, patiently};

/// What of a full message is not content: frame header, type, flags, address, kind, tag and length.
const FRAMING_BYTES: usize = frame_overhead();

const ADDRESS: &str = "/bench/data";

/// A node with one peer to talk to.
#[derive(Debug)]
pub(crate) struct Offerer {
    running: Running,
    peer: String,
}

/// An open link, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    took: Duration,
}

impl Offerer {
    pub(crate) async fn start(
        router: RouterUrl,
        peer: String,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Outcome<Self> {
        let builder = NodeBuilder::new().name("bench-offerer").trust(Trust::Open).router(router).loopback(Loopback::Only);
        let offerer = Self { running: builder.start(executor).await?, peer };
        offerer.until("a router", |event| matches!(event, Event::RouterReady { .. }).then_some(())).await?;
        Ok(offerer)
    }

    /// From the call until both channels are open.
    pub(crate) async fn dial(&self) -> Outcome<Link> {
        let begun = now();
        let id = self.running.handle.connect(RouterId::FIRST, &self.peer).await?;
        self.until("Connected", |event| {
            matches!(event, Event::Connected { link, .. } if *link == id).then_some(())
        })
        .await?;
        Ok(Link { id, took: now() - begun })
    }

    /// Opens and closes links one after the other, no faster than the other side allows; milliseconds each took to open.
    pub(crate) async fn dials(&self, count: usize) -> Outcome<Vec<f64>> {
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let next = Timer::after(Duration::from_secs(1) / OFFERS_PER_SECOND + Duration::from_millis(20));
            let link = self.dial().await?;
            took.push(link.took.as_secs_f64() * 1e3);
            self.running.handle.disconnect(link.id, "next").await?;
            self.until("Disconnected", |event| {
                matches!(event, Event::Disconnected { link: l, .. } if *l == link.id).then_some(())
            })
            .await?;
            next.await;
        }
        Ok(took)
    }

    /// Round trips one after the other, in µs.
    pub(crate) async fn round_trips(
        &self,
        link: LinkId,
        channel: Channel,
        count: usize,
    ) -> Outcome<Vec<f64>> {
        let mut took = Vec::with_capacity(count);
        for _ in 0..count {
            let sent = self.running.handle.ping(link, channel).await?;
            let rtt = self.until("PONG", |event| match event {
                Event::Pong { token, rtt, .. } if *token == sent => Some(*rtt),
                _ => None,
            });
            took.push(rtt.await?.as_secs_f64() * 1e6);
        }
        Ok(took)
    }

    /// Sends so many full messages and waits until the other side has them all.
    pub(crate) async fn transfer(&self, link: LinkId, messages: usize) -> Outcome<Duration> {
        let message = frame(MESSAGE_BYTES - FRAMING_BYTES)?;
        let begun = now();
        for _ in 0..messages {
            self.running.handle.send(link, Channel::Reliable, message.clone()).await?;
        }
        self.until("the receipt", |event| {
            matches!(event, Event::Data { channel: Channel::Reliable, .. }).then_some(())
        })
        .await?;
        Ok(now() - begun)
    }

    /// Stops the node.
    pub(crate) async fn stop(self) {
        self.running.handle.shutdown().await;
    }

    async fn until<T>(&self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> Outcome<T> {
        patiently(what, async {
            loop {
                let event = self.running.events.next().await.ok_or("the node stopped")?;
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
                if let Event::Failed { why, .. } = event {
                    return Err(format!("the link failed: {why}").into());
                }
            }
        })
        .await
    }
}

/// A PUBLISH with so many bytes in it.
pub(crate) fn frame(content_bytes: usize) -> Outcome<Bytes> {
    let content = vec![0x5A; content_bytes];
    let mut frame = Vec::new();
    Message::Publish(Publish {
        address: ADDRESS,
        signal: SignalType::Event,
        phase: Phase::Start,
        body: Body::Value(Value::Bytes(&content)),
        timestamp_us: None,
        id: None,
        rate: None,
    })
    .encode_into(&mut frame)?;
    Ok(frame.into())
}

const fn frame_overhead() -> usize {
    4 + 1 + 1 + 2 + ADDRESS.len() + 1 + 1 + 2
}
