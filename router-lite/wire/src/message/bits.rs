//! Sets of bits and small numbers: features, type masks, signal types, phases.

/// Declares a set of bits with names, as a `u8` newtype.
macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $mask:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(pub u8);
        impl $name {
            $($(#[$bit_doc])* pub const $bit: Self = Self($mask);)*
            /// Every bit that has a meaning.
            pub const ALL: Self = Self(0 $(| $mask)*);
            /// Whether every bit of `other` is set here.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool { self.0 & other.0 == other.0 }
            /// The bits of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self { Self(self.0 | other.0) }
        }
    };
}

bits! {
    /// Features named in HELLO and WELCOME. The stock router ignores the client's and always answers F8.
    Features {
        /// Parameters.
        PARAM = 0x80,
        /// Events.
        EVENT = 0x40,
        /// Streams.
        STREAM = 0x20,
        /// Gestures.
        GESTURE = 0x10,
        /// Timelines.
        TIMELINE = 0x08,
        /// Federation (only ever in HELLO).
        FEDERATION = 0x04,
    }
}

bits! {
    /// Signal types a subscription wants. On the wire 00 and FF (and masks of unknown bits only) mean all.
    TypeMask {
        /// SET and PUBLISH of a parameter.
        PARAM = 0x01,
        /// Events.
        EVENT = 0x02,
        /// Streams.
        STREAM = 0x04,
        /// Gestures.
        GESTURE = 0x08,
        /// Timelines.
        TIMELINE = 0x10,
    }
}

impl Features {
    /// Every bit but [`Self::FEDERATION`], which is never written to WELCOME: what the stock router answers, F8.
    pub const SERVED: Self = Self(0xF8);
}

impl TypeMask {
    /// Everything, as stock clients write it (FF).
    pub const ANY: Self = Self(0xFF);

    /// Whether a subscription with this mask wants `signal`.
    #[must_use]
    pub const fn accepts(self, signal: SignalType) -> bool {
        let known = self.0 & Self::ALL.0;
        known == 0 || known & (1 << signal as u8) != 0
    }
}

/// The kind of a signal, as PUBLISH, ANNOUNCE and RESULT number it. Unknown numbers read as [`SignalType::Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalType {
    /// A parameter: has a current value.
    Param = 0,
    /// An event.
    Event = 1,
    /// A stream of samples; stale ones are worthless.
    Stream = 2,
    /// A gesture with phases.
    Gesture = 3,
    /// A timeline. Its keyframes never travel (reference §4.4).
    Timeline = 4,
}

/// The phase of a gesture. Every decoded PUBLISH has one; [`Phase::Start`] where it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The gesture begins.
    #[default]
    Start = 0,
    /// It goes on.
    Move = 1,
    /// It ends.
    End = 2,
    /// It is called off.
    Cancel = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_accepts_the_types_it_lists_and_everything_if_it_lists_none() {
        let all = [
            SignalType::Param,
            SignalType::Event,
            SignalType::Stream,
            SignalType::Gesture,
            SignalType::Timeline,
        ];
        for mask in 0..=u8::MAX {
            for signal in all {
                let listed = mask & (1 << signal as u8) != 0;
                assert_eq!(
                    TypeMask(mask).accepts(signal),
                    listed || mask & 0x1F == 0,
                    "{mask:02x} {signal:?}"
                );
            }
        }
    }

    #[test]
    fn a_set_of_bits_contains_what_it_was_made_of() {
        let both = Features::PARAM.with(Features::STREAM);
        assert_eq!(both, Features(0xA0));
        assert!(both.contains(Features::PARAM) && !both.contains(Features::PARAM.with(Features::EVENT)));
        assert_eq!((Features::ALL, TypeMask::ALL), (Features(0xFC), TypeMask(0x1F)));
    }
}
