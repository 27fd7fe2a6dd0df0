//! How much is tried.

use std::time::Duration;

use workload::choice;

/// Requests of random data for an operation, at full size.
const EXAMPLES: f64 = 500.0;
/// How long libFuzzer looks at one target, at full size.
const SEARCH: Duration = Duration::from_secs(300);

/// Size of every case. The full size is `Scope::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Requests of random data for each operation of the REST service.
    pub examples: u32,
    /// Ends a case that is not done; without it the REST case makes all its requests.
    pub longest: Option<Duration>,
    /// How long a target is searched.
    pub search: Duration,
}

impl Scope {
    /// From `SCALE` and `SECONDS_PER_CASE`.
    ///
    /// # Errors
    /// A text that says which variable is wrong.
    pub fn from_environment() -> Result<Self, String> {
        Ok(Self::of(choice::scale()?, choice::seconds_per_case()?))
    }

    fn of(scale: f64, longest: Option<Duration>) -> Self {
        let search = SEARCH.mul_f64(scale);
        Self {
            examples: (EXAMPLES * scale).ceil().min(f64::from(u32::MAX)) as u32,
            longest,
            search: longest.map_or(search, |longest| longest.min(search)).max(Duration::from_secs(1)),
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::of(1.0, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variables_shrink_a_case() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!((Scope::default().examples, Scope::default().search), (500, SEARCH));
        assert_eq!(
            (Scope::of(0.001, None).examples, Scope::of(0.001, None).search),
            (1, Duration::from_secs(1))
        );
        assert_eq!(
            (Scope::of(1.0, minute).examples, Scope::of(1.0, minute).search),
            (500, Duration::from_secs(60))
        );
    }
}
