//! Between the ends and their router, where a router introduces them: passes everything on, and puts stand-ins into the
//! candidates on the way from the router.
//!
//! Only that way has to be read: every signal takes it, and a server's WebSocket frames are not masked.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Async, LocalExecutor, Task};

use super::rewrite;
use super::sockets::Sockets;
use crate::Outcome;

const READ_BYTES: usize = 16 * 1024;

/// No frame of these programs is larger; what is, is not WebSocket.
const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// A listener that stands in for the router. Ends when it is dropped.
pub(crate) struct Signalling {
    pub(crate) url: String,
    _accepting: Task<()>,
}

impl Signalling {
    pub(crate) fn start(
        router: SocketAddr,
        sockets: &Rc<Sockets>,
        executor: &Rc<LocalExecutor<'static>>,
    ) -> Outcome<Self> {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
        let url = format!("ws://{}", listener.get_ref().local_addr()?);
        let (sockets, inner) = (Rc::clone(sockets), Rc::clone(executor));
        let accepting = executor.spawn(async move {
            let mut connections = Vec::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.push(inner.spawn(pass(client, router, Rc::clone(&sockets))));
            }
        });
        Ok(Self { url, _accepting: accepting })
    }
}

async fn pass(client: Async<TcpStream>, router: SocketAddr, sockets: Rc<Sockets>) {
    let result = async {
        let router = Async::<TcpStream>::connect(router).await?;
        client.get_ref().set_nodelay(true)?;
        router.get_ref().set_nodelay(true)?;
        let there = async { Ok(smol::io::copy(&client, &mut &router).await.map(drop)?) };
        smol::future::race(there, back(&router, &client, &sockets)).await
    };
    let result: Outcome<()> = result.await;
    if let Err(error) = result {
        crate::note(&format!("signalling: {error}"));
    }
}

async fn back(
    mut router: &Async<TcpStream>,
    mut client: &Async<TcpStream>,
    sockets: &Sockets,
) -> Outcome<()> {
    let mut waiting = Vec::new();
    let mut upgraded = false;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = router.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        waiting.extend_from_slice(buffer.get(..length).unwrap_or_default());
        let mut whole = 0;
        while let Some(length) = unit(waiting.get(whole..).unwrap_or_default(), upgraded)? {
            let unit = waiting.get_mut(whole..whole + length).unwrap_or_default();
            if upgraded {
                rewrite::candidates(unit, |real| sockets.stand_in(real))?;
            }
            upgraded = true;
            whole += length;
        }
        client.write_all(waiting.get(..whole).unwrap_or_default()).await?;
        waiting.drain(..whole);
    }
}

/// Length of what `bytes` begins with, if it is complete: the HTTP response, later a frame.
fn unit(bytes: &[u8], upgraded: bool) -> Outcome<Option<usize>> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let length = if upgraded {
        match *bytes {
            [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                10 + usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h]))?.min(MAX_FRAME_BYTES)
            }
            [_, short @ 0..=125, ..] => 2 + usize::from(short),
            [_, 128..=255, ..] => return Err("a masked frame of a server".into()),
            _ => return Ok(None),
        }
    } else {
        match rewrite::find(bytes, BLANK_LINE) {
            Some(at) => at + BLANK_LINE.len(),
            None => return Ok(None),
        }
    };
    if length >= MAX_FRAME_BYTES {
        return Err("not WebSocket: a frame that large".into());
    }
    Ok((length <= bytes.len()).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_whole() {
        let http = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x82";
        assert_eq!(unit(http, false).unwrap(), Some(http.len() - 1));
        assert_eq!(unit(&http[..20], false).unwrap(), None);
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let huge = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[7; 65_536]].concat();
        for frame in [&[0x82, 3, 1, 2, 3][..], &[0x89, 0], &long, &huge] {
            assert_eq!(unit(frame, true).unwrap(), Some(frame.len()));
            assert_eq!(unit(&frame[..frame.len() - 1], true).unwrap(), None);
        }
        assert!(unit(&[0x82, 0x83, 0, 0, 0, 0, 1, 2, 3], true).is_err());
        assert!(unit(&[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0], true).is_err());
    }
}
