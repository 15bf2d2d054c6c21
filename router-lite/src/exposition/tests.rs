use std::time::Duration;

use super::*;

#[test]
fn every_kind_of_family_is_written_as_the_standard_says() {
    let mut page = Exposition::new();
    page.info("a_build", "Version.", "version", "1.2.3");
    page.gauge("a_sessions", "Sessions.", 3);
    page.gauge("a_memory_bytes", "Memory.", 4096);
    page.counter("a_frames", "Frames.", u64::MAX);
    page.counters("a_drops", "Drops.", "reason", [("full", 0), ("slow", 2)]);
    let mut times = Histogram::new(&[0.01, 1.0]);
    for time in [10, 11, 2000] {
        times.observe(Duration::from_millis(time));
    }
    page.histogram("a_time_seconds", "Time.", &times);
    let expected = "\
# TYPE a_build info
# HELP a_build Version.
a_build_info{version=\"1.2.3\"} 1
# TYPE a_sessions gauge
# HELP a_sessions Sessions.
a_sessions 3
# TYPE a_memory_bytes gauge
# UNIT a_memory_bytes bytes
# HELP a_memory_bytes Memory.
a_memory_bytes 4096
# TYPE a_frames counter
# HELP a_frames Frames.
a_frames_total 18446744073709551615
# TYPE a_drops counter
# HELP a_drops Drops.
a_drops_total{reason=\"full\"} 0
a_drops_total{reason=\"slow\"} 2
# TYPE a_time_seconds histogram
# UNIT a_time_seconds seconds
# HELP a_time_seconds Time.
a_time_seconds_bucket{le=\"0.01\"} 1
a_time_seconds_bucket{le=\"1.0\"} 2
a_time_seconds_bucket{le=\"+Inf\"} 3
a_time_seconds_count 3
a_time_seconds_sum 2.021
# EOF
";
    assert_eq!(page.finish(), expected);
}

#[test]
fn what_would_end_a_string_or_a_line_is_escaped() {
    let mut page = Exposition::new();
    page.gauges("a", "Say \"a\\b\"\nor c.", "of", [("x\"} 1\ny", 1), ("ü\\", 2)]);
    let expected = "# TYPE a gauge\n# HELP a Say \\\"a\\\\b\\\"\\nor c.\n\
        a{of=\"x\\\"} 1\\ny\"} 1\na{of=\"ü\\\\\"} 2\n# EOF\n";
    assert_eq!(page.finish(), expected);
}

#[test]
fn an_empty_text_is_one_too() {
    assert_eq!(Exposition::new().finish(), "# EOF\n");
}

#[test]
fn a_family_without_room_is_left_out_whole_and_the_text_says_so() {
    let mut page = Exposition::new();
    page.gauge("a", "First.", 1);
    let long = "x".repeat(MAX_METRICS_BYTES);
    page.gauge("b", &long, 2);
    page.counters("c", "Many.", "of", (0..MAX_METRICS_BYTES as u64).map(|value| ("x", value)));
    page.gauge("d", "Last.", 3);
    let text = page.finish();
    assert!(text.len() <= MAX_METRICS_BYTES, "{}", text.len());
    assert!(text.contains("\na 1\n") && text.contains("\nd 3\n"), "{text}");
    assert!(!text.contains("b ") && !text.contains("# TYPE c counter"), "{text}");
    assert!(text.ends_with("\nclasp_families_left_out 2\n# EOF\n"), "{text}");
}

#[test]
fn a_bound_belongs_to_its_bucket() {
    let mut times = Histogram::new(&[0.5, 1.0]);
    for time in [0, 500, 501, 1000, 1001, u64::MAX] {
        times.observe(Duration::from_millis(time));
    }
    assert_eq!(times.buckets().collect::<Vec<_>>(), [(0.5, 2), (1.0, 4)]);
    assert_eq!(times.count(), 6);
}
