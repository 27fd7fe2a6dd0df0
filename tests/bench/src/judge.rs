//! Latency bars of the form `k × commit + c`, judged on the median of three runs (quality §2).

use crate::report::Rows;
use crate::stats::shown;

/// `times × commit + plus` milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    pub times: f64,
    pub plus: f64,
}

impl Bar {
    pub const fn new(times: f64, plus: f64) -> Self {
        Self { times, plus }
    }

    fn at(self, commit: f64) -> f64 {
        self.times * commit + self.plus
    }
}

/// What one run gave, with the median commit during it; both in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub value: f64,
    pub commit: f64,
}

/// Judges the run that stands in the middle by how much of its own bar it took.
pub fn judge(rows: &mut Rows, metric: &str, mut runs: Vec<Measured>, bar: Bar) {
    let share = |run: &Measured| run.value / bar.at(run.commit).max(f64::MIN_POSITIVE);
    runs.sort_by(|left, right| share(left).total_cmp(&share(right)));
    let Some(middle) = runs.get(runs.len() / 2) else { return };
    let why = match (bar.times, bar.plus) {
        (0.0, _) => String::new(),
        (times, plus) => format!("= {times} × {} + {plus}; of {} runs", shown(middle.commit), runs.len()),
    };
    rows.at_most(metric, middle.value, "ms", bar.at(middle.commit), why);
}
