//! The run that a retry goes on from. Pure.

use crds::conditions::reason;
use crds::execution::Phase;
use crds::{GraphExecution, GraphExecutionSpec, LocalObjectReference};
use model::GraphExecId;

use crate::execution::gate::NotNow;

/// What a retry goes on from, if it can; `found` is the object that it names.
pub fn retried(retry: &GraphExecution, reference: &LocalObjectReference, found: Option<&GraphExecution>) -> Result<GraphExecId, NotNow> {
    let name = &reference.name;
    let no = |reason, never, message| Err(NotNow { reason, message, never });
    let Some(former) = found else {
        let message =
            format!("there is no GraphExecution {name} in this namespace: a retry needs it; if it was cleaned up, make a new one with spec.graph");
        return no(reason::RETRIED_MISSING, false, message);
    };
    if former.spec.platform_ref != retry.spec.platform_ref {
        let message = format!(
            "GraphExecution {name} ran on AutoGPTPlatform {}: make a retry with the same spec.platformRef",
            former.spec.platform_ref.name
        );
        return no(reason::INVALID, true, message);
    }
    let status = former.status.clone().unwrap_or_default();
    let Some(phase) = status.phase.filter(|phase| phase.is_terminal()) else {
        let message = format!("GraphExecution {name} is not over yet; the retry starts by itself when it is");
        return no(reason::RETRIED_NOT_OVER, false, message);
    };
    let Some(run) = status.execution_id.as_deref().and_then(|id| id.parse().ok()) else {
        let message = format!("GraphExecution {name} never ran, so there is nothing to go on from: make a new one with spec.graph");
        return no(reason::NOTHING_TO_RETRY, true, message);
    };
    if phase == Phase::Completed && status.nodes.as_ref().is_some_and(|nodes| nodes.failed == 0) {
        let message = format!("GraphExecution {name} completed without a failed node, so there is nothing to retry: make a new one with spec.graph");
        return no(reason::NOTHING_TO_RETRY, true, message);
    }
    Ok(run)
}

/// The specification of the execution that was the first of a row of retries: it names owner and Secrets.
pub fn first<'a>(reference: &LocalObjectReference, found: Option<&'a GraphExecution>) -> Result<&'a GraphExecutionSpec, NotNow> {
    found.map(|first| &first.spec).filter(|spec| spec.retry_of.is_none()).ok_or_else(|| NotNow {
        reason: reason::RETRIED_MISSING,
        message: format!(
            "GraphExecution {} is itself a retry, and the execution that was the first is gone, with its owner and credentials: make a new one with spec.graph",
            reference.name
        ),
        never: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const RUN: &str = "0190f1d2-0000-7000-8000-000000000001";

    fn execution(platform: &str, status: Value) -> GraphExecution {
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e", "uid": "u"},
            "spec": {"platformRef": {"name": platform}, "graph": {}, "owner": RUN}, "status": status,
        }))
        .unwrap()
    }

    fn judge(found: Option<GraphExecution>) -> Result<GraphExecId, NotNow> {
        let reference = LocalObjectReference { name: "e".to_owned() };
        retried(&execution("p", Value::Null), &reference, found.as_ref())
    }

    #[test]
    fn what_is_over_and_did_not_go_well_can_be_retried() {
        for status in [
            json!({"phase": "FAILED", "executionId": RUN}),
            json!({"phase": "TERMINATED", "executionId": RUN, "nodes": {"total": 1, "active": 0, "completed": 1, "failed": 0}}),
            json!({"phase": "COMPLETED", "executionId": RUN, "nodes": {"total": 2, "active": 0, "completed": 1, "failed": 1}}),
        ] {
            assert_eq!(judge(Some(execution("p", status))).unwrap().to_string(), RUN);
        }
    }

    #[test]
    fn the_first_of_a_row_of_retries_names_the_owner() {
        let reference = LocalObjectReference { name: "e".to_owned() };
        let root = execution("p", Value::Null);
        assert_eq!(first(&reference, Some(&root)).unwrap().owner.as_deref(), Some(RUN));
        let mut retry = execution("p", Value::Null);
        retry.spec.retry_of = Some(LocalObjectReference { name: "gone".to_owned() });
        for found in [None, Some(&retry)] {
            let not_now = first(&reference, found).unwrap_err();
            assert!(not_now.never && not_now.message.contains("make a new one with spec.graph"));
        }
    }

    #[test]
    fn everything_else_says_why_not_and_what_to_do() {
        let whole = json!({"phase": "COMPLETED", "executionId": RUN, "nodes": {"total": 1, "active": 0, "completed": 1, "failed": 0}});
        let under_way = json!({"phase": "RUNNING", "executionId": RUN});
        let elsewhere = execution("q", json!({"phase": "FAILED", "executionId": RUN}));
        for (found, reason, never, words) in [
            (None, reason::RETRIED_MISSING, false, "make a new one with spec.graph"),
            (Some(elsewhere), reason::INVALID, true, "the same spec.platformRef"),
            (Some(execution("p", Value::Null)), reason::RETRIED_NOT_OVER, false, "starts by itself"),
            (Some(execution("p", under_way)), reason::RETRIED_NOT_OVER, false, "starts by itself"),
            (
                Some(execution("p", json!({"phase": "FAILED"}))),
                reason::NOTHING_TO_RETRY,
                true,
                "never ran",
            ),
            (Some(execution("p", whole)), reason::NOTHING_TO_RETRY, true, "without a failed node"),
        ] {
            let not_now = judge(found).unwrap_err();
            assert_eq!((not_now.reason, not_now.never), (reason, never));
            assert!(not_now.message.contains(words), "{}", not_now.message);
        }
    }
}
