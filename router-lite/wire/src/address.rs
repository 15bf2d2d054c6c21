//! Addresses and patterns, and which pattern matches which address (reference §8.1).
//!
//! Owns: syntax and matching, as the stock router delivers. Does not own: who subscribes to what.

mod containment;
mod overlap;

use alloc::boxed::Box;
use core::{borrow::Borrow, cmp::Ordering, fmt};

use crate::{
    error::{AddressError, AddressErrorKind},
    limits::{MAX_ADDRESS_BYTES, MAX_SEGMENTS},
};

/// An address that names exactly one place: absolute, no empty segment but the last, no `*`, bounded.
///
/// `? [ ] { } !` are ordinary characters here, as in the stock router's routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address<'a>(&'a str);

impl<'a> Address<'a> {
    /// Checks `text`. This is the only way in.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        check(text)?;
        if text.contains('*') {
            return Err(AddressError::new(AddressErrorKind::Wildcard, text));
        }
        Ok(Self(text))
    }

    /// The address as it was written.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// What is between the slashes. At least one segment; only the last may be empty.
    pub fn segments(self) -> impl Iterator<Item = &'a str> {
        segments(self.0)
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a subscription asks for.
///
/// A segment `*` stands for exactly one segment (an empty one, too), `**` for any number of them; inside a segment
/// `*` stands for any characters. Matching never crosses a slash except through a `**` segment, allocates nothing and
/// takes time in proportion to address times pattern at worst.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    /// Bytes before the slash of the first segment with a `*`; the whole text if there is none.
    literal: usize,
}

impl Pattern {
    /// Checks `text`. Errors have the stock router's texts, for ERROR 202.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        check(text)?;
        let literal = match text.find('*') {
            Some(star) => text.get(..star).and_then(|head| head.rfind('/')).unwrap_or(0),
            None => text.len(),
        };
        Ok(Self { text: text.into(), literal })
    }

    /// The pattern as it was written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has no wildcard, so that it matches only itself.
    #[must_use]
    pub const fn is_literal(&self) -> bool {
        self.literal == self.text.len()
    }

    /// What every matching address starts with; a `/` or the end follows there. Without a trailing slash.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        self.text.get(..self.literal).unwrap_or_default()
    }

    /// Whether a message to `address` is for this pattern. Anything that is not an absolute address matches nothing.
    #[must_use]
    pub fn matches(&self, address: &str) -> bool {
        let Some(rest) = address.strip_prefix(self.literal_prefix()) else { return false };
        if self.is_literal() {
            return rest.is_empty();
        }
        let wildcards = self.text.get(self.literal..).unwrap_or_default();
        if rest.is_empty() {
            // The address ends where the wildcards begin: only `**` can stand for nothing.
            return self.literal > 0 && segments(wildcards).all(|segment| segment == "**");
        }
        rest.starts_with('/') && match_segments(wildcards, rest)
    }

    /// Whether some address below `prefix` matches. `prefix` has no wildcard; a trailing slash makes no difference.
    ///
    /// For closing a reserved part of the address space, such as `/clasp/p2p/signal`.
    #[must_use]
    pub fn could_match_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut wanted = segments(&self.text);
        for name in segments(prefix).skip(usize::from(prefix.is_empty())) {
            match wanted.next() {
                // It stands for the rest of the prefix and for as much below it as the rest of the pattern leaves.
                Some("**") => return true,
                Some(segment) if match_segment(segment, name) => {}
                _ => return false,
            }
        }
        // Whatever is left of the pattern, some segments meet it.
        wanted.next().is_some()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Borrow<str> for Pattern {
    fn borrow(&self) -> &str {
        &self.text
    }
}

/// What addresses and patterns have in common.
fn check(text: &str) -> Result<(), AddressError> {
    let fail = |kind| Err(AddressError::new(kind, text));
    if text.is_empty() {
        return fail(AddressErrorKind::Empty);
    }
    if !text.starts_with('/') {
        return fail(AddressErrorKind::NotAbsolute);
    }
    if text.len() > MAX_ADDRESS_BYTES {
        return fail(AddressErrorKind::TooLong);
    }
    if text.contains("//") {
        return fail(AddressErrorKind::EmptySegment);
    }
    if segments(text).count() > MAX_SEGMENTS {
        return fail(AddressErrorKind::TooManySegments);
    }
    Ok(())
}

/// The segments of an absolute address or pattern.
fn segments(text: &str) -> Segments<'_> {
    Segments(Some(text.strip_prefix('/').unwrap_or(text)))
}

/// What is between the slashes. Unlike the iterator of `str::split` it is small and copied at no cost.
#[derive(Debug, Clone, Copy)]
struct Segments<'a>(Option<&'a str>);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        let slash = text.bytes().position(|byte| byte == b'/');
        let (segment, rest) = match slash.and_then(|at| text.split_at_checked(at)) {
            Some((segment, rest)) => (segment, rest.get(1..)),
            None => (text, None),
        };
        self.0 = rest;
        Some(segment)
    }
}

/// Segment by segment. On a mismatch only the last `**` takes one segment more: an earlier one never needs to.
fn match_segments(pattern: &str, address: &str) -> bool {
    let (mut wanted, mut found) = (segments(pattern), segments(address));
    let mut retry: Option<(Segments<'_>, Segments<'_>)> = None;
    loop {
        let before = found;
        match (wanted.next(), found.next()) {
            (Some("**"), _) => {
                if wanted.0.is_none() {
                    return true;
                }
                retry = Some((wanted, before));
                found = before;
            }
            (Some(segment), Some(name)) if match_segment(segment, name) => {}
            (None, None) => return true,
            (Some(_), None) => return false,
            (_, Some(_)) => {
                let Some((after, mut rest)) = retry else { return false };
                if rest.next().is_none() {
                    return false;
                }
                retry = Some((after, rest));
                (wanted, found) = (after, rest);
            }
        }
    }
}

/// One segment against one name; `*` stands for any characters. Same method, byte by byte.
#[inline]
fn match_segment(segment: &str, name: &str) -> bool {
    segment == "*" || segment == name || match_partial(segment.as_bytes(), name.as_bytes())
}

fn match_partial(mut wanted: &[u8], mut found: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (wanted.split_first(), found.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, found));
                wanted = after;
            }
            (Some((a, after)), Some((b, rest))) if a == b => (wanted, found) = (after, rest),
            (None, None) => return true,
            _ => match retry {
                Some((after, [_, rest @ ..])) => {
                    retry = Some((after, rest));
                    (wanted, found) = (after, rest);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
