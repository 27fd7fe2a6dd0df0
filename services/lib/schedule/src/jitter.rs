//! A place within a span that a name decides, the same in every process and version.

use std::time::Duration;

/// An offset in `[0, span)` in whole milliseconds, spread evenly over seeds. Zero when the span is shorter than a millisecond.
pub fn offset(span: Duration, seed: &str) -> Duration {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let place = (u128::from(hash(seed)) * u128::from(milliseconds)) >> 64;
    Duration::from_millis(u64::try_from(place).unwrap_or_default())
}

/// FNV-1a, and the finalizer of SplitMix64 because the high bits decide.
fn hash(text: &str) -> u64 {
    let folded = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (folded ^ (folded >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_place_for_ever() {
        let hour = Duration::from_secs(3600);
        let seed = "5f3c8e0e-6f0c-4a39-9f43-0a8a5b9d2f11";
        assert_eq!(offset(hour, seed), offset(hour, seed));
        assert_eq!(offset(hour, seed), Duration::from_millis(PINNED));
        assert_eq!(offset(Duration::ZERO, seed), Duration::ZERO);
    }

    /// Written down once: another value would move the runs of every schedule.
    const PINNED: u64 = 2_477_654;

    #[test]
    fn seeds_are_spread_over_the_span() {
        let span = Duration::from_secs(60);
        let mut tenths = [0_u32; 10];
        for number in 0..10_000 {
            let place = offset(span, &format!("00000000-0000-4000-8000-{number:012}"));
            assert!(place < span);
            tenths[usize::try_from(place.as_millis() / 6000).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
    }
}
