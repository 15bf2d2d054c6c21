//! Metrics as text: OpenMetrics 1.0, as Prometheus reads it.
//!
//! Owns: the syntax, and the bound of the text. Does not own: what is measured. Names and label names are `'static`, so
//! that no stranger can make the text grow; a label's values must come from a fixed set for the same reason.

mod histogram;

use std::fmt::{Display, Write as _};

pub use histogram::Histogram;

use crate::limits::MAX_METRICS_BYTES;

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A text of metric families, each written once and as a whole. A family beyond [`MAX_METRICS_BYTES`] is left out, and
/// the text then says how many were.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    left_out: u64,
}

impl Exposition {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter. Its sample is called `name` with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, "counter", help, |text| sample(text, name, "_total", None, value));
    }

    /// A counter for each value of a label.
    pub fn counters<'a>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "counter", help, |text| {
            for (of, value) in values {
                sample(text, name, "_total", Some((label, of)), value);
            }
        });
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, "gauge", help, |text| sample(text, name, "", None, value));
    }

    /// A gauge for each value of a label.
    pub fn gauges<'a>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "gauge", help, |text| {
            for (of, value) in values {
                sample(text, name, "", Some((label, of)), value);
            }
        });
    }

    /// Something that is constant while the program runs. Its sample is called `name` with `_info`.
    pub fn info(&mut self, name: &'static str, help: &str, label: &'static str, value: &str) {
        self.family(name, "info", help, |text| sample(text, name, "_info", Some((label, value)), 1));
    }

    /// A histogram of times. By convention `name` ends in `_seconds`.
    pub fn histogram(&mut self, name: &'static str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help, |text| {
            for (bound, count) in histogram.buckets() {
                sample(text, name, "_bucket", Some(("le", &format!("{bound:?}"))), count);
            }
            sample(text, name, "_bucket", Some(("le", "+Inf")), histogram.count());
            sample(text, name, "_count", None, histogram.count());
            sample(text, name, "_sum", None, format_args!("{:?}", histogram.sum().as_secs_f64()));
        });
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.left_out > 0 {
            let name = "clasp_families_left_out";
            let help = "Metric families for which this text had no room.";
            head(&mut self.text, name, "gauge", help);
            sample(&mut self.text, name, "", None, self.left_out);
        }
        self.text.push_str("# EOF\n");
        self.text
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: impl FnOnce(&mut String)) {
        let start = self.text.len();
        head(&mut self.text, name, kind, help);
        samples(&mut self.text);
        if self.text.len() > MAX_METRICS_BYTES {
            self.text.truncate(start);
            self.left_out += 1;
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    put(text, format_args!("# TYPE {name} {kind}\n"));
    // A family that has a unit is named after it.
    if let Some(unit) = ["bytes", "seconds"].into_iter().find(|unit| is_suffix(name, unit)) {
        put(text, format_args!("# UNIT {name} {unit}\n"));
    }
    put(text, format_args!("# HELP {name} "));
    escape(text, help);
    text.push('\n');
}

fn is_suffix(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

fn sample(text: &mut String, name: &str, suffix: &str, label: Option<(&str, &str)>, value: impl Display) {
    text.push_str(name);
    text.push_str(suffix);
    if let Some((label, of)) = label {
        put(text, format_args!("{{{label}=\""));
        escape(text, of);
        text.push_str("\"}");
    }
    put(text, format_args!(" {value}\n"));
}

/// The three characters that would end a quoted string or a line early.
fn escape(text: &mut String, raw: &str) {
    for character in raw.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests;
