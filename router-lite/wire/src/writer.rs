//! Writing the compact form, once, into three kinds of sink: a growing vector, a fixed slice, a counter.

use alloc::vec::Vec;

use crate::{
    error::EncodeError,
    limits::{MAX_DEPTH, MAX_PAYLOAD_BYTES},
};

/// Where encoded bytes go.
pub trait Sink {
    /// Appends.
    fn put(&mut self, bytes: &[u8]);
    /// How many bytes there are.
    fn position(&self) -> usize;
    /// Overwrites two bytes written before.
    fn patch(&mut self, at: usize, bytes: [u8; 2]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    #[inline]
    fn position(&self) -> usize {
        self.len()
    }
    #[inline]
    fn patch(&mut self, at: usize, bytes: [u8; 2]) {
        if let Some(place) = self.get_mut(at..at + 2) {
            place.copy_from_slice(&bytes);
        }
    }
}

/// Counts only.
#[derive(Debug, Default)]
pub(crate) struct Counter(usize);

impl Sink for Counter {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
    #[inline]
    fn position(&self) -> usize {
        self.0
    }
    #[inline]
    fn patch(&mut self, _at: usize, _bytes: [u8; 2]) {}
}

/// A fixed buffer. Bytes that do not fit are dropped: the caller has measured before.
#[derive(Debug)]
pub(crate) struct Slice<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl<'o> Slice<'o> {
    pub(crate) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, at: 0 }
    }
}

impl Sink for Slice<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }
    #[inline]
    fn position(&self) -> usize {
        self.at
    }
    #[inline]
    fn patch(&mut self, at: usize, bytes: [u8; 2]) {
        if let Some(place) = self.out.get_mut(at..at + 2) {
            place.copy_from_slice(&bytes);
        }
    }
}

/// A sink, where this payload started in it, and how many containers are open.
#[derive(Debug)]
pub struct Writer<'s, S> {
    sink: &'s mut S,
    start: usize,
    depth: usize,
}

impl<'s, S: Sink> Writer<'s, S> {
    pub(crate) fn new(sink: &'s mut S) -> Self {
        let start = sink.position();
        Self { sink, start, depth: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.sink.position() - self.start
    }

    /// Gives up as soon as the payload is known to be too large.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), EncodeError> {
        let len = self.len();
        if len > MAX_PAYLOAD_BYTES { Err(EncodeError::PayloadTooLarge { len }) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn u8(&mut self, value: u8) {
        self.sink.put(&[value]);
    }

    #[inline]
    pub(crate) fn u16(&mut self, value: u16) {
        self.sink.put(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) {
        self.sink.put(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn u64(&mut self, value: u64) {
        self.sink.put(&value.to_be_bytes());
    }

    #[inline]
    pub(crate) fn f64(&mut self, value: f64) {
        self.sink.put(&value.to_be_bytes());
    }

    /// A tag and the eight bytes behind it.
    #[inline]
    pub(crate) fn tagged(&mut self, tag: u8, bits: u64) {
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        self.sink.put(&[tag, a, b, c, d, e, f, g, h]);
    }

    /// Bytes that are already encoded.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.sink.put(bytes);
    }

    /// u16 length, then bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = bytes.len();
        let short = u16::try_from(len).map_err(|_| EncodeError::StringTooLong { len })?;
        self.u16(short);
        self.sink.put(bytes);
        Ok(())
    }

    /// u16 length, then UTF-8.
    #[inline]
    pub(crate) fn str(&mut self, text: &str) -> Result<(), EncodeError> {
        self.bytes(text.as_bytes())
    }

    /// u16 count of a list.
    #[inline]
    pub(crate) fn count(&mut self, len: usize) -> Result<(), EncodeError> {
        let short = u16::try_from(len).map_err(|_| EncodeError::ListTooLong { len })?;
        self.u16(short);
        Ok(())
    }

    /// Leaves room for a u16 that is known later; returns where.
    pub(crate) fn reserve_u16(&mut self) -> usize {
        let at = self.sink.position();
        self.u16(0);
        at
    }

    /// Fills what [`Self::reserve_u16`] left with the number of bytes written since.
    pub(crate) fn patch_len(&mut self, at: usize) -> Result<(), EncodeError> {
        let len = self.sink.position() - at - 2;
        let short = u16::try_from(len).map_err(|_| EncodeError::PayloadTooLarge { len })?;
        self.sink.patch(at, short.to_be_bytes());
        Ok(())
    }

    /// Fills what [`Self::reserve_u16`] left.
    pub(crate) fn patch_count(&mut self, at: usize, len: usize) -> Result<(), EncodeError> {
        let short = u16::try_from(len).map_err(|_| EncodeError::ListTooLong { len })?;
        self.sink.patch(at, short.to_be_bytes());
        Ok(())
    }

    /// Opens a container; [`Self::leave`] closes it.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), EncodeError> {
        self.depth += 1;
        self.room_for(0)
    }

    #[inline]
    pub(crate) const fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Whether `height` more containers may be opened inside this one.
    #[inline]
    pub(crate) const fn room_for(&self, height: u8) -> Result<(), EncodeError> {
        if self.depth + height as usize > MAX_DEPTH { Err(EncodeError::TooDeep) } else { Ok(()) }
    }
}
