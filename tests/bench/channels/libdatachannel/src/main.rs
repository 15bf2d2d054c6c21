//! `peer-libdatachannel`: one end of a measured channel, with libdatachannel (usrsctp, libjuice, OpenSSL) through the
//! `datachannel` crate. Answers from its callbacks, sends from the main thread while the send buffer is below its mark.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use channel_peer::line::{commands, emit};
use channel_peer::{
    Bench, Command, Event, Framing, LABEL, Outcome, SEND_AGAIN_BYTES, SEND_BUFFER_BYTES, now_ns,
};
use datachannel::{
    DataChannelHandler, DataChannelInfo, IceCandidate, PeerConnectionHandler, RtcConfig, RtcDataChannel,
    RtcPeerConnection, SessionDescription,
};
use serde_json::{Value, json};

/// Bytes after which the amount of buffered data is asked for again: asking for every small message would cost a lock each.
const ASK_EVERY_BYTES: usize = 64 * 1024;

type Channel = Box<RtcDataChannel<Heard>>;

fn main() -> Outcome<()> {
    emit(&Event::Ready { session: None })?;
    let mut connection = None;
    let end = Arc::new(End {
        bench: Mutex::new(Bench::new(Framing::Raw)),
        channel: Mutex::new(None),
        room: Mutex::new(()),
        more_room: Condvar::new(),
    });
    commands(|command| {
        let told = match obey(&end, &mut connection, command) {
            Ok(true) => return false,
            Ok(false) => Ok(()),
            Err(error) => emit(&Event::Failed { why: error.to_string() }),
        };
        told.is_ok()
    });
    Ok(())
}

/// Says whether that was the last command.
fn obey(
    end: &Arc<End>,
    connection: &mut Option<Box<RtcPeerConnection<Heard>>>,
    command: Command,
) -> Outcome<bool> {
    match command {
        Command::Connect { .. } => {
            lock(&end.bench).connecting(now_ns());
            let mut made = connect(end)?;
            let channel = made.create_data_channel(LABEL, Heard(Arc::clone(end)))?;
            end.keep(channel);
            *connection = Some(made);
        }
        Command::Signal { data } => {
            if connection.is_none() {
                *connection = Some(connect(end)?);
            }
            let Some(connection) = connection else { return Ok(false) };
            signal(connection, data)?;
        }
        Command::Send { size, messages, ms } => {
            lock(&end.bench).send(now_ns(), size, messages, ms)?;
            end.send_all()?;
        }
        Command::Echo { count } => {
            let message = lock(&end.bench).echo(now_ns(), count);
            end.send(&message)?;
        }
        Command::Close => {
            let channel = lock(&end.channel).take();
            drop(channel); // not under the lock: closing waits for callbacks
            drop(connection.take());
            emit(&Event::Closed)?;
        }
        Command::Quit => return Ok(true),
    }
    Ok(false)
}

fn connect(end: &Arc<End>) -> Outcome<Box<RtcPeerConnection<Heard>>> {
    let config = RtcConfig::new::<&str>(&[]).bind_address(&"127.0.0.1");
    Ok(RtcPeerConnection::new(&config, Heard(Arc::clone(end)))?)
}

fn signal(connection: &mut RtcPeerConnection<Heard>, data: Value) -> Outcome<()> {
    if data.get("sdp").is_some() {
        connection.set_remote_description(&serde_json::from_value::<SessionDescription>(data)?)?;
    } else {
        connection.add_remote_candidate(&serde_json::from_value::<IceCandidate>(data)?)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct End {
    bench: Mutex<Bench>,
    channel: Mutex<Option<Channel>>,
    room: Mutex<()>,
    more_room: Condvar,
}

impl End {
    fn keep(&self, mut channel: Channel) {
        if let Err(error) = channel.set_buffered_amount_low_threshold(SEND_AGAIN_BYTES) {
            self.tell(&Event::Failed { why: error.to_string() });
        }
        *lock(&self.channel) = Some(channel);
    }

    fn send(&self, message: &[u8]) -> Outcome<()> {
        Ok(lock(&self.channel).as_mut().ok_or("no channel")?.send(message)?)
    }

    fn send_all(&self) -> Outcome<()> {
        let mut unasked = 0;
        loop {
            let next = lock(&self.bench).next(now_ns());
            let Some(message) = next else { return Ok(()) };
            self.send(&message)?;
            unasked += message.len();
            if unasked >= ASK_EVERY_BYTES {
                unasked = 0;
                self.wait_for_room();
            }
        }
    }

    fn wait_for_room(&self) {
        if self.buffered() < SEND_BUFFER_BYTES {
            return;
        }
        let mut room = lock(&self.room);
        while self.buffered() > SEND_AGAIN_BYTES {
            room = self.more_room.wait(room).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn buffered(&self) -> usize {
        lock(&self.channel).as_ref().map_or(0, |channel| channel.buffered_amount())
    }

    /// Nobody to tell is nobody to measure for.
    fn tell(&self, event: &Event) {
        if emit(event).is_err() {
            std::process::exit(1);
        }
    }

    fn try_send(&self, message: &[u8]) {
        if let Err(error) = self.send(message) {
            self.tell(&Event::Failed { why: error.to_string() });
        }
    }
}

/// What libdatachannel's threads call.
#[derive(Clone)]
struct Heard(Arc<End>);

impl DataChannelHandler for Heard {
    fn on_open(&mut self) {
        let ping = lock(&self.0.bench).opened(now_ns());
        if let Some(ping) = ping {
            self.0.try_send(&ping);
        }
    }

    fn on_error(&mut self, why: &str) {
        self.0.tell(&Event::Failed { why: why.to_owned() });
    }

    fn on_message(&mut self, message: &[u8]) {
        let answer = lock(&self.0.bench).received(now_ns(), message);
        if let Some(reply) = answer.reply {
            self.0.try_send(&reply);
        }
        if let Some(event) = answer.event {
            self.0.tell(&event);
        }
    }

    fn on_buffered_amount_low(&mut self) {
        // With the lock, so that it cannot fall between the look and the wait of the sender.
        let room = lock(&self.0.room);
        self.0.more_room.notify_one();
        drop(room);
    }
}

impl PeerConnectionHandler for Heard {
    type DCH = Self;

    fn data_channel_handler(&mut self, _: DataChannelInfo) -> Self {
        self.clone()
    }

    fn on_description(&mut self, description: SessionDescription) {
        match serde_json::to_value(&description) {
            Ok(data) => self.0.tell(&Event::Signal { data }),
            Err(error) => self.0.tell(&Event::Failed { why: error.to_string() }),
        }
    }

    fn on_candidate(&mut self, candidate: IceCandidate) {
        let data = json!({ "candidate": candidate.candidate, "sdpMid": candidate.mid });
        self.0.tell(&Event::Signal { data });
    }

    fn on_data_channel(&mut self, channel: Channel) {
        self.0.keep(channel);
    }
}
