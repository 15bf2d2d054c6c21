//! Medians and tails.

use serde::Serialize;

/// Where figures lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        // Nearest rank: of 100 figures the 99th percentile is the last but one.
        let rank = |percent: usize| (figures.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| figures.get(rank(percent)).copied().unwrap_or(f64::NAN);
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// The median of what there is.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let figures: Vec<f64> = figures.into_iter().collect();
    (!figures.is_empty()).then(|| Spread::of(figures).p50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_tails() {
        let hundred = Spread::of((1..=100_u32).rev().map(f64::from).collect());
        assert_eq!(hundred, Spread { p50: 50.0, p99: 99.0, max: 100.0 });
        let thousand = Spread::of((1..=1000_u32).map(f64::from).collect());
        assert_eq!((thousand.p99, thousand.max), (990.0, 1000.0));
        assert_eq!((median([3.0, 1.0, 2.0]), median([])), (Some(2.0), None));
    }
}
