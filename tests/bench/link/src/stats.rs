//! Median and tail of some figures.

/// Where figures lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: &mut [f64]) -> Self {
        figures.sort_by(f64::total_cmp);
        let last = figures.len().saturating_sub(1);
        // Rounded up: of 100 figures the 99th percentile is the last but one.
        let at = |percent: usize| figures.get((last * percent).div_ceil(100)).copied().unwrap_or(0.0);
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// A figure to compute with. Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "byte counts are far below 2^53")]
pub(crate) const fn float(count: usize) -> f64 {
    count as f64
}
