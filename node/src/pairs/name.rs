//! What a device may be called: a stranger chose the name, a person reads it, and commands take it for a device.

use crate::identity::DeviceId;
use crate::limits::MAX_NAME_BYTES;

/// Characters of an id that name a device which gave no name.
const ID_SHOWN: usize = 8;

/// What a name may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameFault(pub(super) &'static str);

/// Whether a person may give a device this name.
pub(super) fn check(name: &str) -> Result<(), NameFault> {
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Err(NameFault("has 1 to 63 bytes"));
    }
    if name.contains(is_invisible) {
        return Err(NameFault("has no control characters"));
    }
    if name.trim() != name {
        return Err(NameFault("neither begins nor ends with a space"));
    }
    if is_id(name) {
        return Err(NameFault("is not the id of a device"));
    }
    Ok(())
}

/// What is left of the name a device gave itself; `None` if nothing is.
pub(super) fn cleaned(name: &str) -> Option<String> {
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).collect();
    let name = clipped(visible.trim(), MAX_NAME_BYTES);
    (!name.is_empty() && !is_id(name)).then(|| name.to_owned())
}

/// The name of a device that gave none.
pub(super) fn of_nameless(id: DeviceId) -> String {
    format!("device-{id:.ID_SHOWN$}")
}

/// The name itself, or with the first number behind it that makes it one that is not taken.
pub(super) fn unique(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut candidate = name.to_owned();
    let mut number = 1_u32;
    while is_taken(&candidate) {
        number += 1;
        let suffix = format!("-{number}");
        candidate = format!("{}{suffix}", clipped(name, MAX_NAME_BYTES - suffix.len()));
    }
    candidate
}

/// As much of the beginning as fits, in whole characters and without a space at the end.
fn clipped(name: &str, bytes: usize) -> &str {
    let fits = |end: &usize| *end <= bytes;
    let end = name.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(fits).last().unwrap_or(0);
    name.get(..end).unwrap_or_default().trim_end()
}

/// Nobody is to take one device for another because its name is another's id.
fn is_id(name: &str) -> bool {
    name.parse::<DeviceId>().is_ok()
}

/// Control characters, and those without a width or that turn the direction of text: two names must not look alike by them.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_calls_itself_is_cleaned() {
        let id = DeviceId::of(&[1; 32]).to_string();
        let long = "ä".repeat(40);
        for (given, want) in [
            ("kitchen", Some("kitchen")),
            (" the kitchen\n", Some("the kitchen")),
            ("kit\u{1b}[31mchen\u{202e}", Some("kit[31mchen")),
            ("", None),
            ("\u{200b} \t", None),
            (id.as_str(), None),
            (&id.to_uppercase(), None),
            (&long, Some(&long[..62])),
        ] {
            assert_eq!(cleaned(given).as_deref(), want, "{given:?}");
            assert!(cleaned(given).is_none_or(|name| check(&name).is_ok()), "{given:?}");
        }
    }

    #[test]
    fn a_person_is_told_what_is_wrong_with_a_name() {
        let (id, long) = (DeviceId::of(&[1; 32]).to_string(), "x".repeat(64));
        for (name, want) in [
            ("", "has 1 to 63 bytes"),
            (&long, "has 1 to 63 bytes"),
            ("a\tb", "has no control characters"),
            (" a", "neither begins nor ends with a space"),
            (&id, "is not the id of a device"),
        ] {
            assert_eq!(check(name), Err(NameFault(want)), "{name:?}");
        }
        assert_eq!(check("the kitchen"), Ok(()));
    }

    #[test]
    fn a_number_never_makes_a_name_too_long() {
        let name = "x".repeat(MAX_NAME_BYTES);
        let want = format!("{}-2", "x".repeat(MAX_NAME_BYTES - 2));
        assert_eq!(unique(&name, |taken| taken == name), want);
        let wide = "ä".repeat(31);
        assert_eq!(unique(&wide, |taken| taken == wide), format!("{}-2", "ä".repeat(30)));
    }
}
