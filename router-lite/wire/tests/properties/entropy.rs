//! Messages made from arbitrary bytes, so that proptest can shrink them. Memory is leaked: messages borrow.

use clasp_wire::{
    Entry, Message, Seq, Value,
    message::{
        Ack, Announce, Body, Bundle, ErrorReply, Features, FederationOp, FederationSync, Hello, Meta, Param,
        Phase, Publish, Replay, Revision, Set, Signal, SignalType, Subscribe, Sync, Ttl, TypeMask, Welcome,
    },
};

pub(crate) struct Entropy {
    bytes: std::vec::IntoIter<u8>,
    /// Only what legacy senders can say: no byte strings, and nil is no default.
    legacy: bool,
}

pub(crate) fn leak<T>(items: Vec<T>) -> &'static [T] {
    Box::leak(items.into_boxed_slice())
}

const TEXTS: [&str; 8] =
    ["", "/", "/a/b", "/\u{3c0}/\u{2603}", "a\0b", "type", "from", "\u{1F39B} long enough to matter"];

impl Entropy {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter(), legacy: false }
    }

    pub(crate) fn legacy(bytes: Vec<u8>) -> Self {
        Self { legacy: true, ..Self::new(bytes) }
    }

    /// The next byte; zeros when there are no more, so that everything ends.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes.next().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let wide = u64::from_be_bytes(std::array::from_fn(|_| self.byte()));
        [wide, wide >> 32, wide >> 56, u64::MAX - (wide >> 60)][usize::from(self.below(4))]
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    pub(crate) fn float(&mut self) -> f64 {
        f64::from_bits(self.u64())
    }

    /// For fields compared with `==`.
    fn number(&mut self) -> f64 {
        Some(self.float()).filter(|x| !x.is_nan()).unwrap_or(-0.5)
    }

    pub(crate) fn text(&mut self) -> &'static str {
        TEXTS[usize::from(self.below(8))]
    }

    pub(crate) fn opt<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bool() { Some(make(self)) } else { None }
    }

    pub(crate) fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> &'static [T] {
        let len = self.below(4);
        leak((0..len).map(|_| make(self)).collect())
    }

    pub(crate) fn value(&mut self, depth: u8) -> Value<'static> {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => Value::Bool(self.bool()),
            2 => Value::Int(self.u64().cast_signed()),
            3 => Value::Float(self.float()),
            4 => Value::Str(self.text()),
            5 if self.legacy => Value::Str(self.text()),
            5 => Value::Bytes(self.text().as_bytes()),
            6 => Value::Array(Seq::items(self.list(|e| e.value(depth - 1)))),
            _ => Value::Map(Seq::items(self.list(|e| Entry { key: e.text(), value: e.value(depth - 1) }))),
        }
    }

    pub(crate) fn signal_type(&mut self) -> SignalType {
        use SignalType::{Event, Gesture, Param, Stream, Timeline};
        [Param, Event, Stream, Gesture, Timeline][usize::from(self.below(5))]
    }

    pub(crate) fn phase(&mut self) -> Phase {
        [Phase::Start, Phase::Move, Phase::End, Phase::Cancel][usize::from(self.below(4))]
    }

    fn signal(&mut self, with_meta: bool) -> Signal<'static> {
        let meta = |e: &mut Self| Meta {
            unit: e.opt(Self::text),
            range: e.opt(|e| (e.number(), e.number())),
            default: e.opt(|e| e.value(2)).filter(|value| !e.legacy || *value != Value::Null),
            description: e.opt(Self::text),
        };
        Signal {
            address: self.text(),
            signal: self.signal_type(),
            datatype: self.opt(Self::text),
            access: self.opt(Self::text),
            meta: if with_meta { self.opt(meta) } else { None },
        }
    }

    pub(crate) fn publish(&mut self) -> Publish<'static> {
        Publish {
            address: self.text(),
            signal: self.signal_type(),
            phase: self.phase(),
            body: match self.below(3) {
                0 => Body::None,
                1 => Body::Value(self.value(4)),
                _ => Body::Samples(Seq::items(self.list(Self::float))),
            },
            timestamp_us: self.opt(Self::u64),
            id: self.opt(Self::u32),
            rate: self.opt(Self::u32),
        }
    }

    pub(crate) fn set(&mut self) -> Set<'static> {
        let seconds = self.u32() >> 1;
        Set {
            address: self.text(),
            value: self.value(4),
            revision: self.opt(Self::u64),
            lock: self.bool(),
            unlock: self.bool(),
            ttl: [None, Some(Ttl::Never), Some(Ttl::Sliding(seconds.max(1))), Some(Ttl::Absolute(seconds))]
                [usize::from(self.below(4))],
        }
    }

    pub(crate) fn param(&mut self) -> Param<'static> {
        Param {
            address: self.text(),
            value: self.value(3),
            revision: self.u64(),
            writer: self.opt(Self::text),
            timestamp_us: self.opt(Self::u64),
        }
    }

    fn types(&mut self) -> TypeMask {
        match self.below(3) {
            0 => TypeMask::ANY,
            1 => TypeMask(self.byte()),
            _ => TypeMask(self.byte() & TypeMask::ALL.0),
        }
    }

    fn federation_sync(&mut self) -> FederationSync<'static> {
        use FederationOp::{Complete, Declare, Request, RevisionVector};
        FederationSync {
            op: [Declare, Request, RevisionVector, Complete][usize::from(self.below(4))],
            patterns: Seq::items(self.list(Self::text)),
            revisions: Seq::items(self.list(|e| Revision { key: e.text(), revision: e.u64() })),
            since: self.opt(Self::u64),
            origin: self.opt(Self::text),
        }
    }

    /// Any message, with bundles nested at most `depth` deep.
    pub(crate) fn message(&mut self, depth: u8) -> Message<'static> {
        match self.below(if depth == 0 { 18 } else { 21 }) {
            0 => Message::Ping,
            1 => Message::Pong,
            2 => Message::Hello(Hello {
                version: self.byte(),
                features: Features(self.byte() & Features::ALL.0),
                name: self.text(),
                token: self.text(),
            }),
            3 => Message::Welcome(Welcome {
                version: self.byte(),
                features: Features(self.byte() & Features::SERVED.0),
                time_us: self.u64(),
                session: self.text(),
                name: self.text(),
                token: self.text(),
            }),
            4 => Message::Announce(Announce {
                namespace: self.text(),
                signals: Seq::items(self.list(|e| e.signal(true))),
            }),
            5 => Message::FederationSync(self.federation_sync()),
            6 => Message::Subscribe(Subscribe {
                id: self.u32(),
                pattern: self.text(),
                types: self.types(),
                max_rate: self.opt(Self::u32),
                epsilon: self.opt(Self::number),
                history: self.opt(Self::u32),
                window: self.opt(Self::u32),
            }),
            7 => Message::Unsubscribe { id: self.u32() },
            8 => Message::Get { address: self.text() },
            9 => Message::Snapshot { params: Seq::items(self.list(Self::param)) },
            10 => Message::Replay(Replay {
                pattern: self.text(),
                from_us: self.opt(Self::u64),
                to_us: self.opt(Self::u64),
                limit: self.opt(Self::u32),
                types: self.types(),
            }),
            11 => Message::Sync(Sync {
                t1_us: self.u64(),
                t2_us: self.opt(Self::u64),
                t3_us: self.opt(Self::u64),
            }),
            12 => Message::Ack(Ack {
                address: self.opt(Self::text),
                revision: self.opt(Self::u64),
                locked: self.opt(Self::bool),
                holder: self.opt(Self::text),
                correlation_id: self.opt(Self::u32),
            }),
            13 => Message::Error(ErrorReply {
                code: self.u64() as u16,
                message: self.text(),
                address: self.opt(Self::text),
                correlation_id: self.opt(Self::u32),
            }),
            14 => Message::Query { pattern: self.text() },
            15 => Message::Result { signals: Seq::items(self.list(|e| e.signal(false))) },
            16 => Message::Set(self.set()),
            17 => Message::Publish(self.publish()),
            _ => Message::Bundle(Bundle {
                timestamp_us: self.opt(Self::u64),
                messages: Seq::items(self.list(|e| e.message(depth - 1))),
            }),
        }
    }
}
