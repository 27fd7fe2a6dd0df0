//! Errors as people read them: what went wrong, and what to do.

use std::fmt;

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    what: String,
    remedy: String,
}

impl Complaint {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The API server's answer to `doing` (for example "read GraphSchedule nightly").
    pub fn of_kube(doing: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_forbidden() => Self::new(
                format!("you may not {doing}: {}", status.message),
                "ask whoever administers the cluster for this right, or choose another namespace with -n",
            ),
            kube::Error::Api(status) if status.is_not_found() => Self::new(
                format!("cannot {doing}: {}", status.message),
                "check the name and the namespace (-n); `kubectl autogpt status` lists what is there. If the kind is unknown, install the chart first",
            ),
            kube::Error::Api(status) if status.code == 401 => Self::new(
                format!("cannot {doing}: the API server does not know you"),
                "log in again; `kubectl auth whoami` tells who you are",
            ),
            kube::Error::Api(status) => Self::new(
                format!("cannot {doing}: {}", status.message),
                "change what the message names, and try again",
            ),
            other => Self::new(
                format!("cannot {doing}: {}", chain(other)),
                "check that the API server can be reached: `kubectl version`",
            ),
        }
    }

    /// The terminal or pipe that output goes to does not take it.
    pub fn of_output(error: &std::io::Error) -> Self {
        Self::new(format!("the output cannot be written: {error}"), "check where the output goes")
    }
}

/// An error with what caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        // Some errors print their cause themselves.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  what to do: {}", self.what, self.remedy)
    }
}

impl From<std::io::Error> for Complaint {
    fn from(error: std::io::Error) -> Self {
        Self::of_output(&error)
    }
}
