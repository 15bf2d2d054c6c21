//! A bounds-checked cursor over encoded bytes. Every read says what it wanted and where it stood when it failed.
//!
//! The reads of plain fields are always inlined: returned through memory, each small result would be written in pieces
//! and read back whole, which a processor answers with a stall. Measured on SET, that alone was half the time.

use crate::{
    error::{DecodeError, DecodeErrorKind},
    limits::MAX_DEPTH,
    seq::{Form, Item, Seq},
};

/// A cursor that also keeps track of nesting and of whether re-encoding would give the same bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the first byte of the frame.
    end: usize,
    /// Containers open around the cursor.
    depth: u8,
    /// Most containers open at any time since the innermost list began.
    deepest: u8,
    /// Nothing read so far would be written differently.
    canonical: bool,
    /// The bytes were validated before: skipping need not look at text again.
    trusted: bool,
}

impl<'a> Reader<'a> {
    /// Over `bytes`, whose first byte stands at `offset` of its frame.
    pub(crate) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, end: offset + bytes.len(), depth: 0, deepest: 0, canonical: true, trusted: false }
    }

    /// Over bytes that a reader accepted before.
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len(), depth: 0, deepest: 0, canonical: true, trusted: true }
    }

    /// A reader of the next `len` bytes, one container further in. [`Self::close_member`] takes its findings back.
    pub(crate) fn member(&mut self, len: usize) -> Result<Self, DecodeError> {
        let bytes = self.take(len, "bundle member")?;
        Ok(Self { rest: bytes, end: self.offset(), canonical: true, ..*self })
    }

    pub(crate) fn close_member(&mut self, member: &Self) {
        self.deepest = self.deepest.max(member.deepest);
        self.canonical &= member.canonical && member.rest.is_empty();
    }

    pub(crate) const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// What was just read will not be written back as it was.
    pub(crate) const fn not_canonical(&mut self) {
        self.canonical = false;
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn short(&self, what: &'static str, needed: usize) -> DecodeError {
        let [needed, left] = [needed, self.rest.len()].map(|len| u16::try_from(len).unwrap_or(u16::MAX));
        DecodeError::new(self.offset(), DecodeErrorKind::Short { what, needed, left })
    }

    /// An error about the byte read last.
    #[cold]
    pub(crate) fn error_here(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(self.offset().saturating_sub(1), kind)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.short(what, len)),
        }
    }

    /// The next `N` bytes, turned into a number right here: arrays that travel through results are copied bytewise.
    #[inline(always)]
    fn number<const N: usize, T>(
        &mut self,
        what: &'static str,
        from: impl FnOnce([u8; N]) -> T,
    ) -> Result<T, DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(from(*head))
            }
            None => Err(self.short(what, N)),
        }
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.number(what, u8::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.number(what, u16::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.number(what, u32::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.number(what, u64::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn f64(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        self.number(what, f64::from_be_bytes)
    }

    /// u16 length, then bytes.
    #[inline(always)]
    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u16("length")?;
        self.take(usize::from(len), what)
    }

    /// u16 length, then UTF-8.
    #[inline(always)]
    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes("string")?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(error) => Err(self.not_utf8(bytes.len(), error.valid_up_to())),
        }
    }

    #[cold]
    #[inline(never)]
    fn not_utf8(&self, len: usize, valid: usize) -> DecodeError {
        DecodeError::new(self.offset() - len + valid, DecodeErrorKind::Utf8)
    }

    /// Like [`Self::str`], for text nobody wants to see now.
    #[inline(always)]
    pub(crate) fn skip_str(&mut self) -> Result<(), DecodeError> {
        if self.trusted { self.bytes("string").map(drop) } else { self.str().map(drop) }
    }

    /// One byte of optional-field flags of which only `known` have a meaning.
    #[inline(always)]
    pub(crate) fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        let flags = self.u8("flags")?;
        self.canonical &= flags & !known == 0;
        Ok(flags)
    }

    /// Opens a container; [`Self::leave`] closes it.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), DecodeError> {
        if usize::from(self.depth) >= MAX_DEPTH {
            return Err(self.error_here(DecodeErrorKind::TooDeep));
        }
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        Ok(())
    }

    #[inline]
    pub(crate) const fn leave(&mut self) {
        self.depth -= 1;
    }

    /// u16 count, then that many items, validated; they stay encoded.
    #[inline]
    pub(crate) fn list<T: Item<'a>>(&mut self, form: Form) -> Result<Seq<'a, T>, DecodeError> {
        let count = self.u16("list count")?;
        self.list_of(count, form)
    }

    /// The items of a list whose count was read before.
    pub(crate) fn list_of<T: Item<'a>>(&mut self, count: u16, form: Form) -> Result<Seq<'a, T>, DecodeError> {
        let start = self.rest;
        let canonical_before = core::mem::replace(&mut self.canonical, true);
        let deepest_before = core::mem::replace(&mut self.deepest, self.depth);
        self.skip_items::<T>(count, form)?;
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        let seq = Seq::raw(raw, count, self.deepest - self.depth, self.canonical, form);
        self.canonical &= canonical_before;
        self.deepest = self.deepest.max(deepest_before);
        Ok(seq)
    }

    /// A list nobody wants to see now.
    pub(crate) fn skip_list<T: Item<'a>>(&mut self, form: Form) -> Result<(), DecodeError> {
        let count = self.u16("list count")?;
        self.skip_items::<T>(count, form)
    }

    fn skip_items<T: Item<'a>>(&mut self, count: u16, form: Form) -> Result<(), DecodeError> {
        let least = usize::from(count) * T::MIN_BYTES;
        if least > self.rest.len() {
            let count = u32::from(count);
            let left = u32::try_from(self.rest.len()).unwrap_or(u32::MAX);
            return Err(DecodeError::new(self.offset(), DecodeErrorKind::Count { count, left }));
        }
        if T::FIXED {
            return self.take(least, "list").map(drop);
        }
        for _ in 0..count {
            T::skip(self, form)?;
        }
        Ok(())
    }
}
