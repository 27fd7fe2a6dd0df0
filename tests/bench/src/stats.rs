//! Percentiles, and numbers as people read them.

use std::time::Duration;

/// The value below which the share `share` (0 to 1) of the values lies; 0 of none.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // an index of a list in memory
    let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Three significant digits, without a fraction from 100 on.
pub fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_values() {
        assert_eq!(percentile(&mut [], 0.5), 0.0);
        assert_eq!(percentile(&mut [3.0], 0.99), 3.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(percentile(&mut [4.0, 1.0, 3.0, 2.0, 5.0], 1.0), 5.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            ["1234", "12.3", "1.23", "0.012"].map(String::from),
            [1234.4, 12.34, 1.234, 0.0123].map(shown)
        );
    }
}
