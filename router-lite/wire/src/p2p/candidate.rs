//! The JSON text inside an `ice_candidate` signal (reference §9.4).

use alloc::string::String;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const PREFIX: &str = "candidate:";

/// A candidate as browsers and other stacks pass it around (`RTCIceCandidateInit`).
///
/// `candidate` is the attribute with its `candidate:` prefix, or empty for "no more candidates".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateInit {
    /// `candidate:<foundation> <component> udp …`, or empty.
    #[serde(deserialize_with = "text_or_null")]
    pub candidate: String,
    /// Which media section, by id. The stock Rust client sends an empty one.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// Which media section, by position.
    #[serde(default, rename = "sdpMLineIndex")]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE generation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// Why a text is not a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("candidate is neither JSON nor a candidate line: error at column {column} of {len} bytes")]
pub struct CandidateError {
    /// Where the JSON reader gave up, in bytes of its line, from 1.
    pub column: usize,
    /// The text's length in bytes.
    pub len: usize,
}

impl CandidateInit {
    /// A candidate of the only media section a data connection has: `sdpMid` "0", line 0.
    #[must_use]
    pub fn new(candidate: &str, username_fragment: Option<&str>) -> Self {
        Self {
            candidate: with_prefix(candidate),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: username_fragment.map(Into::into),
        }
    }

    /// Reads what any known sender writes: the JSON object with or without its optional keys, a bare candidate line,
    /// an empty text or `null` for "no more candidates". The prefix `candidate:` may be missing, `a=` may be there.
    pub fn parse(text: &str) -> Result<Self, CandidateError> {
        let text = text.trim();
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        if text.starts_with(PREFIX) || text.starts_with("a=") {
            return Ok(Self { candidate: with_prefix(text), ..Self::default() });
        }
        let mut init: Self = serde_json::from_str(text)
            .map_err(|error| CandidateError { column: error.column(), len: text.len() })?;
        init.candidate = with_prefix(&init.candidate);
        Ok(init)
    }

    /// The text to send. Always with `sdpMid` ("0" unless set to something) and `sdpMLineIndex` (0 unless set), which
    /// strict receivers insist on.
    #[must_use]
    pub fn to_json(&self) -> String {
        let complete = Self {
            sdp_mid: Some(self.sdp_mid.clone().filter(|mid| !mid.is_empty()).unwrap_or_else(|| "0".into())),
            sdp_m_line_index: Some(self.sdp_m_line_index.unwrap_or(0)),
            ..self.clone()
        };
        serde_json::to_string(&complete).expect("strings and numbers under string keys always serialize")
    }

    /// Whether this says "no more candidates".
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.candidate.is_empty()
    }
}

fn with_prefix(candidate: &str) -> String {
    let candidate = candidate.trim();
    let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
    if candidate.is_empty() || candidate.starts_with(PREFIX) {
        return candidate.into();
    }
    let mut line = String::with_capacity(PREFIX.len() + candidate.len());
    line.push_str(PREFIX);
    line.push_str(candidate);
    line
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(deserializer).map(Option::unwrap_or_default)
}
