//! Lists inside messages: signals, params, samples, patterns, revisions.

use crate::{
    error::DecodeError,
    msgpack::{
        Out,
        cursor::Cursor,
        fields::{Field, Fields},
        message::signal_type,
        refused, value,
    },
};

/// Calls `item` for each item of a list that may be missing.
pub(super) fn each<'a>(
    list: Option<Cursor<'a>>,
    field: &'static str,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let Some(mut cursor) = list else { return Ok(()) };
    for _ in 0..cursor.array(field)? {
        item(&mut cursor)?;
    }
    Ok(())
}

/// u16 count, then each item as `item` writes it. A missing list is an empty one.
fn list<'a>(
    list: Option<Cursor<'a>>,
    field: &'static str,
    out: &mut Out<'_>,
    mut item: impl FnMut(&mut Cursor<'a>, &mut Out<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let Some(mut cursor) = list else {
        out.u16(0);
        return Ok(());
    };
    let at = cursor;
    let count = cursor.array(field)?;
    out.count(count as usize).map_err(refused(&at))?;
    for _ in 0..count {
        item(&mut cursor, out)?;
        out.check().map_err(refused(&at))?;
    }
    Ok(())
}

pub(super) fn samples(samples: Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    list(Some(samples), "samples", out, |cursor, out| {
        out.f64(cursor.float("samples")?);
        Ok(())
    })
}

pub(super) fn patterns(patterns: Option<Cursor<'_>>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    list(patterns, "patterns", out, |cursor, out| out.str(cursor.str("patterns")?).map_err(refused(cursor)))
}

/// The one list that is a map.
pub(super) fn revisions(revisions: Option<Cursor<'_>>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let Some(mut cursor) = revisions else {
        out.u16(0);
        return Ok(());
    };
    let at = cursor;
    let count = cursor.map("revisions")?;
    out.count(count as usize).map_err(refused(&at))?;
    for _ in 0..count {
        out.str(cursor.str("revisions")?).map_err(refused(&at))?;
        out.u64(cursor.int("revisions")?);
        out.check().map_err(refused(&at))?;
    }
    Ok(())
}

pub(super) fn params(params: Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    list(Some(params), "params", out, |cursor, out| {
        let at = *cursor;
        let fields = Fields::read(cursor, "params")?;
        let writer = fields.str_opt(Field::Writer)?;
        let timestamp_us: Option<u64> = fields.int_opt(Field::Timestamp)?;
        out.str(fields.str(Field::Address)?).map_err(refused(&at))?;
        value::rewrite(&mut fields.required(Field::Value)?, out)?;
        out.u64(fields.int(Field::Revision)?);
        out.u8(u8::from(writer.is_some()) | u8::from(timestamp_us.is_some()) << 1);
        if let Some(writer) = writer {
            out.str(writer).map_err(refused(&at))?;
        }
        if let Some(timestamp_us) = timestamp_us {
            out.u64(timestamp_us);
        }
        Ok(())
    })
}

/// As in ANNOUNCE.
pub(super) fn signals(signals: Option<Cursor<'_>>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    list(signals, "signals", out, |cursor, out| signal(cursor, true, out))
}

/// As in RESULT, without `meta`.
pub(super) fn bare_signals(signals: Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    list(Some(signals), "signals", out, |cursor, out| signal(cursor, false, out))
}

fn signal(cursor: &mut Cursor<'_>, with_meta: bool, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let at = *cursor;
    let fields = Fields::read(cursor, "signals")?;
    let (datatype, access) = (fields.str_opt(Field::Datatype)?, fields.str_opt(Field::Access)?);
    let meta = if with_meta { fields.optional(Field::Meta) } else { None };
    out.str(fields.str(Field::Address)?).map_err(refused(&at))?;
    out.u8(signal_type(&mut fields.required(Field::Type)?, "type")? as u8);
    out.u8(u8::from(datatype.is_some()) | u8::from(access.is_some()) << 1 | u8::from(meta.is_some()) << 2);
    for text in [datatype, access].into_iter().flatten() {
        out.str(text).map_err(refused(&at))?;
    }
    meta.map_or(Ok(()), |mut meta| signal_meta(&mut meta, out))
}

fn signal_meta(cursor: &mut Cursor<'_>, out: &mut Out<'_>) -> Result<(), DecodeError> {
    let at = *cursor;
    let fields = Fields::read(cursor, "meta")?;
    let (unit, description) = (fields.str_opt(Field::Unit)?, fields.str_opt(Field::Description)?);
    let range = fields.optional(Field::Range).map(range).transpose()?;
    let default = fields.optional(Field::Default);
    let first = u8::from(unit.is_some()) | u8::from(range.is_some()) << 1;
    out.u8(first | u8::from(default.is_some()) << 2 | u8::from(description.is_some()) << 3);
    if let Some(unit) = unit {
        out.str(unit).map_err(refused(&at))?;
    }
    if let Some((min, max)) = range {
        out.f64(min);
        out.f64(max);
    }
    if let Some(mut default) = default {
        value::rewrite(&mut default, out)?;
    }
    description.map_or(Ok(()), |text| out.str(text).map_err(refused(&at)))
}

fn range(mut cursor: Cursor<'_>) -> Result<(f64, f64), DecodeError> {
    let at = cursor;
    if cursor.array("range")? != 2 {
        return Err(at.error(crate::error::DecodeErrorKind::WrongType("range")));
    }
    Ok((cursor.float("range")?, cursor.float("range")?))
}
