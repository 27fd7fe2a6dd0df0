//! What the environment asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::{Outcome, cases};

pub struct Options {
    only: Vec<String>,
    /// How long the cases take that run for a while.
    pub duration: Duration,
    scale: f64,
    pub report: PathBuf,
}

impl Options {
    pub fn from_environment() -> Outcome<Self> {
        let only: Vec<String> =
            variable("CASE")?.map_or_else(Vec::new, |names: String| names.split(',').map(|name| name.trim().to_owned()).collect());
        if let Some(unknown) = only.iter().find(|name| cases::ALL.iter().all(|case| case.name != *name)) {
            let names: Vec<&str> = cases::ALL.iter().map(|case| case.name).collect();
            return Err(format!("CASE: there is no case {unknown:?}; there are {}", names.join(", ")).into());
        }
        let scale = variable("SCALE")?.unwrap_or(1.0);
        if !(scale > 0.0 && scale <= 100.0) {
            return Err("SCALE must be above 0 and at most 100".into());
        }
        Ok(Self {
            only,
            duration: Duration::from_secs(variable("SECONDS_PER_CASE")?.unwrap_or(60).clamp(1, 3600)),
            scale,
            report: variable("REPORT")?.unwrap_or_else(|| "reports/bench.json".into()),
        })
    }

    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case)
    }

    /// `full` by the scale, but at least `least`.
    pub fn scaled(&self, full: usize, least: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // numbers of things to do
        let scaled = (full as f64 * self.scale).round() as usize;
        scaled.max(least)
    }
}

/// A variable of the environment; one that is empty counts as absent.
fn variable<T: FromStr<Err: std::fmt::Display>>(name: &str) -> Outcome<Option<T>> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error| format!("{name}={text}: {error}").into())
}
