//! What the battery says: a table for people and `reports/faults.json` (quality §7).

use std::fmt::{self, Display};

use serde::Serialize;

/// How one case went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub case: &'static str,
    /// Faults that were injected.
    pub faults: u64,
    /// Runs in the database at the end.
    pub runs: u64,
    /// Accepted runs, or effects of completed nodes, that are not there or ended as they should not.
    pub lost: u64,
    /// Node executions whose effects carry two keys, `Once` nodes with two effects, nodes of a chain that were completed twice.
    pub doubled: u64,
    /// Runs that stood still longer than 20 s past the lease, or for ever.
    pub stuck: u64,
    /// The longest time for which a run that somebody had begun stood still.
    pub worst_recovery_s: f64,
    /// No invariant is broken.
    pub ok: bool,
    /// What else people want to know; not in the JSON.
    #[serde(skip)]
    pub notes: Notes,
}

impl Outcome {
    /// How a search went that needs no platform: what is wrong with its first failing case, if there is one.
    pub fn of_search(case: &'static str, faults: u64, runs: u64, report: &impl Display, failure: Option<String>) -> Self {
        Self {
            case,
            faults,
            runs,
            lost: 0,
            doubled: 0,
            stuck: 0,
            worst_recovery_s: 0.0,
            ok: failure.is_none(),
            notes: Notes {
                remarks: vec![report.to_string()],
                complaints: failure.into_iter().collect(),
                ..Notes::default()
            },
        }
    }
}

/// Seconds as they are reported.
pub fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// The small print of an outcome.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// Effects that were repeated under the key that they had before.
    pub reruns: u64,
    /// Runs that wait for a person.
    pub parked: u64,
    /// Samples of what is wrong.
    pub complaints: Vec<String>,
    /// What the case measured besides.
    pub remarks: Vec<String>,
}

/// The heading of the table whose rows are [`Outcome`]s.
pub const HEADING: &str = "case                 faults    runs   lost  doubled  stuck  worst recovery  re-runs  parked";

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<19} {:>7} {:>7} {:>6} {:>8} {:>6} {:>13.1} s {:>8} {:>7}  {}",
            self.case,
            self.faults,
            self.runs,
            self.lost,
            self.doubled,
            self.stuck,
            self.worst_recovery_s,
            self.notes.reruns,
            self.notes.parked,
            if self.ok { "ok" } else { "BROKEN" }
        )?;
        for remark in &self.notes.remarks {
            write!(f, "\n    {remark}")?;
        }
        for complaint in &self.notes.complaints {
            write!(f, "\n    ! {complaint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_agreed_keys_only() {
        let outcome = Outcome {
            case: "executor_kill",
            faults: 1,
            runs: 2,
            lost: 0,
            doubled: 0,
            stuck: 0,
            worst_recovery_s: 1.5,
            ok: true,
            notes: Notes::default(),
        };
        let expected = serde_json::json!({
            "case": "executor_kill", "faults": 1, "runs": 2, "lost": 0, "doubled": 0, "stuck": 0, "worst_recovery_s": 1.5, "ok": true
        });
        assert_eq!(serde_json::to_value(&outcome).unwrap(), expected);
    }
}
