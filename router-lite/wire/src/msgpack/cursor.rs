//! A position in MessagePack bytes, over the low-level reader of `rmp`.

use rmp::{
    Marker,
    decode::{self, NumValueReadError, ValueReadError, bytes::Bytes, bytes::BytesReadError},
};

use crate::error::{DecodeError, DecodeErrorKind};

/// What `rmp` may object to, seen from here.
enum Trouble {
    Short,
    Type,
}

impl From<ValueReadError<BytesReadError>> for Trouble {
    fn from(error: ValueReadError<BytesReadError>) -> Self {
        match error {
            ValueReadError::TypeMismatch(_) => Self::Type,
            _ => Self::Short,
        }
    }
}

impl From<NumValueReadError<BytesReadError>> for Trouble {
    fn from(error: NumValueReadError<BytesReadError>) -> Self {
        match error {
            NumValueReadError::TypeMismatch(_) | NumValueReadError::OutOfRange => Self::Type,
            _ => Self::Short,
        }
    }
}

/// Bytes still to read, and where they end in the frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, end: offset + bytes.len() }
    }

    pub(super) const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(super) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(self.offset(), kind)
    }

    fn short(&self, needed: usize) -> DecodeError {
        let [needed, left] = [needed, self.rest.len()].map(|len| u16::try_from(len).unwrap_or(u16::MAX));
        self.error(DecodeErrorKind::Short { what: "MessagePack item", needed, left })
    }

    /// What comes next.
    pub(super) fn peek(&self) -> Result<Marker, DecodeError> {
        self.rest.first().map(|&byte| Marker::from_u8(byte)).ok_or_else(|| self.short(1))
    }

    /// Runs one of `rmp`'s readers; `field` names the value in errors.
    fn read<T, E: Into<Trouble>>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Bytes<'a>) -> Result<T, E>,
    ) -> Result<T, DecodeError> {
        let mut bytes = Bytes::new(self.rest);
        match read(&mut bytes) {
            Ok(value) => {
                self.rest = bytes.remaining_slice();
                Ok(value)
            }
            Err(error) => Err(match error.into() {
                Trouble::Short => self.short(self.rest.len() + 1),
                Trouble::Type => self.error(DecodeErrorKind::WrongType(field)),
            }),
        }
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.short(len))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        self.read(field, decode::read_bool)
    }

    /// Any integer that fits `T`.
    pub(super) fn int<T: TryFrom<u64> + TryFrom<i64>>(
        &mut self,
        field: &'static str,
    ) -> Result<T, DecodeError> {
        let wrong = self.error(DecodeErrorKind::WrongType(field));
        match self.peek()? {
            Marker::U64 => T::try_from(self.read(field, decode::read_u64)?).map_err(|_| wrong),
            _ => T::try_from(self.read(field, decode::read_int::<i64, _>)?).map_err(|_| wrong),
        }
    }

    /// A float of either width, or an integer.
    pub(super) fn float(&mut self, field: &'static str) -> Result<f64, DecodeError> {
        Ok(match self.peek()? {
            Marker::F32 => self.read(field, decode::read_f32)?.into(),
            Marker::F64 => self.read(field, decode::read_f64)?,
            Marker::U64 => self.read(field, decode::read_u64)? as f64,
            _ => self.read(field, decode::read_int::<i64, _>)? as f64,
        })
    }

    /// Text, or bytes that are text.
    pub(super) fn str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = match self.peek()? {
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.read(field, decode::read_bin_len)?,
            _ => self.read(field, decode::read_str_len)?,
        };
        let bytes = self.take(len)?;
        core::str::from_utf8(bytes).map_err(|error| {
            let start = self.offset() - bytes.len();
            DecodeError::new(start + error.valid_up_to(), DecodeErrorKind::Utf8)
        })
    }

    /// The length of an array, which is then read item by item. A length that cannot be true is refused here.
    pub(super) fn array(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let count = self.read(field, decode::read_array_len)?;
        self.plausible(count, 1)
    }

    /// The same for a map, which is then read key by value.
    pub(super) fn map(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let count = self.read(field, decode::read_map_len)?;
        self.plausible(count, 2)
    }

    fn plausible(&self, count: u32, bytes_each: u64) -> Result<u32, DecodeError> {
        if u64::from(count) * bytes_each > self.rest.len() as u64 {
            let left = u32::try_from(self.rest.len()).unwrap_or(u32::MAX);
            return Err(self.error(DecodeErrorKind::Count { count, left }));
        }
        Ok(count)
    }

    /// Nothing. Consumes it only if it is there.
    pub(super) fn nil(&mut self) -> bool {
        self.read("nil", decode::read_nil).is_ok()
    }

    /// Bytes between an earlier position and this one.
    pub(super) fn since(&self, earlier: &Self) -> u16 {
        u16::try_from(earlier.rest.len() - self.rest.len()).unwrap_or(u16::MAX)
    }

    /// A cursor over some of the bytes that follow; none if there are none.
    pub(super) fn span(&self, start: u16, end: u16) -> Option<Self> {
        let rest = self.rest.get(start.into()..end.into()).filter(|span| !span.is_empty())?;
        Some(Self { rest, end: self.offset() + usize::from(end) })
    }

    /// Passes over the next item, whatever it is. Does not recurse.
    pub(super) fn skip(&mut self) -> Result<(), DecodeError> {
        let mut pending: u64 = 1;
        while pending > 0 {
            pending -= 1;
            match self.peek()? {
                Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                    pending += u64::from(self.array("item")?);
                }
                Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                    pending += 2 * u64::from(self.map("item")?)
                }
                marker => self.skip_leaf(marker)?,
            }
        }
        Ok(())
    }

    fn skip_leaf(&mut self, marker: Marker) -> Result<(), DecodeError> {
        let len = match marker {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                self.read("item", decode::read_str_len)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.read("item", decode::read_bin_len)?,
            Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
            | Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16 => self.read("item", decode::read_ext_meta)?.size,
            Marker::U8 | Marker::I8 => 2,
            Marker::U16 | Marker::I16 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 9,
            Marker::Reserved => return Err(self.error(DecodeErrorKind::WrongType("item"))),
            _ => 1,
        };
        self.take(len).map(drop)
    }
}
