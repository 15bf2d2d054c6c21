use std::{format, string::String, string::ToString, vec, vec::Vec};

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Reference §8.1, "router delivers for", row by row.
const DELIVERS: &[(&str, &[&str], &[&str])] = &[
    ("/a/*", &["/a/", "/a/b"], &["/a", "/a/b/c", "/b/a"]),
    ("/a/**", &["/a", "/a/", "/a/b", "/a/b/c"], &["/b", "/ab", "/", "/ab/c"]),
    ("/a/**/z", &["/a/z", "/a/b/z", "/a/b/c/z", "/a/z/z"], &["/a", "/z", "/a/z/b", "/a/bz"]),
    ("/a/b*", &["/a/b", "/a/bc"], &["/a/", "/a/b/c", "/a/cb"]),
    ("/a**", &["/a", "/ab"], &["/a/b/c", "/a/", "/b"]),
    ("/a.b", &["/a.b"], &["/axb", "/a/b"]),
    ("/a/{b,c}", &["/a/{b,c}"], &["/a/b", "/a/c"]),
    ("/a/?", &["/a/?"], &["/a/b"]),
    // Beyond the table: the same rules where they meet.
    ("/**", &["/", "/a", "/a/b/c"], &["a", ""]),
    ("/*", &["/", "/a"], &["/a/b", ""]),
    ("/**/**", &["/", "/a", "/a/b/c"], &[]),
    ("/**/b/**/d", &["/b/d", "/a/b/c/d", "/b/b/d", "/b/x/b/d"], &["/b", "/d/b", "/b/d/x"]),
    ("/zone5*/*b/x", &["/zone5/b/x", "/zone51/ab/x"], &["/zone/b/x", "/zone5/b/", "/zone5/ba/x"]),
    ("/a*/**", &["/a", "/ab", "/ab/c"], &["/b", "/b/a"]),
    ("/a/", &["/a/"], &["/a", "/a/b"]),
    ("/a*b*c", &["/abc", "/aXbXc", "/abcbc"], &["/ab", "/acb", "/abcx"]),
    ("/", &["/"], &["", "/a"]),
];

#[test]
fn the_router_delivers_what_the_reference_says() {
    for (text, delivered, not) in DELIVERS {
        let pattern = pattern(text);
        for address in *delivered {
            assert!(pattern.matches(address), "{text} should match {address:?}");
        }
        for address in *not {
            assert!(!pattern.matches(address), "{text} should not match {address:?}");
        }
    }
}

#[test]
fn invalid_patterns_are_refused_with_the_stock_texts() {
    let cases = [
        ("bad", "invalid address: address must start with '/': bad"),
        ("**", "invalid address: address must start with '/': **"),
        ("", "invalid address: empty address"),
        ("//a", "invalid address: empty segment in address: //a"),
        ("/a//b", "invalid address: empty segment in address: /a//b"),
        ("/a//", "invalid address: empty segment in address: /a//"),
    ];
    for (text, error) in cases {
        assert_eq!(Pattern::parse(text).map_err(|error| error.to_string()), Err(error.to_string()));
        assert_eq!(Address::parse(text).map_err(|error| error.to_string()), Err(error.to_string()));
    }
    assert!(Pattern::parse("/a/").is_ok());
}

#[test]
fn an_address_names_exactly_one_place() {
    for good in ["/", "/a", "/a/", "/a/b", "/a/?", "/a/{b}", "/a\0b", "/\u{3c0}/\u{2603}"] {
        assert_eq!(Address::parse(good).map(Address::as_str).as_deref(), Ok(good));
    }
    for star in ["/*", "/a/**", "/a*b"] {
        assert_eq!(Address::parse(star).unwrap_err().kind, AddressErrorKind::Wildcard);
    }
    let segments: Vec<&str> = Address::parse("/a/b/").unwrap().segments().collect();
    assert_eq!(segments, ["a", "b", ""]);
}

#[test]
fn length_and_segments_are_bounded() {
    let longest = format!("/{}", "a".repeat(MAX_ADDRESS_BYTES - 1));
    assert!(Address::parse(&longest).is_ok());
    let too_long = format!("{longest}a");
    assert_eq!(Pattern::parse(&too_long).unwrap_err().kind, AddressErrorKind::TooLong);
    let most = "/a".repeat(MAX_SEGMENTS);
    assert!(Pattern::parse(&most).is_ok());
    let too_many = format!("{most}/a");
    assert_eq!(Address::parse(&too_many).unwrap_err().kind, AddressErrorKind::TooManySegments);
}

/// Counts steps by length instead of by the clock: a matcher that tried every way to share 1000 bytes among 30
/// wildcards would not come back within the life of the machine.
#[test]
fn many_wildcards_do_not_multiply() {
    let globstars = format!("{}/z", "/**/a".repeat(15));
    let address = format!("{}/b", "/a".repeat(31));
    assert!(!pattern(&globstars).matches(&address));
    let stars = format!("/{}z", "a*".repeat(500));
    let name = format!("/{}b", "a".repeat(1000));
    assert!(!pattern(&stars).matches(&name));
    let both = format!("{}/z", "/**/*a*a*a*a*a*b".repeat(15));
    let long = format!("{}/y", format!("/{}", "a".repeat(32)).repeat(30));
    assert!(!pattern(&both).matches(&long));
}

/// The definition, word for word, as slow as it likes.
fn matches_by_definition(pattern: &[&str], address: &[&str]) -> bool {
    match (pattern.split_first(), address.split_first()) {
        (None, None) => true,
        (Some((&"**", after)), _) => {
            (0..=address.len()).any(|taken| matches_by_definition(after, &address[taken..]))
        }
        (Some((segment, after)), Some((name, rest))) => {
            in_segment(segment.as_bytes(), name.as_bytes()) && matches_by_definition(after, rest)
        }
        _ => false,
    }
}

fn in_segment(segment: &[u8], name: &[u8]) -> bool {
    match (segment.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', after)), _) => (0..=name.len()).any(|taken| in_segment(after, &name[taken..])),
        (Some((a, after)), Some((b, rest))) => a == b && in_segment(after, rest),
        _ => false,
    }
}

/// Every text of up to `most` of these segments.
fn combinations(segments: &[&str], most: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut longest = all.clone();
    for _ in 0..most {
        longest =
            longest.iter().flat_map(|head| segments.iter().map(move |s| format!("{head}/{s}"))).collect();
        all.extend(longest.iter().cloned());
    }
    all
}

#[test]
fn matching_is_what_the_definition_says() {
    let patterns = combinations(&["a", "b", "*", "**", "a*", "*b", "a**b", ""], 4);
    let addresses = combinations(&["a", "b", "ab", "ba", ""], 3);
    let addresses: Vec<&String> = addresses.iter().filter(|a| Address::parse(a).is_ok()).collect();
    let mut compared = 0;
    for pattern in patterns.iter().filter_map(|text| Pattern::parse(text).ok()) {
        let wanted: Vec<&str> = segments(pattern.as_str()).collect();
        for address in &addresses {
            let found: Vec<&str> = segments(address).collect();
            let expected = matches_by_definition(&wanted, &found);
            assert_eq!(pattern.matches(address), expected, "{pattern} {address}");
            compared += 1;
        }
    }
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn a_pattern_reaches_below_a_prefix_exactly_when_an_address_there_matches() {
    let patterns = combinations(&["p", "q", "*", "**", "p*", "s"], 4);
    let below = combinations(&["p", "q", "s", "x", "px"], 3);
    for prefix in ["/p", "/p/q", "/q/s"] {
        for pattern in patterns.iter().filter_map(|text| Pattern::parse(text).ok()) {
            let exists = below.iter().skip(1).any(|rest| pattern.matches(&format!("{prefix}{rest}")));
            assert_eq!(pattern.could_match_prefix(prefix), exists, "{pattern} below {prefix}");
            assert_eq!(
                pattern.could_match_prefix(&format!("{prefix}/")),
                exists,
                "{pattern} below {prefix}/"
            );
            assert!(
                pattern.could_match_prefix("") && pattern.could_match_prefix("/"),
                "{pattern} below the root"
            );
        }
    }
}

#[test]
fn the_signal_prefix_is_reached_by_everything_that_could_overhear_signals() {
    let reaches = |text: &str| pattern(text).could_match_prefix("/clasp/p2p/signal");
    for open in
        ["/**", "/clasp/**", "/clasp/p2p/*/x", "/*/*/*/*", "/**/x", "/clasp/p2p/signal/x", "/clasp/p2p/s*/**"]
    {
        assert!(reaches(open), "{open}");
    }
    for closed in
        ["/clasp/p2p/announce", "/clasp/p2p/signal", "/clasp/*", "/*/*/*", "/a/**", "/clasp/p2p/x*/**"]
    {
        assert!(!reaches(closed), "{closed}");
    }
}

#[test]
fn the_literal_prefix_ends_before_the_first_wildcard_segment() {
    let cases = [("/a/b", "/a/b"), ("/a/b*/c", "/a"), ("/**", ""), ("/a/b/**", "/a/b"), ("/a/*/c", "/a")];
    for (text, prefix) in cases {
        assert_eq!(pattern(text).literal_prefix(), prefix);
        assert_eq!(pattern(text).is_literal(), !text.contains('*'));
    }
}
