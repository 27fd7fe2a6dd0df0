//! What the battery says: a table for people and `reports/fuzz.json` (quality §7).

use std::fmt::{self, Display};

use serde::Serialize;

/// How one case went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub case: &'static str,
    /// Requests that were sent, or inputs that were read.
    pub inputs: u64,
    /// Distinct failures.
    pub failures: u64,
    pub ok: bool,
    /// One text for each failure; not in the JSON.
    #[serde(skip)]
    pub complaints: Vec<String>,
    /// What else is to be told; not in the JSON.
    #[serde(skip)]
    pub told: String,
}

impl Outcome {
    /// A case in which so many inputs led to these failures. One that had no input proves nothing.
    pub fn new(case: &'static str, inputs: u64, complaints: Vec<String>) -> Self {
        Self {
            case,
            inputs,
            failures: complaints.len() as u64,
            ok: complaints.is_empty() && inputs > 0,
            complaints,
            told: String::new(),
        }
    }

    /// The same with a remark.
    pub fn telling(self, told: String) -> Self {
        Self { told, ..self }
    }
}

/// The heading of the table whose rows are [`Outcome`]s.
pub const HEADING: &str = "case             inputs  failures";

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "ok" } else { "BROKEN" };
        write!(f, "{:<12} {:>10} {:>9}  {verdict}", self.case, self.inputs, self.failures)?;
        if !self.told.is_empty() {
            write!(f, " ({})", self.told)?;
        }
        for complaint in &self.complaints {
            write!(f, "\n    ! {}", complaint.replace('\n', "\n      "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_json_has_the_agreed_keys_only() {
        let outcome = Outcome::new("rest", 7, vec!["a 500".to_owned()]);
        let expected = serde_json::json!({"case": "rest", "inputs": 7, "failures": 1, "ok": false});
        assert_eq!(serde_json::to_value(&outcome).ok(), Some(expected));
        assert!(!Outcome::new("rest", 0, Vec::new()).ok, "nothing was tried");
    }
}
