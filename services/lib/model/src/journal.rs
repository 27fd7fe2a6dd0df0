//! The journal: every change of a run's state, in order, as the executor hands it to the database manager (design §6.5).

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{ExecutionStatus, GraphExecId, Map, NodeExecId, NodeId, NodeStats, StoredStats, Timestamp};

/// One change. The position of an entry in its run is `first_seq` of its batch plus its index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", try_from = "Fields")]
pub enum JournalEntry {
    /// The run itself changes status. `stats` replaces what is stored.
    RunStatus {
        status: ExecutionStatus,
        stats: Option<StoredStats>,
        at: Timestamp,
    },
    /// The run waits for runs that its nodes have started and for nothing else: it stays RUNNING, but nobody works on it until one of them
    /// has ended. `stats` replaces what is stored.
    Suspended { stats: StoredStats, at: Timestamp },
    /// Nodes have ended, and the run's watchers are told what that means for the run: the position of that event. No row changes.
    Progressed,
    /// A node execution comes into being, INCOMPLETE.
    NodeCreated {
        node_exec_id: NodeExecId,
        node_id: NodeId,
        at: Timestamp,
    },
    /// A value arrives at an input pin (raw name, dynamic suffix included).
    NodeInput {
        node_exec_id: NodeExecId,
        name: String,
        value: Value,
        at: Timestamp,
    },
    /// A node execution changes status. `execution_data` (the resolved input) comes with QUEUED, `stats` with the end.
    NodeStatus {
        node_exec_id: NodeExecId,
        status: ExecutionStatus,
        execution_data: Option<Map>,
        stats: Option<NodeStats>,
        at: Timestamp,
    },
    /// A node execution emits a value.
    NodeOutput {
        node_exec_id: NodeExecId,
        name: String,
        value: Value,
        at: Timestamp,
    },
}

/// Consecutive entries of one run, written by the owner of `epoch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalBatch<E = JournalEntry> {
    pub graph_exec_id: GraphExecId,
    pub epoch: i64,
    /// Position of the first entry; the first entry of a run has position 1.
    pub first_seq: i64,
    /// The [`news`](crate::ClaimedRun::news) that the executor has looked into. A run that is parked (suspended, or in REVIEW) while there is
    /// later news goes straight back to the queue.
    #[serde(default)]
    pub news_seen: i64,
    pub entries: Vec<E>,
}

/// The JSON of a [`JournalEntry`], written once and shared by all who measure, keep and send it.
#[derive(Debug, Clone)]
pub struct WrittenEntry(Arc<RawValue>);

/// A batch on its way out.
pub type WrittenBatch = JournalBatch<WrittenEntry>;

impl WrittenEntry {
    /// Bytes of the JSON.
    pub fn size(&self) -> usize {
        self.text().len()
    }

    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl From<&JournalEntry> for WrittenEntry {
    /// There is nothing in an entry that JSON cannot hold; should that change, `null` is sent, which is refused as no entry.
    fn from(entry: &JournalEntry) -> Self {
        let text = serde_json::value::to_raw_value(entry);
        Self(text.unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }
}

impl Serialize for WrittenEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Every field that some entry has. Entries are read in one go: telling kinds apart by a tag inside would buffer each value first.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Kind,
    node_exec_id: Option<NodeExecId>,
    node_id: Option<NodeId>,
    name: Option<String>,
    #[serde(default)]
    value: Value,
    status: Option<ExecutionStatus>,
    execution_data: Option<Map>,
    #[serde(default)]
    stats: Value,
    at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    RunStatus,
    Suspended,
    Progressed,
    NodeCreated,
    NodeInput,
    NodeStatus,
    NodeOutput,
}

#[derive(Debug, thiserror::Error)]
enum NoEntry {
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("stats: {0}")]
    Stats(#[from] serde_json::Error),
}

impl TryFrom<Fields> for JournalEntry {
    type Error = NoEntry;

    fn try_from(fields: Fields) -> Result<Self, NoEntry> {
        let Fields { value, stats, .. } = fields;
        let at = fields.at.ok_or(NoEntry::Missing("at"));
        let node_exec_id = fields.node_exec_id.ok_or(NoEntry::Missing("node_exec_id"));
        let name = fields.name.ok_or(NoEntry::Missing("name"));
        let status = fields.status.ok_or(NoEntry::Missing("status"));
        Ok(match fields.kind {
            Kind::RunStatus => Self::RunStatus {
                status: status?,
                stats: serde_json::from_value(stats)?,
                at: at?,
            },
            Kind::Suspended => Self::Suspended {
                stats: serde_json::from_value(stats)?,
                at: at?,
            },
            Kind::Progressed => Self::Progressed,
            Kind::NodeCreated => Self::NodeCreated {
                node_exec_id: node_exec_id?,
                node_id: fields.node_id.ok_or(NoEntry::Missing("node_id"))?,
                at: at?,
            },
            Kind::NodeInput => Self::NodeInput {
                node_exec_id: node_exec_id?,
                name: name?,
                value,
                at: at?,
            },
            Kind::NodeStatus => Self::NodeStatus {
                node_exec_id: node_exec_id?,
                status: status?,
                execution_data: fields.execution_data,
                stats: serde_json::from_value(stats)?,
                at: at?,
            },
            Kind::NodeOutput => Self::NodeOutput {
                node_exec_id: node_exec_id?,
                name: name?,
                value,
                at: at?,
            },
        })
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AppendOutcome {
    /// Durable now, or already before (the same range sent twice). `cancel_requested` is the flag in the row, `news` its counter.
    Applied {
        next_seq: i64,
        cancel_requested: bool,
        #[serde(default)]
        news: i64,
    },
    /// There is a gap: the database expects `expected_seq`.
    Retry { expected_seq: i64 },
    /// Another owner has the run, or it is over: stop working on it and write nothing more.
    Stale,
    /// These entries can never be applied; the run has been set FAILED with this reason.
    Rejected { reason: String },
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn entries() -> Vec<JournalEntry> {
        let at: Timestamp = serde_json::from_value(json!("2026-01-02T03:04:05.678901Z")).unwrap();
        let node_exec_id = Uuid::from_u128(1);
        let name = "value".to_owned();
        vec![
            JournalEntry::RunStatus {
                status: ExecutionStatus::Running,
                stats: None,
                at,
            },
            JournalEntry::Suspended {
                stats: StoredStats::default(),
                at,
            },
            JournalEntry::Progressed,
            JournalEntry::NodeCreated {
                node_exec_id,
                node_id: Uuid::from_u128(2),
                at,
            },
            JournalEntry::NodeInput {
                node_exec_id,
                name: name.clone(),
                value: Value::Null,
                at,
            },
            JournalEntry::NodeStatus {
                node_exec_id,
                status: ExecutionStatus::Completed,
                execution_data: Some(Map::from_iter([("a".to_owned(), json!([1.5, "x"]))])),
                stats: Some(NodeStats::default()),
                at,
            },
            JournalEntry::NodeOutput {
                node_exec_id,
                name,
                value: json!({"type": "text", "n": 18_446_744_073_709_551_615_u64}),
                at,
            },
        ]
    }

    #[test]
    fn every_entry_is_read_as_it_was_written() {
        for entry in entries() {
            let written = WrittenEntry::from(&entry);
            assert_eq!(written.size(), serde_json::to_string(&entry).unwrap().len());
            assert_eq!(serde_json::from_str::<JournalEntry>(written.text()).unwrap(), entry);
        }
    }

    #[test]
    fn a_batch_of_written_entries_is_the_batch() {
        let batch = JournalBatch {
            graph_exec_id: Uuid::from_u128(3),
            epoch: 1,
            first_seq: 2,
            news_seen: 0,
            entries: entries(),
        };
        let written = JournalBatch {
            graph_exec_id: batch.graph_exec_id,
            epoch: batch.epoch,
            first_seq: batch.first_seq,
            news_seen: batch.news_seen,
            entries: batch.entries.iter().map(WrittenEntry::from).collect(),
        };
        assert_eq!(serde_json::to_string(&written).unwrap(), serde_json::to_string(&batch).unwrap());
    }

    #[test]
    fn what_is_no_entry_is_refused_with_what_is_missing() {
        let refusal = |text| serde_json::from_str::<JournalEntry>(text).unwrap_err().to_string();
        assert!(refusal("null").contains("invalid type: null"));
        assert!(refusal(r#"{"type": "node_eaten"}"#).contains("unknown variant `node_eaten`"));
        assert!(refusal(r#"{"type": "node_output", "name": "value", "value": 1}"#).contains("missing field `node_exec_id`"));
        assert!(refusal(r#"{"type": "suspended", "stats": 7, "at": "2026-01-02T03:04:05Z"}"#).contains("stats: "));
    }
}
