//! The fields of one MessagePack map, found by name in one pass, in whatever order they come.

use crate::{
    error::{DecodeError, DecodeErrorKind},
    limits::MAX_PAYLOAD_BYTES,
    msgpack::cursor::Cursor,
};

/// Every key that has a meaning in some message.
macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        #[derive(Debug, Clone, Copy)]
        pub(super) enum Field { $($variant,)* }

        impl Field {
            const COUNT: usize = [$($name),*].len();

            fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant,)*
                    _ => return None,
                })
            }

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    Access = "access", Address = "address", Code = "code", CorrelationId = "correlation_id", Datatype = "datatype",
    Default = "default", Description = "description", Epsilon = "epsilon", Features = "features", From = "from",
    History = "history", Holder = "holder", Id = "id", Limit = "limit", Lock = "lock", Locked = "locked",
    MaxRate = "max_rate", Message = "message", Messages = "messages", Meta = "meta", Name = "name",
    Namespace = "namespace", Op = "op", Options = "options", Origin = "origin", Params = "params",
    Pattern = "pattern", Patterns = "patterns", Payload = "payload", Phase = "phase", Range = "range", Rate = "rate",
    Revision = "revision", Revisions = "revisions", Samples = "samples", Session = "session", Signal = "signal",
    Signals = "signals", Since = "since_revision", T1 = "t1", T2 = "t2", T3 = "t3", Time = "time",
    Timestamp = "timestamp", To = "to", Token = "token", Ttl = "ttl", Type = "type", Types = "types", Unit = "unit",
    Unlock = "unlock", Value = "value", Version = "version", Window = "window", Writer = "writer",
}

/// Where each known field's value is.
pub(super) struct Fields<'a> {
    /// Start and end of each value, counted from the map's first byte; 0 and 0 where there is none. They fit because a
    /// payload's length does.
    found: [(u16, u16); Field::COUNT],
    at: Cursor<'a>,
}

const _: () = assert!(MAX_PAYLOAD_BYTES <= u16::MAX as usize);

impl<'a> Fields<'a> {
    /// Reads a map. With duplicate keys the last one wins, unknown keys are skipped.
    pub(super) fn read(cursor: &mut Cursor<'a>, field: &'static str) -> Result<Self, DecodeError> {
        let at = *cursor;
        let mut found = [(0, 0); Field::COUNT];
        for _ in 0..cursor.map(field)? {
            let key = cursor.str("map key")?;
            let start = cursor.since(&at);
            cursor.skip()?;
            if let Some(place) = Field::from_name(key).and_then(|field| found.get_mut(field as usize)) {
                *place = (start, cursor.since(&at));
            }
        }
        Ok(Self { found, at })
    }

    /// Where the map is, for errors about it.
    pub(super) const fn at(&self) -> Cursor<'a> {
        self.at
    }

    /// The value, nil included.
    pub(super) fn get(&self, field: Field) -> Option<Cursor<'a>> {
        let (start, end) = self.found.get(field as usize).copied()?;
        self.at.span(start, end)
    }

    /// The value, or an error that names the field.
    pub(super) fn required(&self, field: Field) -> Result<Cursor<'a>, DecodeError> {
        self.get(field).ok_or_else(|| self.at.error(DecodeErrorKind::MissingField(field.name())))
    }

    /// The value, unless it is missing or nil.
    pub(super) fn optional(&self, field: Field) -> Option<Cursor<'a>> {
        self.get(field).filter(|cursor| !{ *cursor }.nil())
    }

    pub(super) fn str(&self, field: Field) -> Result<&'a str, DecodeError> {
        self.required(field)?.str(field.name())
    }

    pub(super) fn str_opt(&self, field: Field) -> Result<Option<&'a str>, DecodeError> {
        self.optional(field).map(|mut cursor| cursor.str(field.name())).transpose()
    }

    pub(super) fn int<T: TryFrom<u64> + TryFrom<i64>>(&self, field: Field) -> Result<T, DecodeError> {
        self.required(field)?.int(field.name())
    }

    pub(super) fn int_opt<T: TryFrom<u64> + TryFrom<i64>>(
        &self,
        field: Field,
    ) -> Result<Option<T>, DecodeError> {
        self.optional(field).map(|mut cursor| cursor.int(field.name())).transpose()
    }

    pub(super) fn float_opt(&self, field: Field) -> Result<Option<f64>, DecodeError> {
        self.optional(field).map(|mut cursor| cursor.float(field.name())).transpose()
    }

    pub(super) fn bool_opt(&self, field: Field) -> Result<Option<bool>, DecodeError> {
        self.optional(field).map(|mut cursor| cursor.bool(field.name())).transpose()
    }
}
