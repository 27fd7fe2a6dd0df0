//! One cron line: its times of day, its days, and when they are in a zone.

mod days;
mod due;
mod field;
mod parse;
mod times;

use days::Days;

/// A line that was understood and is due some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Sets of values, one bit each.
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    /// Due whenever the wall clock shows one of its times; otherwise once for each of its times.
    follows_wall_clock: bool,
}

/// The lowest member of a set that is not below `from`.
fn first_from(set: u64, from: u32) -> Option<u32> {
    let rest = u64::MAX.checked_shl(from).unwrap_or(0) & set;
    (rest != 0).then(|| rest.trailing_zeros())
}

/// The highest member of a set that is not above `to`.
fn last_to(set: u64, to: u32) -> Option<u32> {
    let rest = u64::MAX.checked_shr(63_u32.saturating_sub(to)).unwrap_or(u64::MAX) & set;
    (rest != 0).then(|| 63 - rest.leading_zeros())
}

fn members(set: u64) -> impl Iterator<Item = u32> {
    std::iter::successors(first_from(set, 0), move |member| first_from(set, member + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_walked_both_ways() {
        let set = 1 | 1 << 5 | 1 << 63;
        assert_eq!(
            [0, 1, 5, 6, 63, 64].map(|from| first_from(set, from)),
            [Some(0), Some(5), Some(5), Some(63), Some(63), None]
        );
        assert_eq!(
            [0, 4, 5, 62, 63, 99].map(|to| last_to(set, to)),
            [Some(0), Some(0), Some(5), Some(5), Some(63), Some(63)]
        );
        assert_eq!(last_to(2, 0), None);
        assert_eq!(members(set).collect::<Vec<_>>(), [0, 5, 63]);
    }
}
