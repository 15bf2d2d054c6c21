//! What is shared with whom, as the configuration says it.

use std::fmt;
use std::str::FromStr;

use clasp_wire::{Address, Pattern};

use crate::identity::DeviceId;

/// Never shared: what routers and nodes say to each other.
const RESERVED: [&str; 2] = ["/clasp", "/edge"];

/// Which way messages of a share go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// From the clients of this node to the other device.
    Publish,
    /// From the other device to the clients of this node.
    Subscribe,
    /// Both ways.
    #[default]
    Both,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Publish, Self::Subscribe, Self::Both];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Both => "both",
        }
    }

    pub(super) const fn publishes(self) -> bool {
        !matches!(self, Self::Subscribe)
    }

    pub(super) const fn subscribes(self) -> bool {
        !matches!(self, Self::Publish)
    }
}

/// The devices a share is with. All of them are paired: nothing is shared with others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum With {
    /// Every paired device.
    #[default]
    All,
    /// The one with this id.
    Device(DeviceId),
    /// The one that is called so here.
    Name(String),
}

/// One share. Written `PATTERN[;with=NAME][;mode=publish|subscribe|both][;prefix=ADDRESS]`.
#[derive(Debug, Clone)]
pub struct Share {
    /// Which addresses, as both devices call them.
    pub pattern: Pattern,
    /// With whom.
    pub with: With,
    /// Which way.
    pub mode: Mode,
    /// What the other device's addresses have before them here, so that the names of two devices do not clash; else empty.
    pub prefix: String,
    /// The pattern with the prefix, as clients of this node would write it.
    local: Pattern,
}

/// What is wrong with a share. Displayed with the part it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {why}")]
pub struct ShareError {
    part: String,
    why: String,
}

impl ShareError {
    fn new(part: &str, why: impl fmt::Display) -> Self {
        Self { part: part.to_owned(), why: why.to_string() }
    }
}

impl Share {
    /// A share of these addresses; `prefix` is empty, or an address without a slash at its end.
    ///
    /// # Errors
    /// The pattern or the prefix is not one, or they are too long together, or what they name is reserved.
    pub fn new(pattern: &str, with: With, mode: Mode, prefix: &str) -> Result<Self, ShareError> {
        let parsed = Pattern::parse(pattern).map_err(|error| ShareError::new(pattern, error))?;
        if !prefix.is_empty() {
            Address::parse(prefix).map_err(|error| ShareError::new(prefix, error))?;
            if prefix.ends_with('/') {
                return Err(ShareError::new(prefix, "a prefix does not end with a slash"));
            }
        }
        let local = format!("{prefix}{pattern}");
        let local = Pattern::parse(&local).map_err(|error| ShareError::new(&local, error))?;
        // A pattern may be so wide that it takes these in; then they are left out. One that is about them alone is a mistake.
        for reserved in RESERVED {
            let is_about = |name: &str| is_below(name, reserved);
            if is_about(parsed.literal_prefix()) || is_about(prefix) {
                return Err(ShareError::new(pattern, format!("{reserved}/** is not for sharing")));
            }
        }
        Ok(Self { pattern: parsed, with, mode, prefix: prefix.to_owned(), local })
    }

    /// Whether it is with this device.
    pub(super) fn is_with(&self, device: DeviceId, name: &str) -> bool {
        match &self.with {
            With::All => true,
            With::Device(id) => *id == device,
            With::Name(wanted) => wanted == name,
        }
    }

    /// The pattern as clients of this node would write it.
    pub(super) fn local(&self) -> &Pattern {
        &self.local
    }

    /// What the other device calls this address of ours, if it is shared.
    pub(super) fn outwards<'a>(&self, address: &'a str) -> Option<&'a str> {
        let theirs = address.strip_prefix(self.prefix.as_str())?;
        (self.pattern.matches(theirs) && !is_reserved(theirs)).then_some(theirs)
    }

    /// Whether this address of the other device is shared; ours has the prefix before it.
    pub(super) fn takes(&self, address: &str) -> bool {
        self.pattern.matches(address) && !is_reserved(address)
    }

    /// What to ask the other device for, so that a client of ours with this subscription gets what it wants.
    pub(super) fn wish(&self, wanted: &Pattern) -> Option<Pattern> {
        if !self.local.overlaps(wanted) {
            return None;
        }
        if wanted.contains(&self.local) {
            return Some(self.pattern.clone());
        }
        // Where wildcards reach into the prefix, everything that is shared may be meant.
        let theirs = wanted.as_str().strip_prefix(self.prefix.as_str()).filter(|_| self.is_prefix_of(wanted));
        Some(theirs.and_then(|text| Pattern::parse(text).ok()).unwrap_or_else(|| self.pattern.clone()))
    }

    fn is_prefix_of(&self, wanted: &Pattern) -> bool {
        self.prefix.is_empty() || is_below(wanted.literal_prefix(), &self.prefix)
    }
}

/// Whether `name` is `root`, or below it.
fn is_below(name: &str, root: &str) -> bool {
    name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_reserved(address: &str) -> bool {
    RESERVED.iter().any(|reserved| is_below(address, reserved))
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let mut parts = text.split(';').map(str::trim);
        let pattern = parts.next().unwrap_or_default();
        let (mut with, mut mode, mut prefix) = (With::All, Mode::Both, "");
        for part in parts {
            match part.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some(("with", "")) => return Err(ShareError::new(part, "a device's name or id, or *")),
                Some(("with", "*")) => with = With::All,
                Some(("with", name)) => {
                    with = name.parse().map_or_else(|_| With::Name(name.to_owned()), With::Device);
                }
                Some(("mode", name)) => {
                    let found = Mode::ALL.into_iter().find(|mode| mode.name() == name);
                    mode = found.ok_or_else(|| ShareError::new(part, "publish, subscribe or both"))?;
                }
                Some(("prefix", text)) => prefix = text,
                _ => return Err(ShareError::new(part, "expected with=, mode= or prefix=")),
            }
        }
        Self::new(pattern, with, mode, prefix)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with: &dyn fmt::Display = match &self.with {
            With::All => &"*",
            With::Device(id) => id,
            With::Name(name) => name,
        };
        write!(f, "{};with={with};mode={}", self.pattern, self.mode.name())?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, ";prefix={}", self.prefix) }
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        let Self { pattern, with, mode, prefix, local: _ } = self;
        (pattern, with, mode, prefix) == (&other.pattern, &other.with, &other.mode, &other.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_written_comes_back() {
        let plain = share("/sensors/**");
        assert_eq!((&plain.with, plain.mode, plain.prefix.as_str()), (&With::All, Mode::Both, ""));
        for text in [
            "/sensors/**;with=*;mode=publish",
            "/a/*/b;with=kitchen;mode=subscribe;prefix=/peer/kitchen",
            "/x;with=jdqfucdxj6bea4jvgssi3kqiv56lisqi;mode=both",
        ] {
            assert_eq!(share(text).to_string(), text);
        }
        assert!(matches!(share("/x;with=jdqfucdxj6bea4jvgssi3kqiv56lisqi").with, With::Device(_)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("sensors", "sensors"),
            ("", ""),
            ("/a;mode=push", "mode=push"),
            ("/a;with=", "with="),
            ("/a;prefix=x", "x"),
            ("/a;prefix=/x/", "/x/"),
            ("/a;prefix=/x/*", "/x/*"),
            ("/a;colour=red", "colour=red"),
            ("/clasp/p2p/**", "/clasp/p2p/**"),
            ("/edge", "/edge"),
            ("/a;prefix=/edge/x", "/a"),
        ] {
            let error = text.parse::<Share>().unwrap_err();
            assert_eq!(error.part, part, "{text}: {error}");
        }
    }

    #[test]
    fn the_reserved_places_are_left_out_of_wide_patterns() {
        let all = share("/**");
        assert_eq!(all.outwards("/a/b"), Some("/a/b"));
        assert_eq!((all.outwards("/clasp/p2p/announce"), all.outwards("/edge/pipe/data")), (None, None));
        assert!(all.takes("/edges") && !all.takes("/edge") && !all.takes("/clasp/x"));
    }

    #[test]
    fn a_prefix_is_ours_alone() {
        let share = share("/sensors/*;prefix=/peer/kitchen");
        assert_eq!(share.outwards("/peer/kitchen/sensors/temp"), Some("/sensors/temp"));
        for other in ["/sensors/temp", "/peer/kitchen/other", "/peer/kitchen", "/peer/kitchensensors/temp"] {
            assert_eq!(share.outwards(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_asked_for_is_no_more_than_somebody_wants_and_no_less() {
        let wish = |share: &str, wanted: &str| {
            let wish = share.parse::<Share>().unwrap().wish(&Pattern::parse(wanted).unwrap());
            wish.map(|pattern| pattern.as_str().to_owned())
        };
        for (share, wanted, asked) in [
            ("/s/**", "/s/temp", Some("/s/temp")),
            ("/s/**", "/s/*", Some("/s/*")),
            ("/s/**", "/**", Some("/s/**")),
            ("/s/**", "/t/**", None),
            ("/s/*/x", "/s/a/*", Some("/s/a/*")),
            ("/s/**;prefix=/peer/k", "/peer/k/s/temp", Some("/s/temp")),
            ("/s/**;prefix=/peer/k", "/peer/*/s/temp", Some("/s/**")),
            ("/s/**;prefix=/peer/k", "/peer/**", Some("/s/**")),
            ("/s/**;prefix=/peer/k", "/s/temp", None),
        ] {
            assert_eq!(wish(share, wanted).as_deref(), asked, "{share} {wanted}");
        }
    }
}
