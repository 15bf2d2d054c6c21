//! Values on the wire: a tag byte, then data (reference §4.2).

use super::{Entry, Value};
use crate::{
    error::{DecodeError, DecodeErrorKind, EncodeError},
    reader::Reader,
    seq::{Form, Item},
    writer::{Sink, Writer},
};

pub(crate) const NULL: u8 = 0x00;
pub(crate) const BOOL: u8 = 0x01;
const I8: u8 = 0x02;
const I16: u8 = 0x03;
const I32: u8 = 0x04;
pub(crate) const INT: u8 = 0x05;
const F32: u8 = 0x06;
pub(crate) const FLOAT: u8 = 0x07;
pub(crate) const STR: u8 = 0x08;
pub(crate) const BYTES: u8 = 0x09;
pub(crate) const ARRAY: u8 = 0x0A;
pub(crate) const MAP: u8 = 0x0B;

impl<'a> Value<'a> {
    /// The tag this value is written with.
    pub(crate) const fn tag(&self) -> u8 {
        match self {
            Value::Null => NULL,
            Value::Bool(_) => BOOL,
            Value::Int(_) => INT,
            Value::Float(_) => FLOAT,
            Value::Str(_) => STR,
            Value::Bytes(_) => BYTES,
            Value::Array(_) => ARRAY,
            Value::Map(_) => MAP,
        }
    }

    /// The data after a tag.
    #[inline(always)]
    pub(crate) fn read_data(reader: &mut Reader<'a>, tag: u8) -> Result<Self, DecodeError> {
        // What most values are, without a call.
        match tag {
            INT => Ok(Value::Int(reader.u64("i64")?.cast_signed())),
            FLOAT => Ok(Value::Float(reader.f64("f64")?)),
            _ => Self::read_other(reader, tag),
        }
    }

    #[inline(never)]
    fn read_other(reader: &mut Reader<'a>, tag: u8) -> Result<Self, DecodeError> {
        Ok(match tag {
            NULL => Value::Null,
            BOOL => {
                let byte = reader.u8("bool")?;
                if byte > 1 {
                    reader.not_canonical();
                }
                Value::Bool(byte != 0)
            }
            I8 => narrow(reader, |r| Ok(Value::Int(r.u8("i8")?.cast_signed().into())))?,
            I16 => narrow(reader, |r| Ok(Value::Int(r.u16("i16")?.cast_signed().into())))?,
            I32 => narrow(reader, |r| Ok(Value::Int(r.u32("i32")?.cast_signed().into())))?,
            F32 => narrow(reader, |r| Ok(Value::Float(f32::from_bits(r.u32("f32")?).into())))?,
            STR => Value::Str(reader.str()?),
            BYTES => Value::Bytes(reader.bytes("bytes")?),
            ARRAY => {
                reader.enter()?;
                let items = reader.list(Form::Full)?;
                reader.leave();
                Value::Array(items)
            }
            MAP => {
                reader.enter()?;
                let entries = reader.list(Form::Full)?;
                reader.leave();
                Value::Map(entries)
            }
            _ => return Err(reader.error_here(DecodeErrorKind::UnknownTag(tag))),
        })
    }

    /// Like [`Self::read_data`], for a value nobody wants to see now.
    pub(crate) fn skip_data(reader: &mut Reader<'a>, tag: u8) -> Result<(), DecodeError> {
        match tag {
            INT | FLOAT => reader.u64("number").map(drop),
            STR => reader.skip_str(),
            ARRAY => {
                reader.enter()?;
                reader.skip_list::<Value<'a>>(Form::Full)?;
                reader.leave();
                Ok(())
            }
            MAP => {
                reader.enter()?;
                reader.skip_list::<Entry<'a>>(Form::Full)?;
                reader.leave();
                Ok(())
            }
            _ => Self::read_data(reader, tag).map(drop),
        }
    }

    /// The data, without the tag.
    #[inline]
    pub(crate) fn write_data<S: Sink>(&self, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
        match self {
            Value::Null => {}
            Value::Bool(value) => writer.u8((*value).into()),
            Value::Int(value) => writer.u64(value.cast_unsigned()),
            Value::Float(value) => writer.f64(*value),
            Value::Str(text) => writer.str(text)?,
            Value::Bytes(bytes) => writer.bytes(bytes)?,
            Value::Array(items) => {
                writer.enter()?;
                items.write(writer, Form::Full)?;
                writer.leave();
            }
            Value::Map(entries) => {
                writer.enter()?;
                entries.write(writer, Form::Full)?;
                writer.leave();
            }
        }
        Ok(())
    }
}

/// Reads a number that will be written wider than it came.
fn narrow<'a>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Value<'a>, DecodeError>,
) -> Result<Value<'a>, DecodeError> {
    reader.not_canonical();
    read(reader)
}

impl<'a> Item<'a> for Value<'a> {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn read(reader: &mut Reader<'a>, _form: Form) -> Result<Self, DecodeError> {
        let tag = reader.u8("value tag")?;
        Self::read_data(reader, tag)
    }

    #[inline]
    fn skip(reader: &mut Reader<'a>, _form: Form) -> Result<(), DecodeError> {
        let tag = reader.u8("value tag")?;
        Self::skip_data(reader, tag)
    }

    #[inline]
    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, _form: Form) -> Result<(), EncodeError> {
        match self {
            // The commonest values, in one piece.
            Value::Int(value) => writer.tagged(self.tag(), value.cast_unsigned()),
            Value::Float(value) => writer.tagged(self.tag(), value.to_bits()),
            _ => {
                writer.u8(self.tag());
                self.write_data(writer)?;
            }
        }
        Ok(())
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<'a> Item<'a> for Entry<'a> {
    const MIN_BYTES: usize = 3;

    #[inline]
    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
        Ok(Self { key: reader.str()?, value: Value::read(reader, form)? })
    }

    #[inline]
    fn skip(reader: &mut Reader<'a>, form: Form) -> Result<(), DecodeError> {
        reader.skip_str()?;
        Value::skip(reader, form)
    }

    #[inline]
    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, form: Form) -> Result<(), EncodeError> {
        writer.str(self.key)?;
        self.value.write(writer, form)
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}
