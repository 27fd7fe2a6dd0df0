//! Status of a graph execution or a node execution, and which status may follow which (internals §2.11).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionStatus {
    Incomplete,
    Queued,
    Running,
    Completed,
    Terminated,
    Failed,
    Review,
}

impl ExecutionStatus {
    pub const ALL: [Self; 7] = [
        Self::Incomplete,
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Terminated,
        Self::Failed,
        Self::Review,
    ];

    /// The statuses from which `self` may be reached. `Incomplete` exists only at creation.
    pub fn allowed_from(self) -> &'static [Self] {
        match self {
            Self::Incomplete => &[],
            Self::Queued => &[Self::Incomplete, Self::Terminated, Self::Review],
            Self::Running => &[Self::Incomplete, Self::Queued, Self::Terminated, Self::Review],
            Self::Completed | Self::Review => &[Self::Running],
            Self::Failed | Self::Terminated => &[Self::Incomplete, Self::Queued, Self::Running, Self::Review],
        }
    }

    pub fn can_become(self, next: Self) -> bool {
        next.allowed_from().contains(&self)
    }

    /// COMPLETED, FAILED and TERMINATED are final for us: a finished run never changes (design §4).
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Terminated)
    }

    /// The contract's word, as stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "INCOMPLETE",
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Terminated => "TERMINATED",
            Self::Failed => "FAILED",
            Self::Review => "REVIEW",
        }
    }
}

impl std::fmt::Display for ExecutionStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ExecutionStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown execution status {0:?}")]
pub struct UnknownStatus(String);

#[cfg(test)]
mod tests {
    use super::ExecutionStatus::{self, *};

    #[test]
    fn transitions_are_the_contracts_table() {
        let table: &[(ExecutionStatus, &[ExecutionStatus])] = &[
            (Queued, &[Incomplete, Terminated, Review]),
            (Running, &[Incomplete, Queued, Terminated, Review]),
            (Completed, &[Running]),
            (Failed, &[Incomplete, Queued, Running, Review]),
            (Terminated, &[Incomplete, Queued, Running, Review]),
            (Review, &[Running]),
            (Incomplete, &[]),
        ];
        for (to, from) in table {
            for status in ExecutionStatus::ALL {
                assert_eq!(status.can_become(*to), from.contains(&status), "{status} -> {to}");
            }
        }
    }

    #[test]
    fn a_status_survives_text_and_json() {
        for status in ExecutionStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert!("DONE".parse::<ExecutionStatus>().is_err());
    }
}
