//! Lists: encoded and validated, or items of the caller.

use core::{fmt, iter::FusedIterator, marker::PhantomData};

use crate::{
    error::{DecodeError, EncodeError},
    reader::Reader,
    writer::{Sink, Writer},
};

/// A list in a message.
///
/// Decoding yields lists that stay in their encoded form: the bytes were validated once, [`Seq::iter`] reads the
/// items when they are asked for, and writing the list again copies the bytes when that gives the same result.
/// A list to be sent is made from a slice with [`Seq::items`].
pub struct Seq<'a, T>(Repr<'a, T>);

enum Repr<'a, T> {
    Items(&'a [T]),
    Raw(Raw<'a>),
}

#[derive(Clone, Copy)]
struct Raw<'a> {
    bytes: &'a [u8],
    count: u16,
    /// How many containers nest inside the items.
    height: u8,
    /// Writing the items gives these bytes again.
    canonical: bool,
    form: Form,
}

/// How announced signals are written; every other list has one form only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As in ANNOUNCE.
    Full,
    /// Without `meta`, as in RESULT.
    Bare,
}

/// What a list can hold. Implemented for the items of CLASP messages, and closed.
pub trait Item<'a>: Copy {
    /// The least an item can take on the wire.
    #[doc(hidden)]
    const MIN_BYTES: usize;
    /// Whether every item takes exactly that, and any bytes will do.
    #[doc(hidden)]
    const FIXED: bool = false;
    #[doc(hidden)]
    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError>;
    #[doc(hidden)]
    fn skip(reader: &mut Reader<'a>, form: Form) -> Result<(), DecodeError> {
        Self::read(reader, form).map(drop)
    }
    #[doc(hidden)]
    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, form: Form) -> Result<(), EncodeError>;
    /// Equality as [`Seq`] has it: floats by their bits.
    #[doc(hidden)]
    fn same(&self, other: &Self) -> bool;
}

impl<'a, T> Seq<'a, T> {
    /// The empty list.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Repr::Items(&[]))
    }

    /// A list of the caller's items.
    #[must_use]
    pub const fn items(items: &'a [T]) -> Self {
        Self(Repr::Items(items))
    }

    pub(crate) const fn raw(bytes: &'a [u8], count: u16, height: u8, canonical: bool, form: Form) -> Self {
        Self(Repr::Raw(Raw { bytes, count, height, canonical, form }))
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Items(items) => items.len(),
            Repr::Raw(raw) => raw.count as usize,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The encoded items, when writing them would give exactly these bytes.
    pub(crate) const fn canonical_bytes(&self) -> Option<&'a [u8]> {
        match self.0 {
            Repr::Raw(Raw { bytes, canonical: true, .. }) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a, T: Item<'a>> Seq<'a, T> {
    /// The items, in order. Cannot fail: encoded items were validated when the list was decoded.
    #[must_use]
    pub fn iter(&self) -> Iter<'a, T> {
        match self.0 {
            Repr::Items(items) => Iter(Walk::Items(items.iter())),
            Repr::Raw(raw) => Iter(Walk::Raw {
                reader: Reader::trusted(raw.bytes),
                left: raw.count,
                form: raw.form,
                item: PhantomData,
            }),
        }
    }

    /// u16 count and the items.
    pub(crate) fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, form: Form) -> Result<(), EncodeError> {
        writer.count(self.len())?;
        self.write_items(writer, form)
    }

    /// The items alone, for the one list whose count does not stand right before it.
    pub(crate) fn write_items<S: Sink>(
        &self,
        writer: &mut Writer<'_, S>,
        form: Form,
    ) -> Result<(), EncodeError> {
        match &self.0 {
            Repr::Raw(raw) if raw.canonical && raw.form == form => {
                writer.room_for(raw.height)?;
                writer.raw(raw.bytes);
                return writer.check();
            }
            Repr::Items(items) => {
                for item in *items {
                    item.write(writer, form)?;
                    writer.check()?;
                }
            }
            Repr::Raw(_) => {
                for item in self {
                    item.write(writer, form)?;
                    writer.check()?;
                }
            }
        }
        Ok(())
    }
}

impl<T> Clone for Seq<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seq<'_, T> {}

impl<T> Clone for Repr<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Repr<'_, T> {}

impl<T> Default for Seq<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a, T> From<&'a [T]> for Seq<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self::items(items)
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for Seq<'a, T> {
    fn from(items: &'a [T; N]) -> Self {
        Self::items(items)
    }
}

impl<'a, T: Item<'a>> PartialEq for Seq<'a, T> {
    /// Item by item and in order; floats by their bits, so that a NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a.same(&b))
    }
}

impl<'a, T: Item<'a> + fmt::Debug> fmt::Debug for Seq<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Item<'a>> IntoIterator for Seq<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Item<'a>> IntoIterator for &Seq<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The items of a [`Seq`].
#[derive(Clone)]
pub struct Iter<'a, T>(Walk<'a, T>);

#[derive(Clone)]
enum Walk<'a, T> {
    Items(core::slice::Iter<'a, T>),
    Raw { reader: Reader<'a>, left: u16, form: Form, item: PhantomData<T> },
}

impl<'a, T: Item<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Walk::Items(items) => items.next().copied(),
            Walk::Raw { left: 0, .. } => None,
            Walk::Raw { reader, left, form, .. } => match T::read(reader, *form) {
                Ok(item) => {
                    *left -= 1;
                    Some(item)
                }
                // Validated bytes do not fail; if they ever did, the list would end here instead of panicking.
                Err(_) => {
                    *left = 0;
                    None
                }
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match &self.0 {
            Walk::Items(items) => items.len(),
            Walk::Raw { left, .. } => usize::from(*left),
        };
        (len, Some(len))
    }
}

impl<'a, T: Item<'a>> ExactSizeIterator for Iter<'a, T> {}
impl<'a, T: Item<'a>> FusedIterator for Iter<'a, T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter(..)")
    }
}

impl<'a> Item<'a> for &'a str {
    const MIN_BYTES: usize = 2;

    fn read(reader: &mut Reader<'a>, _form: Form) -> Result<Self, DecodeError> {
        reader.str()
    }

    fn skip(reader: &mut Reader<'a>, _form: Form) -> Result<(), DecodeError> {
        reader.skip_str()
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, _form: Form) -> Result<(), EncodeError> {
        writer.str(self)
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<'a> Item<'a> for f64 {
    const MIN_BYTES: usize = 8;
    const FIXED: bool = true;

    fn read(reader: &mut Reader<'a>, _form: Form) -> Result<Self, DecodeError> {
        reader.f64("sample")
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, _form: Form) -> Result<(), EncodeError> {
        writer.f64(*self);
        Ok(())
    }

    fn same(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
