//! What a router does to a signal: the sender's session goes in, whatever the sender claimed.

use alloc::vec::Vec;

use crate::{
    error::EncodeError,
    header::Header,
    message::{Body, Message, Publish, code, encode},
    reader::Reader,
    seq::{Form, Item, Seq},
    value::{Entry, Value, codec},
    writer::{Counter, Sink, Writer},
};

const FROM: &str = "from";

/// Appends the frame of `publish` with exactly one `from` entry in its map: the session `from`.
///
/// Everything else stays: address, the order of the other entries, timestamp, id. A value that is not a map is
/// [`EncodeError::NotAMap`]. On an error `out` is left as it was.
pub fn encode_signal_with_from(
    publish: &Publish<'_>,
    from: &str,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let Body::Value(Value::Map(entries)) = publish.body else { return Err(EncodeError::NotAMap) };
    let found = entries.canonical_bytes().map(|raw| Claims::find(raw, entries.len()));
    if let Some(Claims { count: 1, value: Some(claimed), .. }) = found
        && claimed == from
    {
        // The usual case, and a plain copy: stock peers name themselves.
        return Message::Publish(*publish).encode_into(out);
    }
    let signal = Rewritten { publish, entries, raw: entries.canonical_bytes().zip(found), from };
    let mut counter = Counter::default();
    signal.write(&mut Writer::new(&mut counter))?;
    let len = counter.position();
    let payload_len = u16::try_from(len).map_err(|_| EncodeError::PayloadTooLarge { len })?;
    let header = Header { qos: Message::Publish(*publish).default_qos(), timestamp_us: None, payload_len };
    out.reserve(header.encoded_len() + len);
    header.encode_into(out);
    // Measuring went the same way and would have found whatever could go wrong here.
    signal.write(&mut Writer::new(out))
}

/// The `from` entries of an encoded map.
#[derive(Clone, Copy)]
struct Claims<'a> {
    count: usize,
    /// The last one's text, if it is text.
    value: Option<&'a str>,
    /// Where the only one is. Meaningless when there are several.
    start: usize,
    end: usize,
}

impl<'a> Claims<'a> {
    /// Skims the entries of a map that was validated before.
    fn find(raw: &'a [u8], entries: usize) -> Self {
        let mut claims = Self { count: 0, value: None, start: 0, end: 0 };
        let mut reader = Reader::trusted(raw);
        for _ in 0..entries {
            let start = reader.offset();
            let Ok(key) = reader.bytes("key") else { break };
            if key == FROM.as_bytes() {
                let Ok(value) = Value::read(&mut reader, Form::Full) else { break };
                claims = Self { count: claims.count + 1, value: value.as_str(), start, end: reader.offset() };
            } else if Value::skip(&mut reader, Form::Full).is_err() {
                break;
            }
        }
        claims
    }
}

/// A signal with another `from`.
struct Rewritten<'p, 'a> {
    publish: &'p Publish<'a>,
    entries: Seq<'a, Entry<'a>>,
    raw: Option<(&'a [u8], Claims<'a>)>,
    from: &'p str,
}

impl Rewritten<'_, '_> {
    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
        writer.u8(code::PUBLISH);
        writer.u8(encode::publish_flags(self.publish));
        writer.str(self.publish.address)?;
        writer.u8(1);
        writer.u8(codec::MAP);
        writer.enter()?;
        match self.raw {
            Some((raw, claims)) if claims.count <= 1 => {
                writer.count(self.entries.len() - claims.count + 1)?;
                writer.raw(raw.get(..claims.start).unwrap_or_default());
                writer.raw(raw.get(claims.end..).unwrap_or_default());
            }
            _ => {
                let at = writer.reserve_u16();
                let mut kept = 1;
                for entry in self.entries.iter().filter(|entry| entry.key != FROM) {
                    entry.write(writer, Form::Full)?;
                    writer.check()?;
                    kept += 1;
                }
                writer.patch_count(at, kept)?;
            }
        }
        Entry { key: FROM, value: Value::Str(self.from) }.write(writer, Form::Full)?;
        writer.leave();
        encode::write_publish_tail(self.publish, writer);
        Ok(())
    }
}
