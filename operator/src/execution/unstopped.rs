//! What is said of a deleted execution whose run did not end while the object could wait for it.

use std::time::Duration;

use crds::GraphExecution;
use model::progress::RunProgress;

/// A run as the platform names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    /// Its graph, where that is known.
    graph: Option<String>,
}

impl Run {
    /// The run of an execution, when it is known that there is one.
    pub fn of(execution: &GraphExecution, progress: Option<&RunProgress>) -> Option<Self> {
        let noted = execution.status.as_ref().and_then(|status| {
            let graph = status.graph_id.clone();
            status.execution_id.clone().map(|id| Self { id, graph })
        });
        noted.or_else(|| {
            progress.map(|progress| Self {
                id: progress.graph_exec_id.to_string(),
                graph: Some(progress.graph_id.to_string()),
            })
        })
    }

    /// The request that stops it.
    fn stop(&self) -> String {
        let graph = self.graph.as_deref().unwrap_or("GRAPH");
        format!("POST /api/graphs/{graph}/executions/{}/stop", self.id)
    }
}

/// What is known of the run, and what is left to do. `silence` is why the last request to stop it failed, if it did.
pub fn unstopped(run: Option<&Run>, silence: Option<&str>, patience: Duration) -> String {
    let patience = patience.as_secs();
    match (run, silence) {
        (Some(run), None) => format!(
            "run {} was not over within {patience} s: let go; the platform was asked to stop it, and does so when it can",
            run.id
        ),
        // Long reasons are cut off: what to do comes before them.
        (Some(run), Some(why)) => format!(
            "run {} was not over within {patience} s, and the platform may not know that it is to end: let go, and the run may go on to its \
             end. To stop it: {}. The last request to stop it failed: {why}",
            run.id,
            run.stop()
        ),
        (None, _) => format!(
            "whether the platform has a run of this could not be found out within {patience} s: let go; a run that it has may go on to its \
             end. To find it: GET /api/executions; to stop it: POST /api/graphs/GRAPH/executions/RUN/stop"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_platform_that_was_asked_is_said_to_stop_a_run() {
        let of = |status: serde_json::Value| -> Option<Run> {
            let execution = json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e"},
                "spec": {"platformRef": {"name": "p"}, "graph": {}}, "status": status,
            });
            Run::of(&serde_json::from_value(execution).unwrap(), None)
        };
        let patience = Duration::from_secs(60);
        let run = of(json!({"executionId": "r", "graphId": "g"}));
        let asked = unstopped(run.as_ref(), None, patience);
        assert!(
            asked.contains("run r ") && asked.contains("60 s") && asked.contains("was asked to stop it"),
            "{asked}"
        );
        let unasked = unstopped(run.as_ref(), Some("connection refused"), patience);
        for part in ["POST /api/graphs/g/executions/r/stop", "may go on to its end", "connection refused"] {
            assert!(unasked.contains(part), "{unasked}");
        }
        assert!(!unasked.contains("was asked"), "{unasked}");
        assert_eq!(of(json!({"phase": "Pending"})), None);
        let unknown = unstopped(None, None, patience);
        assert!(unknown.contains("GET /api/executions") && !unknown.contains("was asked"), "{unknown}");
    }
}
