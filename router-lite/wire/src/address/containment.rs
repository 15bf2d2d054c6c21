//! Whether everything one pattern matches is matched by another one as well.
//!
//! A stand-in for every text a wildcard may take is enough: one that no literal of the other pattern equals. What
//! matches the stand-in matches whatever is put in its place, and what does not is an example against it.

use alloc::{vec, vec::Vec};

use super::{Pattern, match_partial, segments};
use crate::limits::MAX_SEGMENTS;

/// Sets of places kept at a time, one for each number of segments the `**` before may have taken. One `**` leads to half
/// as many at most; what would take more is not found out, and so not contained.
const MAX_WAYS: usize = 64;

/// Places in the containing pattern, one bit each: before its first segment, behind it, …
type Places = u64;

const _: () = assert!(MAX_SEGMENTS < Places::BITS as usize);

impl Pattern {
    /// Whether every address that `other` matches is matched by this pattern as well.
    ///
    /// A yes is always right. So is a no, but perhaps for patterns with several `**`: whether they are contained is looked
    /// at as far as that is cheap.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        let container = Container::of(self);
        let mut ways = vec![container.closed(1)];
        if segments(&other.text).all(|segment| segment == "**") {
            // No address is without any segment.
            ways = vec![container.step(container.closed(1), container.taken_by("*"))];
        }
        for segment in segments(&other.text) {
            if segment != "**" {
                let taken = container.taken_by(segment);
                for way in &mut ways {
                    *way = container.step(*way, taken);
                }
            } else if !container.step_any_number(&mut ways) {
                return false;
            }
            keep_the_smallest(&mut ways);
        }
        ways.iter().all(|way| way & container.end != 0)
    }
}

/// The pattern that is to contain the other one.
struct Container<'a> {
    segments: Vec<&'a str>,
    /// The places before its `**`.
    globstars: Places,
    /// The place behind its last segment.
    end: Places,
}

impl<'a> Container<'a> {
    fn of(pattern: &'a Pattern) -> Self {
        let segments: Vec<&str> = segments(&pattern.text).collect();
        let globstars = places(&segments, |segment| segment == "**");
        Self { globstars, end: 1 << segments.len(), segments }
    }

    /// The places before segments that match whatever `segment` matches. A `*` in it is its own stand-in: a literal never
    /// equals it.
    fn taken_by(&self, segment: &str) -> Places {
        places(&self.segments, |own| own != "**" && match_partial(own.as_bytes(), segment.as_bytes()))
    }

    /// Where one segment leads that those at `taken` match.
    fn step(&self, from: Places, taken: Places) -> Places {
        self.closed(((from & taken) << 1) | (from & self.globstars))
    }

    /// A `**` may stand for nothing.
    const fn closed(&self, mut places: Places) -> Places {
        loop {
            let further = places | ((places & self.globstars) << 1);
            if further == places {
                return places;
            }
            places = further;
        }
    }

    /// Adds where any number of segments lead of which nothing is known. Says whether it came to an end.
    fn step_any_number(&self, ways: &mut Vec<Places>) -> bool {
        let any = self.taken_by("*");
        let mut at = 0;
        while let Some(way) = ways.get(at).copied() {
            let next = self.step(way, any);
            if !ways.contains(&next) {
                if ways.len() == MAX_WAYS {
                    return false;
                }
                ways.push(next);
            }
            at += 1;
        }
        true
    }
}

fn places(segments: &[&str], wanted: impl Fn(&str) -> bool) -> Places {
    segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| wanted(segment))
        .fold(0, |bits, (at, _)| bits | (1 << at))
}

/// From a larger set of places the end is reached whenever it is from a smaller one.
fn keep_the_smallest(ways: &mut Vec<Places>) {
    ways.sort_unstable_by_key(|way| way.count_ones());
    let mut smallest: Vec<Places> = Vec::new();
    for way in ways.drain(..) {
        if smallest.iter().all(|kept| way & kept != *kept) {
            smallest.push(way);
        }
    }
    *ways = smallest;
}

#[cfg(test)]
mod tests;
