//! Which finished executions of a schedule may go.

use std::sync::Arc;

use crds::GraphExecution;
use crds::conditions::{self, SUCCEEDED};
use crds::schedule::HistoryLimit;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The executions beyond the limits, oldest first. Only those of decided due times: the name of a younger one is still
/// needed as the sign that its time has fired.
pub fn surplus(children: &[Arc<GraphExecution>], limit: &HistoryLimit, decided_through: Option<&Time>) -> Vec<Arc<GraphExecution>> {
    let finished = |child: &&Arc<GraphExecution>| {
        child.metadata.deletion_timestamp.is_none()
            && child
                .status
                .as_ref()
                .and_then(|status| status.phase)
                .is_some_and(|phase| phase.is_terminal())
            && child
                .spec
                .scheduled_for
                .as_ref()
                .zip(decided_through)
                .is_some_and(|(slot, through)| slot <= through)
    };
    let (mut succeeded, mut failed): (Vec<_>, Vec<_>) = children.iter().filter(finished).cloned().partition(|child| {
        child
            .status
            .as_ref()
            .is_some_and(|status| conditions::is_true(&status.conditions, SUCCEEDED))
    });
    let mut surplus = Vec::new();
    for (list, keep) in [(&mut succeeded, limit.succeeded), (&mut failed, limit.failed)] {
        list.sort_by(|one, other| other.spec.scheduled_for.cmp(&one.spec.scheduled_for));
        surplus.extend(list.drain(..).skip(usize::try_from(keep).unwrap_or_default()));
    }
    surplus.sort_by(|one, other| one.spec.scheduled_for.cmp(&other.spec.scheduled_for));
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt;
    use serde_json::json;

    fn child(name: &str, minute: u32, phase: &str, succeeded: &str) -> Arc<GraphExecution> {
        let execution = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "scheduledFor": format!("2026-01-01T00:{minute:02}:00Z")},
            "status": {"phase": phase, "conditions": [{"type": "Succeeded", "status": succeeded, "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        Arc::new(serde_json::from_value(execution).unwrap())
    }

    fn through(minute: u32) -> Time {
        serde_json::from_value(json!(format!("2026-01-01T00:{minute:02}:00Z"))).unwrap()
    }

    #[test]
    fn the_oldest_of_each_verdict_go_first() {
        let children = [
            child("ok-1", 1, "COMPLETED", "True"),
            child("bad-2", 2, "COMPLETED", "False"),
            child("ok-3", 3, "COMPLETED", "True"),
            child("bad-4", 4, "FAILED", "False"),
            child("runs-5", 5, "RUNNING", "Unknown"),
            child("ok-6", 6, "COMPLETED", "True"),
        ];
        let limit = HistoryLimit { succeeded: 1, failed: 1 };
        let names: Vec<String> = surplus(&children, &limit, Some(&through(9)))
            .iter()
            .map(|child| child.name_any())
            .collect();
        assert_eq!(names, ["ok-1", "bad-2", "ok-3"]);
    }

    #[test]
    fn an_execution_whose_time_is_not_decided_stays() {
        let children = [child("ok-1", 1, "COMPLETED", "True")];
        let none = HistoryLimit { succeeded: 0, failed: 0 };
        assert!(surplus(&children, &none, Some(&through(0))).is_empty());
        assert!(surplus(&children, &none, None).is_empty());
        assert_eq!(surplus(&children, &none, Some(&through(1))).len(), 1);
    }
}
