//! `peer-webrtc-rs`: one end of a measured channel, with webrtc-rs on tokio.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use channel_peer::line::{commands, emit};
use channel_peer::{Bench, Command, Event, Framing, LABEL, Outcome, SEND_BUFFER_BYTES, now_ns};
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription,
};
use webrtc::runtime::{Runtime, default_runtime};

/// Commands come one at a time, with one signal between.
const COMMANDS: usize = 16;

#[tokio::main]
async fn main() -> Outcome<()> {
    let (sender, mut orders) = mpsc::channel(COMMANDS);
    std::thread::spawn(move || commands(|command| sender.blocking_send(command).is_ok()));
    let runtime = default_runtime().ok_or("webrtc-rs was built without a runtime")?;
    let (bench, channel) = (Mutex::new(Bench::new(Framing::Raw)), Mutex::new(None));
    let end = Arc::new(End { bench, channel, runtime });
    let mut connection = None;
    emit(&Event::Ready { session: None })?;
    while let Some(command) = orders.recv().await {
        if command == Command::Quit {
            break;
        }
        if let Err(error) = obey(&end, &mut connection, command).await {
            emit(&Event::Failed { why: error.to_string() })?;
        }
    }
    Ok(())
}

/// A connection, and the word that all its candidates are known.
struct Connection {
    it: Arc<dyn PeerConnection>,
    gathered: mpsc::Receiver<()>,
}

impl Connection {
    async fn new(end: &Arc<End>) -> Outcome<Self> {
        let (gathered_sender, gathered) = mpsc::channel(1);
        let it = PeerConnectionBuilder::new()
            .with_handler(Arc::new(Handler { end: Arc::clone(end), gathered: gathered_sender }))
            .with_runtime(Arc::clone(&end.runtime))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .with_data_channel_send_buffer_limit(SEND_BUFFER_BYTES)
            .build()
            .await?;
        Ok(Self { it: Arc::new(it), gathered })
    }

    /// Tells the other end, with all candidates in it.
    async fn describe(&mut self, description: RTCSessionDescription) -> Outcome<()> {
        self.it.set_local_description(description).await?;
        self.gathered.recv().await.ok_or("the connection is gone")?;
        let whole = self.it.local_description().await.ok_or("no local description")?;
        Ok(emit(&Event::Signal { data: serde_json::to_value(&whole)? })?)
    }
}

async fn obey(end: &Arc<End>, connection: &mut Option<Connection>, command: Command) -> Outcome<()> {
    match command {
        Command::Connect { .. } => {
            lock(&end.bench).connecting(now_ns());
            let made = connection.insert(Connection::new(end).await?);
            end.use_channel(made.it.create_data_channel(LABEL, None).await?);
            let offer = made.it.create_offer(None).await?;
            made.describe(offer).await?;
        }
        Command::Signal { data } => {
            let description = serde_json::from_value(data)?;
            if let Some(made) = connection {
                made.it.set_remote_description(description).await?;
            } else {
                let made = connection.insert(Connection::new(end).await?);
                made.it.set_remote_description(description).await?;
                let answer = made.it.create_answer(None).await?;
                made.describe(answer).await?;
            }
        }
        Command::Send { size, messages, ms } => {
            lock(&end.bench).send(now_ns(), size, messages, ms)?;
            let channel = end.channel()?;
            loop {
                let next = lock(&end.bench).next(now_ns());
                let Some(message) = next else { break };
                channel.send(bytes(message)).await?;
            }
        }
        Command::Echo { count } => {
            let message = lock(&end.bench).echo(now_ns(), count);
            end.channel()?.send(bytes(message)).await?;
        }
        Command::Close => {
            lock(&end.channel).take();
            if let Some(made) = connection.take() {
                made.it.close().await?;
            }
            emit(&Event::Closed)?;
        }
        Command::Quit => {}
    }
    Ok(())
}

fn bytes(message: Vec<u8>) -> BytesMut {
    BytesMut::from(bytes::Bytes::from(message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct End {
    bench: Mutex<Bench>,
    channel: Mutex<Option<Arc<dyn DataChannel>>>,
    runtime: Arc<dyn Runtime>,
}

impl End {
    fn channel(&self) -> Outcome<Arc<dyn DataChannel>> {
        Ok(lock(&self.channel).clone().ok_or("no channel")?)
    }

    fn use_channel(self: &Arc<Self>, channel: Arc<dyn DataChannel>) {
        *lock(&self.channel) = Some(Arc::clone(&channel));
        let end = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = end.listen(&*channel).await {
                emit(&Event::Failed { why: error.to_string() })?;
            }
            Ok::<(), std::io::Error>(())
        });
    }

    async fn listen(&self, channel: &dyn DataChannel) -> Outcome<()> {
        while let Some(event) = channel.poll().await {
            match event {
                DataChannelEvent::OnOpen => {
                    let ping = lock(&self.bench).opened(now_ns());
                    if let Some(ping) = ping {
                        channel.send(bytes(ping)).await?;
                    }
                }
                DataChannelEvent::OnMessage(message) => {
                    let answer = lock(&self.bench).received(now_ns(), &message.data);
                    if let Some(reply) = answer.reply {
                        channel.send(bytes(reply)).await?;
                    }
                    if let Some(event) = answer.event {
                        emit(&event)?;
                    }
                }
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
        Ok(())
    }
}

struct Handler {
    end: Arc<End>,
    gathered: mpsc::Sender<()>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.try_send(()).unwrap_or_default(); // full: it has been said
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.end.use_channel(channel);
    }
}
