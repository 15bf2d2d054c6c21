//! Whether some address matches two patterns.

use alloc::{vec, vec::Vec};

use super::{Pattern, segments};

impl Pattern {
    /// Whether there is an address that both patterns match.
    ///
    /// Takes time with the product of their lengths. Bounds of addresses are left aside: one that only a very long address could
    /// show is told as well.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mine, theirs): (Vec<&str>, Vec<&str>) =
            (segments(&self.text).collect(), segments(&other.text).collect());
        meet(&mine, &theirs, |segment| *segment == "**", |a, b| a == b || segments_meet(a, b))
    }
}

fn segments_meet(one: &str, other: &str) -> bool {
    if !one.contains('*') && !other.contains('*') {
        return false; // they were compared already
    }
    meet(one.as_bytes(), other.as_bytes(), |byte| *byte == b'*', |a, b| a == b)
}

/// Whether some text matches both, where items that are `many` stand for any number of items, and others for one. Goes through all
/// pairs of places that a common text leads to, one in each.
fn meet<T>(one: &[T], other: &[T], many: impl Fn(&T) -> bool, same: impl Fn(&T, &T) -> bool) -> bool {
    // The places in `other` that are led to together with the present one in `one`.
    let mut here = vec![false; other.len() + 1];
    if let Some(start) = here.first_mut() {
        *start = true;
    }
    for place in 0..=one.len() {
        let item = one.get(place);
        let mut next = vec![false; other.len() + 1];
        let mut carry = false; // whether the place before led here without a step in `one`
        for (at, led) in here.iter().enumerate() {
            let led = *led || core::mem::take(&mut carry);
            if !led {
                continue;
            }
            let theirs = other.get(at);
            let mut to = |at: usize| {
                if let Some(led) = next.get_mut(at) {
                    *led = true;
                }
            };
            match (item, theirs) {
                (Some(item), _) if many(item) => {
                    to(at); // it stands for nothing more
                    carry = theirs.is_some(); // or for what the other one has here
                }
                (Some(_), Some(theirs)) if many(theirs) => {
                    to(at);
                    carry = true;
                }
                (Some(item), Some(theirs)) if same(item, theirs) => to(at + 1),
                (None, Some(theirs)) if many(theirs) => carry = true,
                (None, None) => return true,
                _ => {}
            }
        }
        here = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_overlap_where_one_address_is_for_both() {
        for (one, other, overlap) in [
            ("/a", "/a", true),
            ("/a", "/b", false),
            ("/a/*", "/*/b", true),
            ("/a/*", "/a", false),
            ("/a/**", "/a", true),
            ("/a/**", "/b/**", false),
            ("/**/z", "/a/**", true),
            ("/**/z", "/a/*", true),
            ("/**/y/z", "/a/*", false),
            ("/zone*", "/*5", true),
            ("/zone*", "/home5", false),
            ("/a*c", "/ab*", true),
            ("/a/", "/a/*", true),
            ("/**", "/", true),
            ("/**/a/**/b", "/a/*/c/**", true),
        ] {
            assert_eq!(pattern(one).overlaps(&pattern(other)), overlap, "{one} {other}");
            assert_eq!(pattern(other).overlaps(&pattern(one)), overlap, "{other} {one}");
        }
    }

    /// Every text of up to `len` items.
    fn all(items: &[&str], len: usize, between: &str) -> Vec<String> {
        let mut found: Vec<String> = items.iter().map(|item| String::from(*item)).collect();
        let mut last = found.clone();
        for _ in 1..len {
            last = last
                .iter()
                .flat_map(|head| items.iter().map(move |item| format!("{head}{between}{item}")))
                .collect();
            found.extend(last.iter().cloned());
        }
        found
    }

    #[test]
    fn it_is_so_exactly_when_a_short_address_shows_it() {
        // Patterns of up to 3 segments meet, if at all, in an address of up to 6 that is made of these.
        let addresses: Vec<String> =
            all(&["a", "b", "ab", "ba"], 5, "/").iter().map(|tail| format!("/{tail}")).collect();
        let patterns: Vec<Pattern> = all(&["a", "b", "*", "**", "a*"], 3, "/")
            .iter()
            .map(|tail| pattern(&format!("/{tail}")))
            .collect();
        let matches: Vec<Vec<bool>> =
            patterns.iter().map(|p| addresses.iter().map(|address| p.matches(address)).collect()).collect();
        for (one, of_one) in patterns.iter().zip(&matches) {
            for (other, of_other) in patterns.iter().zip(&matches) {
                let shown = of_one.iter().zip(of_other).any(|(a, b)| *a && *b);
                assert_eq!(one.overlaps(other), shown, "{one} {other}");
            }
        }
    }
}
