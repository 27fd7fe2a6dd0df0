//! How large a battery is.

use std::time::Duration;

use workload::choice;

/// Size of every case. The full size is `Scope::default()`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scope {
    /// Multiplies faults and runs.
    pub scale: f64,
    /// Bounds the time in which faults are injected.
    pub longest: Option<Duration>,
    /// How long the database lets a silent executor keep its runs.
    pub lease: Duration,
    /// PostgreSQL with fsync.
    pub durable: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            scale: 1.0,
            longest: None,
            lease: Duration::from_secs(15),
            durable: true,
        }
    }
}

/// Size of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub faults: usize,
    pub runs: usize,
}

impl Scope {
    /// From `SCALE` (a positive number) and `SECONDS_PER_CASE`.
    ///
    /// # Errors
    /// A text that says which variable is wrong.
    pub fn from_environment() -> Result<Self, String> {
        Ok(Self {
            scale: choice::scale()?,
            longest: choice::seconds_per_case()?,
            ..Self::default()
        })
    }

    /// A case of `full` size whose faults come `every` so often, scaled and bounded. At least one fault and eight runs remain.
    pub fn size(&self, full: Size, every: Duration) -> Size {
        let mut factor = self.scale;
        if let Some(longest) = self.longest {
            let wanted = every.as_secs_f64() * full.faults as f64 * factor;
            factor *= (longest.as_secs_f64() / wanted.max(0.001)).min(1.0);
        }
        let scaled = |count: usize, least: usize| ((count as f64 * factor).round() as usize).max(least);
        Size {
            faults: scaled(full.faults, 1),
            runs: scaled(full.runs, 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_and_runs_shrink_together() {
        let full = Size { faults: 100, runs: 10_000 };
        let every = Duration::from_secs(6);
        let of = |scale, longest: Option<u64>| {
            let longest = longest.map(Duration::from_secs);
            Scope {
                scale,
                longest,
                ..Scope::default()
            }
            .size(full, every)
        };
        assert_eq!(of(1.0, None), full);
        assert_eq!(of(0.1, None), Size { faults: 10, runs: 1000 });
        assert_eq!(of(1.0, Some(60)), Size { faults: 10, runs: 1000 });
        assert_eq!(of(0.05, Some(60)), Size { faults: 5, runs: 500 });
        assert_eq!(of(0.000_1, None), Size { faults: 1, runs: 8 });
    }
}
