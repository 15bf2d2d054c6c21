//! How much a router passes on, and what it costs: one sender, one or many receivers, a lossless window.
//!
//! The sender never has more than a window of messages on the way to the slowest receiver, so that no router has a reason
//! to drop anything. One thread serves all sockets: what a client costs is the same for both routers and not counted.

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::Outcome;
use crate::client::Client;
use crate::clock::now;
use crate::process::Router;
use crate::stats::float;
use crate::traffic::{Kind, PATTERN, Seen, Traffic, look_at};

/// Nothing arriving for so long means that what is missing is lost.
const STALL: Duration = Duration::from_secs(2);

/// One thing to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) receivers: u32,
    /// Messages on the way at a time.
    pub(crate) window: u64,
}

/// What one round showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Messages a second, each counted once however many receive it.
    pub(crate) messages_per_s: f64,
    /// What the router spent on one message with all its deliveries, µs.
    pub(crate) cpu_us_per_message: f64,
    /// Frames that came after one with a higher number.
    pub(crate) out_of_order: u64,
    /// Frames that did not come at all.
    pub(crate) lost: u64,
    /// ERROR messages from the router.
    pub(crate) refusals: u64,
    /// Frames that came.
    pub(crate) delivered: u64,
}

/// The sender's token; receivers count from 0.
const SENDER: Token = Token(usize::MAX >> 1);

/// One round: `warm_up` not counted, then `time` counted, then until everything has arrived.
pub(crate) fn run(router: &Router, plan: Plan, warm_up: Duration, time: Duration) -> Outcome<Round> {
    let mut load = Load::connect(router, plan)?;
    load.until(now() + warm_up)?;
    let (begun, cpu, received) = (now(), router.cpu()?, load.received());
    load.until(begun + time)?;
    let (elapsed, cpu) = (now() - begun, router.cpu()?.saturating_sub(cpu));
    let messages = float(load.received() - received) / f64::from(plan.receivers);
    load.drain()?;
    let delivered = load.received();
    Ok(Round {
        messages_per_s: messages / elapsed.as_secs_f64(),
        cpu_us_per_message: cpu.as_secs_f64() * 1e6 / messages.max(1.0),
        out_of_order: load.receivers.iter().map(|receiver| receiver.out_of_order).sum(),
        lost: (load.sent * u64::from(plan.receivers)).saturating_sub(delivered),
        refusals: load.refusals,
        delivered,
    })
}

struct Load {
    plan: Plan,
    poll: Poll,
    events: Events,
    traffic: Traffic,
    sender: Client,
    receivers: Vec<Receiver>,
    sent: u64,
    refusals: u64,
    last_progress: Instant,
}

struct Receiver {
    client: Client,
    received: u64,
    highest: i64,
    out_of_order: u64,
}

impl Plan {
    /// What the row is called.
    pub(crate) fn name(&self) -> String {
        format!("{} 1→{}", self.kind.name(), self.receivers)
    }
}

impl Load {
    fn connect(router: &Router, plan: Plan) -> Outcome<Self> {
        let poll = Poll::new()?;
        let mut sender = Client::connect(router.address)?;
        let mut clients =
            (0..plan.receivers).map(|_| Client::connect(router.address)).collect::<Outcome<Vec<_>>>()?;
        if plan.kind != Kind::Signal {
            clients.iter_mut().try_for_each(|client| client.subscribe(PATTERN))?;
        }
        Client::settle(clients.iter_mut().chain([&mut sender]))?;
        for (client, token) in clients.iter_mut().zip(0..).chain([(&mut sender, SENDER.0)]) {
            client.unblock()?;
            let socket = client.socket().as_raw_fd();
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut SourceFd(&socket), Token(token), interest)?;
        }
        let to = clients.first().map_or("", |client| &client.session);
        let traffic = Traffic::new(plan.kind, &sender.session, to);
        let receivers = clients
            .into_iter()
            .map(|client| Receiver { client, received: 0, highest: -1, out_of_order: 0 })
            .collect();
        let events = Events::with_capacity(256);
        Ok(Self {
            plan,
            poll,
            events,
            traffic,
            sender,
            receivers,
            sent: 0,
            refusals: 0,
            last_progress: now(),
        })
    }

    /// Keeps the window full until `end`.
    fn until(&mut self, end: Instant) -> Outcome<()> {
        while now() < end {
            let acknowledged = self.receivers.iter().map(|receiver| receiver.received).min().unwrap_or(0);
            while self.sent < acknowledged + self.plan.window {
                self.sender.queue(self.traffic.frame(self.sent.cast_signed())?)?;
                // One by one, as clients' `send` does: a router must not live from our gathering them.
                self.sender.flush()?;
                self.sent += 1;
            }
            self.turn()?;
            if now() - self.last_progress > STALL {
                return Err(
                    format!("nothing arrived for {STALL:?} with {} on the way", self.plan.window).into()
                );
            }
        }
        Ok(())
    }

    /// Until everything has arrived, or nothing comes any more.
    fn drain(&mut self) -> Outcome<()> {
        let all = self.sent * u64::from(self.plan.receivers);
        while self.received() < all && now() - self.last_progress < STALL {
            self.turn()?;
        }
        Ok(())
    }

    /// Writes, waits for something to arrive, reads it.
    fn turn(&mut self) -> Outcome<()> {
        self.sender.flush()?;
        self.poll.poll(&mut self.events, Some(Duration::from_millis(100)))?;
        for event in &self.events {
            match self.receivers.get_mut(event.token().0) {
                Some(receiver) => {
                    if receiver.read()? {
                        self.last_progress = now();
                    }
                }
                None => {
                    while let Some(frame) = self.sender.read()? {
                        // ACKs tell nothing new; what the router could not do is what makes figures worthless.
                        self.refusals += u64::from(matches!(look_at(&frame)?, Seen::Refusal(_)));
                    }
                }
            }
        }
        Ok(())
    }

    fn received(&self) -> u64 {
        self.receivers.iter().map(|receiver| receiver.received).sum()
    }
}

impl Receiver {
    /// Takes everything that is there. Says whether there was anything.
    fn read(&mut self) -> Outcome<bool> {
        let before = self.received;
        while let Some(frame) = self.client.read()? {
            match look_at(&frame)? {
                Seen::Number(number) if number > self.highest => self.highest = number,
                Seen::Number(_) => self.out_of_order += 1,
                // Told to one whose queue was full; what was dropped shows as lost.
                Seen::Refusal(_) | Seen::Other => continue,
            }
            self.received += 1;
        }
        Ok(self.received > before)
    }
}
