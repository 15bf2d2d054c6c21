//! Looking at one layer at a time, for who wants to know which one is in the way: `clasp-node doctor`.

mod datagrams;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Message as WsMessage;
use clasp_wire::Message;
use clasp_wire::message::{Features, Hello};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;
use smol::stream::StreamExt;

pub use datagrams::{DatagramFault, MULTICAST_GROUP, broadcast, multicast, udp};

use super::websocket::{DialError, RouterUrl, deadline, dial};
use crate::limits::MAX_REASON_BYTES;

/// How long a polite close may take.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_millis(500);

/// Why a router is no place to meet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterFault {
    /// There is no WebSocket to it.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It does not take our HELLO.
    #[error("HELLO refused: {text} ({code})")]
    Refused {
        /// The error's code (reference §8).
        code: u16,
        /// What it says.
        text: String,
    },
    /// The connection ended before it had welcomed us.
    #[error("closed without a welcome: {0}")]
    Closed(String),
    /// It does not answer our HELLO.
    #[error("no answer to HELLO within {0:?}")]
    Silent(Duration),
}

/// Says HELLO to a router, and goodbye once it is welcome. Returns the router's name.
///
/// # Errors
/// How far it came, and what was in the way. Dialling and the answer may each take `limit`.
pub async fn router(
    url: &RouterUrl,
    name: &str,
    token: &str,
    limit: Duration,
) -> Result<String, RouterFault> {
    let mut ws = dial(url, limit).await?;
    let answer = greet(&mut ws, name, token, limit).await;
    // Whatever became of it, nothing more is wanted of the router.
    if let Some(Err(error)) = deadline(CLOSE_DEADLINE, ws.close(None)).await {
        log::debug!("goodbye to {url}: {error}");
    }
    answer
}

/// Says HELLO, and waits for the welcome. Returns the router's name.
pub(super) async fn greet(
    ws: &mut WebSocketStream<TcpStream>,
    name: &str,
    token: &str,
    limit: Duration,
) -> Result<String, RouterFault> {
    let features = Features::PARAM.with(Features::EVENT).with(Features::STREAM);
    let hello = Message::Hello(Hello { version: 1, features, name, token });
    let mut frame = Vec::new();
    hello.encode_into(&mut frame).map_err(|error| RouterFault::Closed(error.to_string()))?;
    let greeting = async {
        ws.send(WsMessage::Binary(frame.into())).await.map_err(|error| closed(&error.to_string()))?;
        loop {
            match ws.next().await {
                Some(Ok(WsMessage::Binary(frame))) => {
                    if let Some(answer) = greeting(&frame) {
                        return answer;
                    }
                }
                Some(Ok(WsMessage::Close(Some(close)))) => {
                    return Err(closed(&format!("{} {}", close.code, close.reason)));
                }
                Some(Ok(WsMessage::Close(None))) | None => return Err(closed("no reason given")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(closed(&error.to_string())),
            }
        }
    };
    deadline(limit, greeting).await.unwrap_or(Err(RouterFault::Silent(limit)))
}

/// How to reach a listening address from this machine.
#[must_use]
pub fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Has a router answer over HTTP, without a session; what it answers is no matter.
///
/// # Errors
/// What was in the way. Dialling and the answer together may take `limit`.
pub async fn http(address: SocketAddr, limit: Duration) -> Result<(), RouterFault> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 64];
        stream.read(&mut answer).await
    };
    match deadline(limit, asked).await {
        Some(Ok(0)) => Err(closed("no answer")),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(DialError::Tcp { url: RouterUrl::from(address), error }.into()),
        None => Err(DialError::Timeout(limit).into()),
    }
}

/// What the router says to our HELLO, if that is what the frame is about.
fn greeting(frame: &[u8]) -> Option<Result<String, RouterFault>> {
    match Message::decode(frame, &mut Vec::new()) {
        Ok((_, Message::Welcome(welcome))) => Some(Ok(plain(welcome.name))),
        Ok((_, Message::Error(error))) => {
            Some(Err(RouterFault::Refused { code: error.code, text: plain(error.message) }))
        }
        _ => None,
    }
}

fn closed(why: &str) -> RouterFault {
    RouterFault::Closed(plain(why))
}

/// A stranger's text as it may be shown on a terminal.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ").chars().take(MAX_REASON_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_on_every_address_is_asked_on_the_loopback_one() {
        for (listens, asked) in [
            ("0.0.0.0:7330", "127.0.0.1:7330"),
            ("[::]:7330", "[::1]:7330"),
            ("10.0.0.5:7331", "10.0.0.5:7331"),
        ] {
            assert_eq!(local(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
