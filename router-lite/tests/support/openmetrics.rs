//! Reads OpenMetrics text as strictly as the standard writes it down, for all test programs.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a text, by name and labels. Panics where the text breaks a rule.
pub(crate) fn read(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut described) = ("", "", BTreeSet::new());
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next(), words.next());
            let (Some(what), Some(name), Some(rest)) = (what, name, rest) else { panic!("{line}") };
            if what == "TYPE" {
                assert!(families.insert(name), "{name} comes twice");
                (family, kind, described) = (name, rest, BTreeSet::new());
            }
            assert_eq!(name, family, "{line} is not among its family");
            assert!(described.insert(what), "{line} comes twice");
            let is_unit = what == "UNIT" && name.ends_with(&format!("_{rest}"));
            assert!(matches!(what, "TYPE" | "HELP") || is_unit, "{line}");
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = key.split('{').next().unwrap_or_default();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        let is_right = match kind {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            "info" => suffix == "_info",
            "histogram" => matches!(suffix, "_bucket" | "_count" | "_sum"),
            _ => false,
        };
        assert!(is_right && described.contains("HELP"), "{line} as a {kind}");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(key.to_owned(), value).is_none(), "{key} comes twice");
    }
    samples
}
