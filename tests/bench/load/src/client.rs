//! One client of a router: a WebSocket with CLASP frames in it, as light as it gets.

use std::io::{Error as IoError, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clasp_wire::Message;
use clasp_wire::message::{Features, Hello, Subscribe, TypeMask};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Bytes, Error as WsError, Message as WsMessage, WebSocket};

use crate::Outcome;

/// How long a router may take to answer HELLO or PING.
const ANSWER: Duration = Duration::from_secs(10);

/// Room for a whole window of the largest messages, so that frames leave when they are flushed and not before.
const WRITE_BUFFER_BYTES: usize = 512 * 1024;

/// Small, because a thousand of them are open at once.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// A connected and welcomed client.
#[derive(Debug)]
pub(crate) struct Client {
    ws: WebSocket<TcpStream>,
    /// The id the router gave it.
    pub(crate) session: String,
}

impl Client {
    /// Connects and says HELLO. Reads and writes block until [`Self::unblock`].
    pub(crate) fn connect(router: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(router)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES);
        let url = format!("ws://{router}/clasp");
        let (ws, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .map_err(|error| format!("WebSocket handshake with {router}: {error}"))?;
        let mut client = Self { ws, session: String::new() };
        client.send(&Message::Hello(Hello {
            version: 1,
            features: Features::PARAM.with(Features::EVENT).with(Features::STREAM),
            name: "router-load",
            token: "",
        }))?;
        client.session = client.answer("WELCOME", |message| match message {
            Message::Welcome(welcome) => Some(welcome.session.to_owned()),
            _ => None,
        })?;
        Ok(client)
    }

    /// Subscribes; done after the next [`Self::settle`].
    pub(crate) fn subscribe(&mut self, pattern: &str) -> Outcome<()> {
        self.send(&Message::Subscribe(Subscribe {
            id: 1,
            pattern,
            types: TypeMask::ANY,
            max_rate: None,
            epsilon: None,
            history: None,
            window: None,
        }))
    }

    /// Returns when the router has worked off everything that any of the clients has sent so far.
    pub(crate) fn settle<'a>(clients: impl IntoIterator<Item = &'a mut Self>) -> Outcome<()> {
        // All of them ask before any of them waits: the stock router leaves Nagle's algorithm on, and its second small
        // write takes 40 ms to leave.
        let mut asked: Vec<_> = clients.into_iter().collect();
        for client in &mut asked {
            client.send(&Message::Ping)?;
        }
        for client in asked {
            client.answer("PONG", |message| matches!(message, Message::Pong).then_some(()))?;
        }
        Ok(())
    }

    /// From now on nothing waits.
    pub(crate) fn unblock(&mut self) -> Outcome<()> {
        Ok(self.ws.get_ref().set_nonblocking(true)?)
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.ws.get_ref()
    }

    /// Writes one frame at once.
    pub(crate) fn send(&mut self, message: &Message<'_>) -> Outcome<()> {
        let mut frame = Vec::new();
        message.encode_into(&mut frame)?;
        self.ws.send(WsMessage::Binary(frame.into()))?;
        Ok(())
    }

    /// Puts a frame where [`Self::flush`] takes it from.
    pub(crate) fn queue(&mut self, frame: Vec<u8>) -> Outcome<()> {
        unless_blocked(self.ws.write(WsMessage::Binary(frame.into()))).map(drop)
    }

    /// Writes what is queued, or as much of it as the socket takes.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        unless_blocked(self.ws.flush()).map(drop)
    }

    /// The next frame; none if there is none yet.
    pub(crate) fn read(&mut self) -> Outcome<Option<Bytes>> {
        loop {
            match unless_blocked(self.ws.read())? {
                None => return Ok(None),
                Some(WsMessage::Binary(frame)) => return Ok(Some(frame)),
                Some(WsMessage::Close(reason)) => return Err(closed(reason.map(|r| r.to_string()))),
                Some(_) => {}
            }
        }
    }

    /// Reads until a message of interest comes.
    fn answer<T>(&mut self, what: &str, wanted: impl Fn(&Message<'_>) -> Option<T>) -> Outcome<T> {
        loop {
            let Some(frame) = self.read()? else { return Err(format!("no {what} within {ANSWER:?}").into()) };
            if let Some(found) = wanted(&Message::decode_compact(&frame)?.1) {
                return Ok(found);
            }
        }
    }
}

/// A socket that is not ready is not an error.
fn unless_blocked<T>(result: Result<T, WsError>) -> Outcome<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(WsError::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn closed(reason: Option<String>) -> Box<dyn std::error::Error> {
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    IoError::new(ErrorKind::ConnectionAborted, format!("the router closed the connection: {reason}")).into()
}
