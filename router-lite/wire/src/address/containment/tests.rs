use std::{format, string::String, vec, vec::Vec};

use super::*;
use crate::Address;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_plainly_contained_is_and_what_is_plainly_not_is_not() {
    for (container, inside, outside) in [
        (
            "/pub/*",
            &["/pub/*", "/pub/a", "/pub/", "/pub/a*"][..],
            &["/pub/**", "/pub", "/*/a", "/**", "/pub/*/*"][..],
        ),
        (
            "/pub/**",
            &["/pub", "/pub/**", "/pub/*", "/pub/a/b", "/pub/**/z", "/pub/a*/**"],
            &["/**", "/*", "/pub*", "/pub*/**"],
        ),
        ("/**", &["/**", "/*", "/", "/a/**/b*", "/**/**"], &[]),
        (
            "/zone5*",
            &["/zone5*", "/zone5", "/zone51", "/zone51*", "/zone5*x*"],
            &["/zone*", "/*", "/zone5*/a", "/**"],
        ),
        ("/*b*", &["/b", "/abc", "/*b", "/b*", "/a*b*c"], &["/*", "/a*", "/a"]),
        ("/a/*/c", &["/a/*/c", "/a/b/c", "/a/b*/c"], &["/a/**/c", "/a/*", "/a/*/*"]),
        ("/a", &["/a"], &["/a/", "/a*", "/a/**", "/*"]),
        ("/*/**", &["/**/*", "/**/a", "/a/**", "/**"], &[]),
        ("/*/*/**", &["/**/*/*", "/*/**/*", "/a/**/b"], &["/**", "/*/**", "/a"]),
        ("/**/a/**", &["/a", "/**/a", "/x/a/y", "/a/**/a"], &["/**", "/x/**", "/*/a*"]),
    ] {
        for text in inside {
            assert!(pattern(container).contains(&pattern(text)), "{container} contains {text}");
        }
        for text in outside {
            assert!(!pattern(container).contains(&pattern(text)), "{container} does not contain {text}");
        }
    }
}

/// Every text of 1 to `most` of these segments.
fn combinations(segments: &[&str], most: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut longest = vec![String::new()];
    for _ in 0..most {
        longest =
            longest.iter().flat_map(|head| segments.iter().map(move |s| format!("{head}/{s}"))).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Compares with all addresses of up to `most` of `names`; one of them is the example wherever there is one.
fn compare(patterns: &[&str], longest: usize, names: &[&str], most: usize) -> (usize, usize) {
    let addresses = combinations(names, most);
    let addresses: Vec<&String> = addresses.iter().filter(|text| Address::parse(text).is_ok()).collect();
    let patterns = combinations(patterns, longest);
    let patterns: Vec<(Pattern, Vec<bool>)> = patterns
        .iter()
        .filter_map(|text| Pattern::parse(text).ok())
        .map(|pattern| {
            let matched = addresses.iter().map(|address| pattern.matches(address)).collect();
            (pattern, matched)
        })
        .collect();
    let (mut yes, mut no) = (0, 0);
    for (container, matched) in &patterns {
        for (other, wanted) in &patterns {
            let example = wanted.iter().zip(matched).position(|(wanted, matched)| *wanted && !*matched);
            let contains = container.contains(other);
            assert_eq!(
                contains,
                example.is_none(),
                "{container} and {other}: {:?}",
                example.map(|at| addresses[at])
            );
            *(if contains { &mut yes } else { &mut no }) += 1;
        }
    }
    (yes, no)
}

#[test]
fn containment_of_segments_is_what_the_definition_says() {
    let (yes, no) = compare(&["a", "*", "**", "a*"], 3, &["a", "x", "ax"], 6);
    assert!(yes > 1000 && no > 1000, "{yes}, {no}");
}

#[test]
fn containment_within_a_segment_is_what_the_definition_says() {
    let names = ["a", "b", "x", "ab", "ax", "xa", "xb", "axb", "axxb", "axa", "xax", ""];
    let (yes, no) = compare(&["a", "b", "*", "**", "a*", "*b", "a*b", "*a*", "a**b", ""], 2, &names, 3);
    assert!(yes > 300 && no > 1000, "{yes}, {no}");
}

/// No clock: patterns made to take long would not come back within the life of the machine.
#[test]
fn patterns_made_to_take_long_do_not() {
    let often = |segment: &str| pattern(&format!("/**/{segment}").repeat(MAX_SEGMENTS / 2));
    for (container, other, contains) in
        [("a*", "a", true), ("*", "a*", true), ("a*", "*a", false), ("a", "a*", false)]
    {
        assert_eq!(often(container).contains(&often(other)), contains, "{container} {other}");
    }
    let stars = |tail: &str| pattern(&format!("/{}{tail}", "a*".repeat(500)));
    assert!(!stars("z").contains(&stars("b")));
    assert!(stars("").contains(&stars("b")));
}
