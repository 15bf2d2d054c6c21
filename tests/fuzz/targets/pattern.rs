//! Two texts, a pattern and an address with a line feed between them, against the definition of matching.
#![no_main]

use clasp_wire::{Address, Pattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pattern, address)) = text.split_once('\n') else { return };
    let Ok(pattern) = Pattern::parse(pattern) else { return };
    let matched = pattern.matches(address);
    let Ok(address) = Address::parse(address) else { return };
    let wanted: Vec<&str> = pattern.as_str()[1..].split('/').collect();
    let found: Vec<&str> = address.segments().collect();
    assert_eq!(matched, matches(&wanted, &found));
    if matched {
        let above = address.as_str().rsplit_once('/').map_or("", |(above, _)| above);
        assert!(pattern.could_match_prefix(above));
        assert!(address.as_str().starts_with(pattern.literal_prefix()));
    }
});

/// By a table: whether the first i segments of the pattern match the first j of the address.
fn matches(pattern: &[&str], address: &[&str]) -> bool {
    table(
        pattern,
        address,
        |segment| *segment == "**",
        |segment, name| table(segment.as_bytes(), name.as_bytes(), |byte| *byte == b'*', |a, b| a == b),
    )
}

fn table<P, A>(pattern: &[P], address: &[A], any: impl Fn(&P) -> bool, one: impl Fn(&P, &A) -> bool) -> bool {
    let mut row = vec![false; address.len() + 1];
    row[0] = true;
    for part in pattern {
        let mut next = vec![false; address.len() + 1];
        next[0] = row[0] && any(part);
        for (j, name) in address.iter().enumerate() {
            next[j + 1] = if any(part) { row[j + 1] || next[j] } else { row[j] && one(part, name) };
        }
        row = next;
    }
    row[address.len()]
}
