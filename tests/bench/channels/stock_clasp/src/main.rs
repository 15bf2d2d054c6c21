//! `peer-stock-clasp ROUTER`: one end of a measured channel, with the unmodified `clasp-client` 4.5.0. No STUN server: it
//! talks to nobody but the router and the other end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use channel_peer::line::{commands, emit};
use channel_peer::{Bench, Command, Event, Framing, Outcome, now_ns};
use clasp_client::{Clasp, P2PEvent, SendResult};
use clasp_core::P2PConfig;
use tokio::sync::{Notify, mpsc};

/// Commands come one at a time; replies are few.
const QUEUE: usize = 16;

/// How long the router may take to carry out what the client sends after HELLO.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// It says "connected" before its channel takes messages.
const TRY_AGAIN: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() -> Outcome<()> {
    let router = std::env::args().nth(1).ok_or("usage: peer-stock-clasp ROUTER")?;
    let (sender, mut orders) = mpsc::channel(QUEUE);
    std::thread::spawn(move || commands(|command| sender.blocking_send(command).is_ok()));
    let p2p = P2PConfig { ice_servers: Vec::new(), turn_servers: Vec::new(), ..P2PConfig::default() };
    let client = Clasp::builder(&router).name("bench").p2p_config(p2p).connect().await?;
    let session = client.session_id().ok_or("connected without a session")?;
    let (replies, mut waiting) = mpsc::channel(QUEUE);
    let (bench, peer) = (Mutex::new(Bench::new(Framing::Clasp)), Mutex::default());
    let end = Arc::new(End { client, bench, peer, replies });
    let listening = Arc::clone(&end);
    end.client.on_p2p_event(move |event| {
        if listening.heard(event).is_err() {
            std::process::exit(1);
        }
    });
    end.wait_until_subscribed(&session).await?;
    emit(&Event::Ready { session: Some(session) })?;
    // One loop for both, because this client's sending may not change threads. Whoever sends many messages has no replies to send.
    loop {
        let outcome = tokio::select! {
            order = orders.recv() => match order {
                Some(command) if command != Command::Quit => end.obey(command).await,
                _ => break,
            },
            Some(reply) = waiting.recv() => end.send(reply).await,
        };
        if let Err(error) = outcome {
            emit(&Event::Failed { why: error.to_string() })?;
        }
    }
    // It closes neither its connections nor its threads: leave without waiting for them.
    std::process::exit(0);
}

struct End {
    client: Clasp,
    bench: Mutex<Bench>,
    peer: Mutex<Option<String>>,
    replies: mpsc::Sender<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl End {
    /// It returns from `connect` before the router has its subscriptions. Frames of one session are carried out in order: the
    /// echo of a SET shows that they are there.
    async fn wait_until_subscribed(&self, session: &str) -> Outcome<()> {
        let echo = Arc::new(Notify::new());
        let heard = Arc::clone(&echo);
        let address = format!("/bench/{session}");
        let id = self.client.subscribe(&address, move |_, _| heard.notify_one()).await?;
        self.client.set(&address, true).await?;
        tokio::time::timeout(SUBSCRIBE_TIMEOUT, echo.notified()).await?;
        Ok(self.client.unsubscribe(id).await?)
    }

    async fn obey(&self, command: Command) -> Outcome<()> {
        match command {
            Command::Connect { peer } => {
                let peer = peer.ok_or("connect to whom?")?;
                *lock(&self.peer) = Some(peer.clone());
                lock(&self.bench).connecting(now_ns());
                self.client.connect_to_peer(&peer).await?;
            }
            Command::Send { size, messages, ms } => {
                lock(&self.bench).send(now_ns(), size, messages, ms)?;
                loop {
                    let next = lock(&self.bench).next(now_ns());
                    let Some(message) = next else { break };
                    self.send(message).await?;
                }
            }
            Command::Echo { count } => {
                let message = lock(&self.bench).echo(now_ns(), count);
                self.send(message).await?;
            }
            Command::Close => return Err("the stock client has no call for this".into()),
            Command::Signal { .. } | Command::Quit => {}
        }
        Ok(())
    }

    fn heard(&self, event: P2PEvent) -> Outcome<()> {
        match event {
            P2PEvent::Connected { peer_session_id } => {
                *lock(&self.peer) = Some(peer_session_id);
                let ping = lock(&self.bench).opened(now_ns());
                if let Some(ping) = ping {
                    self.replies.try_send(ping)?;
                }
            }
            P2PEvent::Data { peer_session_id, data, .. } => {
                let answer = lock(&self.bench).received(now_ns(), &data);
                if let Some(reply) = answer.reply {
                    *lock(&self.peer) = Some(peer_session_id);
                    self.replies.try_send(reply)?;
                }
                if let Some(event) = answer.event {
                    emit(&event)?;
                }
            }
            P2PEvent::ConnectionFailed { reason, .. } => emit(&Event::Failed { why: reason })?,
            _ => {}
        }
        Ok(())
    }

    /// "Relay" from this client means that the message went nowhere.
    async fn send(&self, message: Vec<u8>) -> Outcome<()> {
        let peer = lock(&self.peer).clone().ok_or("no link")?;
        let message = Bytes::from(message);
        loop {
            match self.client.send_p2p(&peer, message.clone(), true).await? {
                SendResult::P2P => return Ok(()),
                SendResult::Relay => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }
}
