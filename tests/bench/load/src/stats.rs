//! Medians and percentiles.

/// The value at `fraction` of the sorted figures; 0 if there are none.
pub(crate) fn quantile(figures: &mut [f64], fraction: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into the slice: small and positive"
    )]
    let index = (figures.len().saturating_sub(1) as f64 * fraction).round() as usize;
    figures.get(index).copied().unwrap_or(0.0)
}

/// The one in the middle.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut figures.into_iter().collect::<Vec<_>>(), 0.5)
}

/// A figure to compute with. Exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts and byte sizes are far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}
