//! Untagged MessagePack values, as compact tag and data.

use rmp::Marker;

use crate::{
    error::{DecodeError, DecodeErrorKind},
    msgpack::{Out, cursor::Cursor, refused},
    value::codec::{ARRAY, BOOL, FLOAT, INT, MAP, NULL, STR},
};

/// The tag of what comes next. Bytes read as text and integers above `i64::MAX` as floats, as in the stock router.
pub(super) fn tag(cursor: &Cursor<'_>) -> Result<u8, DecodeError> {
    Ok(match cursor.peek()? {
        Marker::Null => NULL,
        Marker::True | Marker::False => BOOL,
        Marker::U64 if cursor.clone().int::<i64>("value").is_err() => FLOAT,
        Marker::FixPos(_)
        | Marker::FixNeg(_)
        | Marker::U8
        | Marker::U16
        | Marker::U32
        | Marker::U64
        | Marker::I8
        | Marker::I16
        | Marker::I32
        | Marker::I64 => INT,
        Marker::F32 | Marker::F64 => FLOAT,
        Marker::FixStr(_)
        | Marker::Str8
        | Marker::Str16
        | Marker::Str32
        | Marker::Bin8
        | Marker::Bin16
        | Marker::Bin32 => STR,
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => ARRAY,
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => MAP,
        _ => return Err(cursor.error(DecodeErrorKind::WrongType("value"))),
    })
}

/// Tag and data.
pub(super) fn rewrite(cursor: &mut Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let tag = tag(cursor)?;
    out.u8(tag);
    rewrite_data(cursor, tag, out)
}

/// Data only, for SET, whose tag stands elsewhere.
pub(super) fn rewrite_data(cursor: &mut Cursor<'_>, tag: u8, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let at = *cursor;
    match tag {
        NULL => {
            cursor.nil();
        }
        BOOL => out.u8(cursor.bool("value")?.into()),
        INT => out.u64(cursor.int::<i64>("value")?.cast_unsigned()),
        FLOAT => out.f64(cursor.float("value")?),
        STR => out.str(cursor.str("value")?).map_err(refused(&at))?,
        ARRAY => {
            out.enter().map_err(refused(&at))?;
            let count = cursor.array("value")?;
            out.count(count as usize).map_err(refused(&at))?;
            for _ in 0..count {
                rewrite(cursor, out)?;
                out.check().map_err(refused(&at))?;
            }
            out.leave();
        }
        _ => {
            out.enter().map_err(refused(&at))?;
            let count = cursor.map("value")?;
            out.count(count as usize).map_err(refused(&at))?;
            for _ in 0..count {
                out.str(cursor.str("map key")?).map_err(refused(&at))?;
                rewrite(cursor, out)?;
                out.check().map_err(refused(&at))?;
            }
            out.leave();
        }
    }
    Ok(())
}
