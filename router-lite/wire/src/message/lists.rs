//! What the lists of messages hold, on the wire.

use super::{Message, Meta, Param, Revision, Signal, SignalType};
use crate::{
    error::{DecodeError, EncodeError},
    reader::Reader,
    seq::{Form, Item},
    value::Value,
    writer::{Sink, Writer},
};

const DATATYPE: u8 = 0x01;
const ACCESS: u8 = 0x02;
const META: u8 = 0x04;

const UNIT: u8 = 0x01;
const RANGE: u8 = 0x02;
const DEFAULT: u8 = 0x04;
const DESCRIPTION: u8 = 0x08;

const WRITER: u8 = 0x01;
const TIMESTAMP: u8 = 0x02;

/// `bit` if there is something to write.
pub(super) const fn bit<T>(field: Option<&T>, bit: u8) -> u8 {
    if field.is_some() { bit } else { 0 }
}

impl SignalType {
    /// Unknown numbers read as an event.
    pub(super) fn from_wire(number: u8, reader: &mut Reader<'_>) -> Self {
        match number {
            0 => Self::Param,
            1 => Self::Event,
            2 => Self::Stream,
            3 => Self::Gesture,
            4 => Self::Timeline,
            _ => {
                reader.not_canonical();
                Self::Event
            }
        }
    }
}

impl<'a> Item<'a> for Signal<'a> {
    const MIN_BYTES: usize = 4;

    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
        let address = reader.str()?;
        let number = reader.u8("signal type")?;
        let signal = SignalType::from_wire(number, reader);
        let known = if form == Form::Full { DATATYPE | ACCESS | META } else { DATATYPE | ACCESS };
        let flags = reader.flags(known)?;
        let datatype = if flags & DATATYPE != 0 { Some(reader.str()?) } else { None };
        let access = if flags & ACCESS != 0 { Some(reader.str()?) } else { None };
        let meta = if flags & known & META != 0 { Some(Meta::read(reader)?) } else { None };
        Ok(Self { address, signal, datatype, access, meta })
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, form: Form) -> Result<(), EncodeError> {
        let meta = if form == Form::Full { self.meta.as_ref() } else { None };
        writer.str(self.address)?;
        writer.u8(self.signal as u8);
        writer
            .u8(bit(self.datatype.as_ref(), DATATYPE) | bit(self.access.as_ref(), ACCESS) | bit(meta, META));
        if let Some(datatype) = self.datatype {
            writer.str(datatype)?;
        }
        if let Some(access) = self.access {
            writer.str(access)?;
        }
        meta.map_or(Ok(()), |meta| meta.write(writer))
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<'a> Meta<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = reader.flags(UNIT | RANGE | DEFAULT | DESCRIPTION)?;
        Ok(Self {
            unit: if flags & UNIT != 0 { Some(reader.str()?) } else { None },
            range: if flags & RANGE != 0 {
                Some((reader.f64("minimum")?, reader.f64("maximum")?))
            } else {
                None
            },
            default: if flags & DEFAULT != 0 { Some(Value::read(reader, Form::Full)?) } else { None },
            description: if flags & DESCRIPTION != 0 { Some(reader.str()?) } else { None },
        })
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>) -> Result<(), EncodeError> {
        let (unit, range) = (bit(self.unit.as_ref(), UNIT), bit(self.range.as_ref(), RANGE));
        let default = bit(self.default.as_ref(), DEFAULT);
        writer.u8(unit | range | default | bit(self.description.as_ref(), DESCRIPTION));
        if let Some(unit) = self.unit {
            writer.str(unit)?;
        }
        if let Some((min, max)) = self.range {
            writer.f64(min);
            writer.f64(max);
        }
        if let Some(default) = self.default {
            default.write(writer, Form::Full)?;
        }
        if let Some(description) = self.description {
            writer.str(description)?;
        }
        Ok(())
    }
}

impl<'a> Item<'a> for Param<'a> {
    const MIN_BYTES: usize = 12;

    fn read(reader: &mut Reader<'a>, form: Form) -> Result<Self, DecodeError> {
        let address = reader.str()?;
        let value = Value::read(reader, form)?;
        let revision = reader.u64("revision")?;
        let flags = reader.flags(WRITER | TIMESTAMP)?;
        let writer = if flags & WRITER != 0 { Some(reader.str()?) } else { None };
        let timestamp_us = if flags & TIMESTAMP != 0 { Some(reader.u64("timestamp")?) } else { None };
        Ok(Self { address, value, revision, writer, timestamp_us })
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, form: Form) -> Result<(), EncodeError> {
        writer.str(self.address)?;
        self.value.write(writer, form)?;
        writer.u64(self.revision);
        writer.u8(bit(self.writer.as_ref(), WRITER) | bit(self.timestamp_us.as_ref(), TIMESTAMP));
        if let Some(session) = self.writer {
            writer.str(session)?;
        }
        if let Some(timestamp_us) = self.timestamp_us {
            writer.u64(timestamp_us);
        }
        Ok(())
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<'a> Item<'a> for Revision<'a> {
    const MIN_BYTES: usize = 10;

    fn read(reader: &mut Reader<'a>, _form: Form) -> Result<Self, DecodeError> {
        Ok(Self { key: reader.str()?, revision: reader.u64("revision")? })
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, _form: Form) -> Result<(), EncodeError> {
        writer.str(self.key)?;
        writer.u64(self.revision);
        Ok(())
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A member of a BUNDLE: u16 length and a payload.
impl<'a> Item<'a> for Message<'a> {
    const MIN_BYTES: usize = 3;

    fn read(reader: &mut Reader<'a>, _form: Form) -> Result<Self, DecodeError> {
        let len = reader.u16("bundle member length")?;
        let mut member = reader.member(usize::from(len))?;
        let message = Self::read_payload(&mut member)?;
        reader.close_member(&member);
        Ok(message)
    }

    fn write<S: Sink>(&self, writer: &mut Writer<'_, S>, _form: Form) -> Result<(), EncodeError> {
        let at = writer.reserve_u16();
        self.write_payload(writer)?;
        writer.patch_len(at)
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}
