//! An ordinary client of a router: one WebSocket, HELLO, then CLASP messages both ways. It is not dialled again.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Message as WsMessage;
use bytes::Bytes;
use clasp_wire::{EncodeError, Message};
use smol::net::TcpStream;
use smol::stream::StreamExt;

use super::probe::{CLOSE_DEADLINE, RouterFault, greet, plain};
use super::websocket::{RouterUrl, WRITE_DEADLINE, deadline, dial};

/// We ask for a sign of life after this much silence; without any in the same time again the router is gone.
const PING_AFTER: Duration = Duration::from_secs(20);

/// Why a message was not sent, or none will come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It fits no frame.
    #[error("not sent: {0}")]
    Encode(#[from] EncodeError),
    /// The connection has ended.
    #[error("lost the router: {0}")]
    Lost(String),
}

/// A session of an ordinary client.
#[derive(Debug)]
pub struct RouterClient {
    ws: WebSocketStream<TcpStream>,
}

impl RouterClient {
    /// Opens a session. Dialling and the answer to HELLO may each take `limit`.
    ///
    /// # Errors
    /// How far it came, and what was in the way.
    pub async fn connect(
        url: &RouterUrl,
        name: &str,
        token: &str,
        limit: Duration,
    ) -> Result<Self, RouterFault> {
        let mut ws = dial(url, limit).await?;
        greet(&mut ws, name, token, limit).await?;
        Ok(Self { ws })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it fits no frame, or the router does not take it.
    pub async fn send(&mut self, message: &Message<'_>) -> Result<(), ClientError> {
        let mut frame = Vec::new();
        message.encode_into(&mut frame)?;
        self.write(WsMessage::Binary(frame.into())).await
    }

    /// The next frame. Dropping the future loses none.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn next(&mut self) -> Result<Bytes, ClientError> {
        let mut pinged = false;
        loop {
            match deadline(PING_AFTER, self.ws.next()).await {
                Some(Some(Ok(WsMessage::Binary(frame)))) => return Ok(frame),
                Some(Some(Ok(WsMessage::Close(Some(close))))) => {
                    return Err(lost(&format!("closed by it: {} {}", close.code, close.reason)));
                }
                Some(Some(Ok(WsMessage::Close(None))) | None) => return Err(lost("connection closed")),
                Some(Some(Ok(_))) => pinged = false,
                Some(Some(Err(error))) => return Err(lost(&error.to_string())),
                None if pinged => return Err(lost("it went silent")),
                None => {
                    pinged = true;
                    self.write(WsMessage::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        if let Some(Err(error)) = deadline(CLOSE_DEADLINE, self.ws.close(None)).await {
            log::debug!("goodbye to the router: {error}");
        }
    }

    async fn write(&mut self, message: WsMessage) -> Result<(), ClientError> {
        match deadline(WRITE_DEADLINE, self.ws.send(message)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(lost(&error.to_string())),
            None => Err(lost(&format!("it took nothing for {WRITE_DEADLINE:?}"))),
        }
    }
}

fn lost(why: &str) -> ClientError {
    ClientError::Lost(plain(why))
}
