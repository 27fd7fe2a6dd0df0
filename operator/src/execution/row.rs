//! What is known of every execution without opening it.

use crds::{EXECUTION_FINALIZER, GraphExecution, LABEL_SCHEDULE};
use kube::ResourceExt;

use crate::execution::status;
use crate::runtime::cache::without_writers;
use crate::runtime::kept::Keep;
use crate::runtime::sweep::Turn;
use crate::schedule::family;

/// See [`Keep::facts`].
#[derive(Debug, Clone, Default)]
pub struct ExecutionFacts {
    /// The platform that it names.
    pub platform: Box<str>,
    /// The schedule whose label it carries.
    pub schedule: Option<Box<str>>,
    /// UIDs of its owners.
    pub owners: Box<[Box<str>]>,
    /// What its schedule hears of it: see [`family::news`].
    pub news: u64,
    /// Whether its run is over.
    pub over: bool,
    /// Whether the platform is known to have its run.
    pub submitted: bool,
    /// Whether the operator's finalizer holds it.
    pub held: bool,
    /// Whether somebody wants it to end, or nobody has looked at it yet.
    pub wanted: bool,
    /// Whether it is to be deleted when it is over.
    pub expires: bool,
    /// Whether the stored object shows nodes and outputs of a run under way, which are not kept.
    pub shows: bool,
}

impl ExecutionFacts {
    /// Whether it is one of the owner with this UID.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owners.iter().any(|owner| **owner == *uid)
    }

    /// When it is looked at at a beginning.
    pub fn turn(&self) -> Turn {
        match self {
            Self { wanted: true, .. } => Turn::Now,
            Self {
                over: true,
                held: false,
                expires: false,
                ..
            } => Turn::Never,
            _ => Turn::Later,
        }
    }

    /// Whether the platform has yet to take it.
    pub fn is_waiting(&self) -> bool {
        !self.over && !self.submitted
    }
}

impl Keep for GraphExecution {
    type Facts = ExecutionFacts;

    /// Not who wrote which field, and not what came out.
    fn slim(&mut self) {
        without_writers(self);
        if let Some(status) = &mut self.status {
            status::without_look(status);
        }
    }

    fn facts(&self) -> ExecutionFacts {
        let held = self.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER);
        let over = status::is_over(self);
        let going = self.metadata.deletion_timestamp.is_some();
        ExecutionFacts {
            platform: self.spec.platform_ref.name.as_str().into(),
            schedule: self.labels().get(LABEL_SCHEDULE).map(|name| name.as_str().into()),
            owners: self.owner_references().iter().map(|owner| owner.uid.as_str().into()).collect(),
            news: family::news(self),
            over,
            submitted: self.status.as_ref().is_some_and(|status| status.execution_id.is_some()),
            held,
            wanted: (going && held) || (!over && (self.spec.cancel || self.status.is_none())),
            expires: self.spec.ttl_seconds_after_finished.is_some(),
            shows: !over && self.status.as_ref().is_some_and(status::has_look),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kept::Packer;
    use serde_json::{Value, json};

    fn turn(metadata: &Value, spec: &Value, status: &Value) -> Turn {
        let mut object = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e"},
            "spec": {"platformRef": {"name": "p"}, "graph": {}},
        });
        for (part, with) in [("metadata", metadata), ("spec", spec)] {
            object[part].as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        }
        object["status"] = status.clone();
        serde_json::from_value::<GraphExecution>(object).unwrap().facts().turn()
    }

    #[test]
    fn what_a_run_under_way_shows_is_not_kept_but_known() {
        let of = |phase: &str, text: &str| {
            let latest = json!([{"id": "i", "nodeId": "n", "name": text, "status": "FAILED", "error": text}]);
            let nodes = json!({"total": 1, "active": 0, "completed": 0, "failed": 1, "latest": latest});
            let object = json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e"},
                "spec": {"platformRef": {"name": "p"}, "graph": {}}, "status": {"phase": phase, "nodes": nodes, "outputs": {"y": [text]}},
            });
            Packer::default().pack(serde_json::from_value::<GraphExecution>(object).unwrap()).unwrap()
        };
        for (phase, shows) in [("RUNNING", true), ("COMPLETED", false)] {
            let kept = of(phase, "what came out");
            let open = kept.open().unwrap();
            assert!(!serde_json::to_string(&open).unwrap().contains("what came out"), "{open:?}");
            assert_eq!((open.status.unwrap().nodes.unwrap().failed, kept.facts.shows), (1, shows));
        }
    }

    #[test]
    fn who_is_new_or_is_to_end_goes_first_and_what_is_over_is_let_be() {
        let (plain, running, over) = (json!({}), json!({"phase": "RUNNING", "executionId": "r"}), json!({"phase": "COMPLETED"}));
        let (held, going) = (
            json!({"finalizers": [EXECUTION_FINALIZER]}),
            json!({"finalizers": [EXECUTION_FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"}),
        );
        let (cancel, expires) = (json!({"cancel": true}), json!({"ttlSecondsAfterFinished": 60}));
        assert_eq!(turn(&plain, &plain, &Value::Null), Turn::Now);
        assert_eq!(turn(&held, &cancel, &running), Turn::Now);
        assert_eq!(turn(&going, &plain, &running), Turn::Now);
        assert_eq!(turn(&going, &plain, &over), Turn::Now);
        assert_eq!(turn(&held, &plain, &running), Turn::Later);
        assert_eq!(turn(&plain, &plain, &json!({"phase": "Pending"})), Turn::Later);
        assert_eq!(turn(&held, &plain, &over), Turn::Later, "it is still held");
        assert_eq!(turn(&plain, &expires, &over), Turn::Later, "its time may be up");
        assert_eq!(turn(&plain, &cancel, &over), Turn::Never);
    }
}
