//! A WebSocket client for tests: the real async-tungstenite over a real socket, with deadlines.

use std::{future::Future, net::SocketAddr, time::Duration};

use async_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message as WsMessage, client::IntoClientRequest as _, handshake::client::Request,
        protocol::CloseFrame,
    },
};
use clasp_wire::Message;
use smol::{Timer, future::FutureExt as _, net::TcpStream, stream::StreamExt as _};

use crate::messages::{encode, hello};

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connected client.
pub(crate) struct Client {
    pub(crate) ws: WebSocketStream<TcpStream>,
}

impl Client {
    /// A WebSocket, without HELLO.
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::request(to, format!("ws://{to}/clasp").into_client_request().unwrap()).await
    }

    /// The same of a browser here, for a web page that comes from elsewhere.
    pub(crate) async fn page(to: SocketAddr) -> Self {
        let mut request = format!("ws://{to}/clasp").into_client_request().unwrap();
        request.headers_mut().insert("origin", "https://example.org".parse().unwrap());
        Self::request(to, request).await
    }

    async fn request(to: SocketAddr, mut request: Request) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "clasp".parse().unwrap());
        let (ws, response) = client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "clasp");
        Self { ws }
    }

    /// A session: HELLO, WELCOME, SNAPSHOT. Returns its id, too.
    pub(crate) async fn session(to: SocketAddr) -> (Self, String) {
        let mut client = Self::connect(to).await;
        let id = client.hello().await;
        (client, id)
    }

    pub(crate) async fn hello(&mut self) -> String {
        self.hello_with("").await
    }

    pub(crate) async fn hello_with(&mut self, token: &str) -> String {
        self.send(&hello(token)).await;
        let frame = self.frame().await;
        let Ok((_, Message::Welcome(welcome))) = Message::decode_compact(&frame) else {
            panic!("no WELCOME but {frame:?}")
        };
        let id = welcome.session.to_owned();
        let frame = self.frame().await;
        assert!(matches!(Message::decode_compact(&frame), Ok((_, Message::Snapshot { .. }))), "{frame:?}");
        id
    }

    pub(crate) async fn send(&mut self, message: &Message<'_>) {
        self.send_frame(encode(message)).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: Vec<u8>) {
        soon(self.ws.send(WsMessage::binary(frame))).await.unwrap();
    }

    /// The next binary message.
    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            Next::Frame(frame) => frame,
            other => panic!("no frame but {other:?}"),
        }
    }

    /// What comes next, pings and pongs apart.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            match soon(self.ws.next()).await {
                Some(Ok(WsMessage::Binary(frame))) => return Next::Frame(frame.to_vec()),
                Some(Ok(WsMessage::Close(close))) => return Next::Close(close),
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(error)) => panic!("{error}"),
                None => return Next::End,
            }
        }
    }

    /// Frames until Close: the code, the reason and the frames.
    pub(crate) async fn until_closed(&mut self) -> (u16, String, Vec<Vec<u8>>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Next::Frame(frame) => frames.push(frame),
                Next::Close(Some(close)) => return (close.code.into(), close.reason.to_string(), frames),
                other => panic!("{other:?} instead of a Close with a reason, after {} frames", frames.len()),
            }
        }
    }

    /// PING and its PONG: everything sent before has been worked off, everything it caused has been read.
    pub(crate) async fn settle(&mut self) -> Vec<Vec<u8>> {
        self.send(&Message::Ping).await;
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            if Message::decode_compact(&frame).unwrap().1 == Message::Pong {
                return frames;
            }
            frames.push(frame);
        }
    }
}

/// What a client reads.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Vec<u8>),
    Close(Option<CloseFrame>),
    End,
}

/// Fails the test when something takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(PATIENCE).await;
        panic!("it takes longer than {PATIENCE:?}")
    };
    future.or(late).await
}
