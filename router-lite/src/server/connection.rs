//! The life of one TCP connection: handshake, WebSocket, and an end with a reason.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::CapacityError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use clasp_wire::limits::MAX_FRAME_BYTES;
use smol::{
    Timer,
    future::{FutureExt, yield_now},
    stream::Stream,
};

use crate::{
    close::CloseReason,
    counters::Refusal,
    io::Input,
    server::{handshake::handshake, hub::Hub, line::Line, stream::LineStream},
};

/// How long a connection that ends may take to write what waits, and then again to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// So many connections may take that time at once; beyond it, ending ones are cut off: clients that are refused and do
/// not hang up must not use up the descriptors.
const MAX_LINGERING: usize = 64;

/// What a client may still send, unread, while we wait for it to close: more than is in flight on any board's network.
const LINGER_BYTES: usize = 1024 * 1024;

/// tungstenite's read buffer, allocated for every connection: 4 KiB hold dozens of ordinary frames.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// tungstenite's write buffer: control frames only, and those it hands on at once.
const WRITE_BUFFER_BYTES: usize = 512;

/// Messages of one client worked off before the other tasks of this thread get a turn.
const MESSAGES_PER_TURN: usize = 64;

type Socket = WebSocketStream<LineStream>;

/// Serves one connection from its first byte to its last.
pub(crate) async fn serve(hub: Rc<Hub>, line: Rc<Line>) {
    if let Some((answer, rest)) = handshake(&hub, &line).await
        && line.queue(&answer)
    {
        let socket = LineStream::new(Rc::clone(&hub), Rc::clone(&line));
        let config = Some(websocket_config());
        let mut ws = WebSocketStream::from_partially_read(socket, rest, Role::Server, config).await;
        line.upgraded.set(true);
        let end = converse(&hub, &line, &mut ws).await;
        let time = hub.begin_lingering();
        within(time, say_goodbye(&hub, &line, &mut ws, end)).await;
        hub.apply(Input::Closed { connection: line.id });
        within(time, hang_up(&line)).await;
    } else {
        // It no longer counts as a handshake, whose number is bounded: it has its answer.
        hub.apply(Input::Closed { connection: line.id });
        within(hub.begin_lingering(), hang_up(&line)).await;
    }
    hub.lingering.set(hub.lingering.get() - 1);
    hub.close(&line);
}

impl Hub {
    /// One more connection is ending; returns how long it may take.
    fn begin_lingering(&self) -> Duration {
        let others = self.lingering.replace(self.lingering.get() + 1);
        if others < MAX_LINGERING { LINGER } else { Duration::ZERO }
    }
}

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// The core wants it so.
    Ordered(CloseReason),
    /// The client broke a rule of WebSocket.
    Fault(CloseCode, String),
    /// The client has closed, or is gone.
    Gone,
}

enum Turn {
    Message(Option<Result<Message, WsError>>),
    Writable,
    Ping,
    Close(CloseReason),
}

/// Passes messages to the core until somebody has had enough.
async fn converse(hub: &Hub, line: &Line, ws: &mut Socket) -> End {
    let mut messages = 0;
    loop {
        let turn = poll_fn(|cx| {
            loop {
                if let Some(reason) = line.closing.get() {
                    return Poll::Ready(Turn::Close(reason));
                }
                if line.ping_wanted.take() {
                    return Poll::Ready(Turn::Ping);
                }
                if line.blocked.get() && line.poll_writable(cx).is_ready() {
                    return Poll::Ready(Turn::Writable);
                }
                if line.notify.poll(cx).is_pending() {
                    break;
                }
            }
            Pin::new(&mut *ws).poll_next(cx).map(Turn::Message)
        });
        match turn.await {
            Turn::Message(Some(Ok(message))) => {
                take_message(hub, line, message);
                messages += 1;
                if messages % MESSAGES_PER_TURN == 0 {
                    yield_now().await;
                }
            }
            Turn::Message(Some(Err(error))) => return fault(hub, line, &error),
            Turn::Message(None) => return End::Gone,
            Turn::Writable => hub.flush_line(line),
            Turn::Ping => {
                if ws.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return End::Gone;
                }
            }
            Turn::Close(reason) => return End::Ordered(reason),
        }
    }
}

fn take_message(hub: &Hub, line: &Line, message: Message) {
    let connection = line.id;
    hub.apply(match message {
        Message::Binary(frame) => Input::Frame { connection, frame },
        Message::Text(_) => Input::Noted { connection, what: Refusal::Text },
        _ => Input::Heard { connection },
    });
}

fn fault(hub: &Hub, line: &Line, error: &WsError) -> End {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            hub.apply(Input::Noted { connection: line.id, what: Refusal::Oversize });
            End::Fault(CloseCode::Size, format!("message of {size} bytes, {max_size} allowed"))
        }
        WsError::Protocol(
            async_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => End::Gone,
        WsError::Protocol(error) => End::Fault(CloseCode::Protocol, error.to_string()),
        WsError::Utf8(_) => End::Fault(CloseCode::Invalid, "text is not UTF-8".to_owned()),
        _ => End::Gone,
    }
}

/// Writes what waits, then Close. A client that closed first gets the reply tungstenite has prepared.
async fn say_goodbye(hub: &Hub, line: &Line, ws: &mut Socket, end: End) {
    let (code, text) = match end {
        End::Ordered(reason) => (CloseCode::from(reason.code()), reason.text().to_owned()),
        End::Fault(code, text) => (code, text),
        End::Gone => return,
    };
    hub.flush_line(line);
    while line.blocked.get() {
        poll_fn(|cx| line.poll_writable(cx)).await;
        hub.flush_line(line);
    }
    let frame = CloseFrame { code, reason: cut(&text).into() };
    // If the client is gone meanwhile there is nobody to tell.
    drop(ws.close(Some(frame)).await);
}

/// A close reason has at most 123 bytes (RFC 6455 §5.5).
fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(123)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// Writes what is half written and closes our side; reads until the client has closed its own. Closing with something
/// unread would make TCP take back what the client has not read yet.
async fn hang_up(line: &Line) {
    while !line.is_drained() {
        if line.blocked.get() {
            poll_fn(|cx| line.poll_writable(cx)).await;
        }
        line.queue(&[]);
    }
    line.shut_down();
    let mut scrap = [0; 1024];
    let mut read_in_all = 0;
    while read_in_all < LINGER_BYTES {
        match line.read(&mut scrap) {
            Ok(0) => return,
            Ok(read) => read_in_all += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if poll_fn(|cx| line.poll_readable(cx)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

async fn within(time: Duration, ending: impl Future<Output = ()>) {
    let enough = async {
        Timer::after(time).await;
    };
    ending.or(enough).await;
}

fn websocket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .accept_unmasked_frames(false)
}
