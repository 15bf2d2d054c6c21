//! What travels on a connection: JSON lines, and pieces of data between them.

use std::io;

use serde_json::{Value, json};
use smol::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::limits::MAX_CONTROL_PIECE_BYTES;

/// Room for what was read and not looked at.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// What announces a piece of data, and its length.
const DATA: &str = "data";

/// The same for messages that belong to no transfer.
const TEXT: &str = "text";

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A JSON line.
    Line(Value),
    /// The next bytes of a transfer.
    Data(&'a [u8]),
    /// Messages that belong to none, a line each.
    Text(&'a [u8]),
}

/// What a line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than the limit; what follows is the rest of it.
    TooLong,
    /// There are no more.
    End,
}

/// Reads lines and pieces. A call that is dropped before it is done loses nothing: the next one goes on where it was.
#[derive(Debug)]
pub struct FrameReader<R> {
    reader: BufReader<R>,
    limit: usize,
    buffer: Vec<u8>,
    /// The piece that is being read.
    piece: Option<(Kind, usize)>,
    /// What is in the buffer was handed out.
    is_done: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Data,
    Text,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Lines may be as long as `limit`.
    pub fn new(reader: R, limit: usize) -> Self {
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
        Self { reader, limit, buffer: Vec::new(), piece: None, is_done: false }
    }

    /// The next line, whatever it says.
    pub(super) async fn line(&mut self) -> io::Result<Line<'_>> {
        self.start_over();
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                self.is_done = true;
                return Ok(if self.buffer.is_empty() { Line::End } else { Line::TooLong });
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let room = self.limit - self.buffer.len();
            let len = newline.map_or(available.len(), |at| at + 1).min(room);
            self.buffer.extend(available.iter().take(len));
            self.reader.consume(len);
            if self.buffer.ends_with(b"\n") {
                self.is_done = true;
                return Ok(Line::Whole(&self.buffer));
            }
            if self.buffer.len() >= self.limit {
                self.is_done = true;
                return Ok(Line::TooLong);
            }
        }
    }

    /// The next line or piece; `None` when there are no more.
    ///
    /// # Errors
    /// When the connection fails or ends in the middle, or what comes is neither.
    pub async fn frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        if self.piece.is_none() {
            let value: Value = match self.line().await? {
                Line::End => return Ok(None),
                Line::TooLong => return Err(nonsense("a line is too long, or has no end")),
                Line::Whole(line) => {
                    serde_json::from_slice(line).map_err(|error| nonsense(&error.to_string()))?
                }
            };
            let announced = |name| value.get(name).and_then(Value::as_u64);
            let piece = match (announced(DATA), announced(TEXT)) {
                (Some(len), _) => (Kind::Data, len),
                (None, Some(len)) => (Kind::Text, len),
                (None, None) => return Ok(Some(Frame::Line(value))),
            };
            let len = usize::try_from(piece.1).ok().filter(|len| *len <= MAX_CONTROL_PIECE_BYTES);
            self.piece = Some((piece.0, len.ok_or_else(|| nonsense("a piece of data is too long"))?));
        }
        let (kind, len) = self.piece.unwrap_or((Kind::Data, 0));
        self.start_over();
        while self.buffer.len() < len {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let taken = available.len().min(len - self.buffer.len());
            self.buffer.extend(available.iter().take(taken));
            self.reader.consume(taken);
        }
        (self.piece, self.is_done) = (None, true);
        Ok(Some(match kind {
            Kind::Data => Frame::Data(&self.buffer),
            Kind::Text => Frame::Text(&self.buffer),
        }))
    }

    /// Forgets what was handed out.
    fn start_over(&mut self) {
        if std::mem::take(&mut self.is_done) {
            self.buffer.clear();
        }
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Sends a JSON line.
///
/// # Errors
/// When the connection fails.
pub async fn write_line(mut to: impl AsyncWrite + Unpin, value: &Value) -> io::Result<()> {
    to.write_all(format!("{value}\n").as_bytes()).await
}

/// Sends bytes of a transfer: at most [`MAX_CONTROL_PIECE_BYTES`].
///
/// # Errors
/// When the connection fails.
pub async fn write_piece(mut to: impl AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    write_line(&mut to, &json!({ DATA: bytes.len() })).await?;
    to.write_all(bytes).await
}

/// Sends messages that belong to no transfer, in as many pieces as they need.
pub(super) async fn write_text(mut to: impl AsyncWrite + Unpin, text: &[u8]) -> io::Result<()> {
    for piece in text.chunks(MAX_CONTROL_PIECE_BYTES) {
        write_line(&mut to, &json!({ TEXT: piece.len() })).await?;
        to.write_all(piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use smol::io::Cursor;

    use super::*;

    fn sent(write: impl AsyncFnOnce(&mut Cursor<Vec<u8>>) -> io::Result<()>) -> Vec<u8> {
        let mut wire = Cursor::new(Vec::new());
        smol::block_on(write(&mut wire)).unwrap();
        wire.into_inner()
    }

    #[test]
    fn lines_and_pieces_come_out_as_they_went_in() {
        let wire = sent(async |wire| {
            write_line(&mut *wire, &json!({"event": "connected"})).await?;
            write_piece(&mut *wire, b"{\"not\":\"a line\"}\n").await?;
            write_piece(&mut *wire, b"").await?;
            write_text(&mut *wire, b"hello\n").await
        });
        let mut reader = FrameReader::new(wire.as_slice(), 100);
        smol::block_on(async {
            assert_eq!(reader.frame().await.unwrap(), Some(Frame::Line(json!({"event": "connected"}))));
            assert_eq!(reader.frame().await.unwrap(), Some(Frame::Data(b"{\"not\":\"a line\"}\n")));
            assert_eq!(reader.frame().await.unwrap(), Some(Frame::Data(b"")));
            assert_eq!(reader.frame().await.unwrap(), Some(Frame::Text(b"hello\n")));
            assert_eq!(reader.frame().await.unwrap(), None);
        });
    }

    /// Gives one byte at a time, and makes the reader wait before each.
    struct Drop(Vec<u8>, bool);

    impl AsyncRead for Drop {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            self.1 = !self.1 && !self.0.is_empty();
            if self.1 {
                return std::task::Poll::Pending;
            }
            let byte = self.0.pop();
            into.iter_mut().zip(byte).for_each(|(room, byte)| *room = byte);
            std::task::Poll::Ready(Ok(usize::from(byte.is_some())))
        }
    }

    #[test]
    fn who_stops_reading_at_any_byte_goes_on_there() {
        let mut wire = sent(async |wire| {
            write_line(&mut *wire, &json!({"event": "begin"})).await?;
            write_piece(&mut *wire, b"0123456789").await
        });
        wire.reverse();
        let mut reader = FrameReader::new(Drop(wire, false), 100);
        let mut got = Vec::new();
        smol::block_on(async {
            for _ in 0..1000 {
                // Dropped after one look each time.
                match smol::future::poll_once(reader.frame()).await {
                    Some(Ok(Some(Frame::Data(bytes)))) => {
                        got.push(String::from_utf8_lossy(bytes).into_owned())
                    }
                    Some(Ok(Some(other))) => got.push(format!("{other:?}")),
                    Some(Ok(None)) => break,
                    Some(Err(error)) => panic!("{error}"),
                    None => {}
                }
            }
        });
        assert_eq!(got.len(), 2, "{got:?}");
        assert_eq!(got[1], "0123456789");
    }

    #[test]
    fn what_is_neither_or_too_long_or_cut_off_is_an_error() {
        for (wire, why) in [
            ("{\"data\":65537}\n", "a piece of data is too long"),
            ("nonsense\n", "expected"),
            ("{\"data\":5}\nabc", "end of file"),
            ("{\"event\":\"a line that is longer than it may be\"}\n", "too long"),
            ("{\"data\"", "has no end"),
        ] {
            let mut reader = FrameReader::new(wire.as_bytes(), 40);
            let error = smol::block_on(reader.frame()).unwrap_err().to_string();
            assert!(error.contains(why), "{wire}: {error}");
        }
    }
}
