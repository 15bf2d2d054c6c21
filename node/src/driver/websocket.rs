//! The WebSocket to a router: dial, then carry frames both ways until one side ends it. Each connection is one task.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::http::{HeaderValue, Uri};
use async_tungstenite::tungstenite::protocol::WebSocketConfig;
use async_tungstenite::tungstenite::{Error as WsError, Message};
use bytes::Bytes;
use clasp_wire::limits::MAX_FRAME_BYTES;
use smol::channel::Receiver;
use smol::future::FutureExt;
use smol::net::TcpStream;
use smol::stream::StreamExt;

/// Reading is rare and small: a few signals per link.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// A frame is at most 64 KiB; a little more than two of them may wait in the write buffer.
const MAX_WRITE_BUFFER_BYTES: usize = 192 * 1024;

/// Dialling, including the name look-up and the upgrade.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// A router that takes a frame no faster than this is as good as gone.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a polite close may take.
const CLOSE_DEADLINE: Duration = Duration::from_millis(500);

/// What to put on the WebSocket.
#[derive(Debug)]
pub(super) enum Outgoing {
    Frame(Bytes),
    Ping,
}

/// What came from it.
#[derive(Debug)]
pub(super) enum Incoming {
    /// From this address of ours.
    Opened(IpAddr),
    Frame(Bytes),
    Heard,
}

/// A router's address, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterUrl {
    /// A name or an address; that of an IPv6 link may have a zone (RFC 4007 §11).
    host: String,
    port: u16,
    path: String,
}

/// Why a text is not a router's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not a router address: {why}; expected ws://HOST[:PORT][/PATH]")]
pub struct UrlError {
    url: String,
    why: String,
}

/// The port routers listen on (reference §1.3).
pub const DEFAULT_PORT: u16 = 7330;

impl std::str::FromStr for RouterUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let fault = |why: &str| UrlError { url: url.to_owned(), why: why.to_owned() };
        // No URL has a zone (RFC 3986 §3.2.2), but `discover` shows them, and without there is no way to such an address.
        let (plain, zone) = without_zone(url);
        let uri: Uri = plain.parse().map_err(|error| fault(&format!("{error}")))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(fault("TLS is not supported, put it in front of the router")),
            Some(other) => return Err(fault(&format!("scheme {other:?}"))),
            None => return Err(fault("no scheme")),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| fault("no host"))?;
        if host.contains('%') {
            return Err(fault("no such zone"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned() + &zone;
        let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(fault("port 0"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port, path })
    }
}

/// A URL without the zone of its address, and the zone with its percent sign.
fn without_zone(url: &str) -> (Cow<'_, str>, String) {
    let split = || {
        let (before, zone_and_rest) = url.strip_prefix("ws://[")?.split_once('%')?;
        let (zone, rest) = zone_and_rest.split_once(']')?;
        let is_zone = !zone.is_empty() && !before.contains(['/', ']']) && !zone.contains(['/', '%', '[']);
        is_zone.then(|| (format!("ws://[{before}]{rest}").into(), format!("%{zone}")))
    };
    split().unwrap_or((url.into(), String::new()))
}

impl std::fmt::Display for RouterUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, path } = self;
        if host.contains(':') {
            write!(f, "ws://[{host}]:{port}{path}")
        } else {
            write!(f, "ws://{host}:{port}{path}")
        }
    }
}

impl RouterUrl {
    /// Whether the router is on this host, as far as the address says.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl RouterUrl {
    /// Where it is.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve((self.host.as_str(), self.port)).await
    }
}

impl From<SocketAddr> for RouterUrl {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self { host, port: address.port(), path: "/".to_owned() }
    }
}

/// Why there is no WebSocket to a router.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Its name has no address.
    #[error("cannot reach {url}: {error}")]
    Name {
        /// The router.
        url: RouterUrl,
        /// What the resolver says.
        error: io::Error,
    },
    /// No TCP connection.
    #[error("cannot reach {url}: {error}")]
    Tcp {
        /// The router.
        url: RouterUrl,
        /// What the last of its addresses answered.
        error: io::Error,
    },
    /// Whatever listens there is no WebSocket server.
    #[error("{url} refused the WebSocket: {why}")]
    NotWebSocket {
        /// The router.
        url: RouterUrl,
        /// What it did instead.
        why: String,
    },
    /// A WebSocket server for something else.
    #[error("{url} does not speak CLASP: {why}")]
    NotClasp {
        /// The router.
        url: RouterUrl,
        /// What it says.
        why: String,
    },
    /// Nothing came back.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Dials `url` and carries frames until the connection ends; returns why it did.
///
/// `outgoing` closing means: say goodbye and end. `incoming` is awaited, so a busy node slows its router down instead of
/// piling up frames.
pub(super) async fn carry(
    url: RouterUrl,
    outgoing: Receiver<Outgoing>,
    mut incoming: impl AsyncFnMut(Incoming) -> bool,
) -> String {
    let mut ws = match dial(&url, DIAL_DEADLINE).await {
        Ok(ws) => ws,
        Err(error) => return error.to_string(),
    };
    let local = match ws.get_ref().local_addr() {
        Ok(address) => address.ip().to_canonical(),
        Err(error) => return error.to_string(),
    };
    if !incoming(Incoming::Opened(local)).await {
        return "no longer wanted".to_owned();
    }
    loop {
        let read = async { Turn::Read(ws.next().await) };
        let turn = read.race(async { Turn::Write(outgoing.recv().await.ok()) }).await;
        let message = match turn {
            Turn::Read(Some(Ok(Message::Binary(bytes)))) => {
                if incoming(Incoming::Frame(bytes)).await {
                    continue;
                }
                break;
            }
            Turn::Read(Some(Ok(Message::Pong(_) | Message::Ping(_)))) => {
                if incoming(Incoming::Heard).await {
                    continue;
                }
                break;
            }
            Turn::Read(Some(Ok(Message::Close(frame)))) => {
                return match frame {
                    Some(frame) => format!("closed by the router: {} {}", frame.code, frame.reason),
                    None => "closed by the router".to_owned(),
                };
            }
            Turn::Read(Some(Ok(_))) => continue, // text: no CLASP in it
            Turn::Read(Some(Err(error))) => return error.to_string(),
            Turn::Read(None) => return "connection closed".to_owned(),
            Turn::Write(Some(Outgoing::Frame(frame))) => Message::Binary(frame),
            Turn::Write(Some(Outgoing::Ping)) => Message::Ping(Bytes::new()),
            Turn::Write(None) => break,
        };
        match deadline(WRITE_DEADLINE, ws.send(message)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => return error.to_string(),
            None => return format!("the router took nothing for {WRITE_DEADLINE:?}"),
        }
    }
    match deadline(CLOSE_DEADLINE, ws.close(None)).await {
        Some(Err(error)) if !matches!(error, WsError::ConnectionClosed | WsError::AlreadyClosed) => {
            error.to_string()
        }
        _ => "closed".to_owned(),
    }
}

enum Turn {
    Read(Option<Result<Message, WsError>>),
    Write(Option<Outgoing>),
}

/// Opens a WebSocket to `url`.
///
/// # Errors
/// When there is none within `limit`.
pub(super) async fn dial(url: &RouterUrl, limit: Duration) -> Result<WebSocketStream<TcpStream>, DialError> {
    deadline(limit, connect(url)).await.unwrap_or(Err(DialError::Timeout(limit)))
}

async fn connect(url: &RouterUrl) -> Result<WebSocketStream<TcpStream>, DialError> {
    let name = |error| DialError::Name { url: url.clone(), error };
    let tcp = |error| DialError::Tcp { url: url.clone(), error };
    let not_websocket = |why| DialError::NotWebSocket { url: url.clone(), why };
    let addresses = url.resolve().await.map_err(name)?;
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(tcp)?;
    stream.set_nodelay(true).map_err(tcp)?;
    // A zone means nothing to the router.
    let shown = url.to_string();
    let mut request =
        without_zone(&shown).0.into_client_request().map_err(|error| not_websocket(error.to_string()))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("clasp"));
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER_BYTES;
    config.write_buffer_size = 0;
    config.max_write_buffer_size = MAX_WRITE_BUFFER_BYTES;
    config.max_message_size = Some(MAX_FRAME_BYTES);
    config.max_frame_size = Some(MAX_FRAME_BYTES);
    match async_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((ws, _)) => Ok(ws),
        Err(WsError::Protocol(
            async_tungstenite::tungstenite::error::ProtocolError::SecWebSocketSubProtocolError(error),
        )) => Err(DialError::NotClasp { url: url.clone(), why: error.to_string() }),
        Err(error) => Err(not_websocket(error.to_string())),
    }
}

pub(super) async fn deadline<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    async { Some(future.await) }
        .or(async {
            smol::Timer::after(limit).await;
            None
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn router_addresses_are_completed_or_refused_with_the_reason() {
        for (text, want) in [
            ("ws://10.0.0.1", "ws://10.0.0.1:7330/"),
            ("ws://pi.local:8000/clasp", "ws://pi.local:8000/clasp"),
            ("ws://[::1]/x?y", "ws://[::1]:7330/x?y"),
            ("ws://[fe80::1%eth0]", "ws://[fe80::1%eth0]:7330/"),
            ("ws://[fe80::1%2]:8000/x?50%25", "ws://[fe80::1%2]:8000/x?50%25"),
            ("ws://[::1]/%5B", "ws://[::1]:7330/%5B"),
        ] {
            assert_eq!(text.parse::<RouterUrl>().map(|url| url.to_string()), Ok(want.to_owned()));
        }
        for (text, why) in [
            ("10.0.0.1:7330", "10.0.0.1"),
            ("http://a", "scheme \"http\""),
            ("wss://a", "TLS"),
            ("ws://a:0", "port 0"),
            ("ws://", "ws://"),
            ("ws://[fe80::1%]", "no such zone"),
            ("ws://[fe80::1%a/b]", "fe80"),
            ("", "\"\""),
        ] {
            let error = text.parse::<RouterUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("ws://localhost".parse::<RouterUrl>().unwrap().is_local());
        assert!("ws://[::1]".parse::<RouterUrl>().unwrap().is_local());
        assert!(!"ws://192.0.2.1".parse::<RouterUrl>().unwrap().is_local());
    }
}
