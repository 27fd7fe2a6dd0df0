//! What a person chooses of a battery: `CASE`, `SCALE` and `SECONDS_PER_CASE` (quality §7).

use std::str::FromStr;
use std::time::Duration;

/// `SCALE`: a number above 0 that multiplies the size of every case; 1 when it is not set.
///
/// # Errors
/// A text that says what is wrong.
pub fn scale() -> Result<f64, String> {
    parsed("SCALE", "a number above 0, such as 0.1", |scale: &f64| scale.is_finite() && *scale > 0.0).map(|scale| scale.unwrap_or(1.0))
}

/// `SECONDS_PER_CASE`: how long a case may last.
///
/// # Errors
/// A text that says what is wrong.
pub fn seconds_per_case() -> Result<Option<Duration>, String> {
    parsed("SECONDS_PER_CASE", "a whole number above 0", |seconds: &u64| *seconds > 0).map(|seconds| seconds.map(Duration::from_secs))
}

/// All of `cases`, or those that `CASE` names, with commas between them.
///
/// # Errors
/// A text with the names that there are.
pub fn cases<C>(cases: &[C], name: impl Fn(&C) -> &str) -> Result<Vec<&C>, String> {
    let Some(wanted) = variable("CASE") else {
        return Ok(cases.iter().collect());
    };
    let found = wanted.split(',').map(|wanted| {
        cases.iter().find(|case| name(case) == wanted.trim()).ok_or_else(|| {
            let all: Vec<&str> = cases.iter().map(&name).collect();
            format!("there is no case {wanted:?}; CASE may be {}", all.join(", "))
        })
    });
    found.collect()
}

fn parsed<T: FromStr>(name: &str, form: &str, fits: impl Fn(&T) -> bool) -> Result<Option<T>, String> {
    let Some(text) = variable(name) else { return Ok(None) };
    let value = text.parse().ok().filter(fits);
    value.map(Some).ok_or_else(|| format!("{name} is {text:?}; it must be {form}"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
