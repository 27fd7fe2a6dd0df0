//! What is known of every execution without opening it.

use crds::{EXECUTION_FINALIZER, GraphExecution, LABEL_SCHEDULE};
use kube::ResourceExt;

use crate::execution::status;
use crate::runtime::cache::without_writers;
use crate::runtime::kept::Keep;

/// See [`Keep::facts`].
#[derive(Debug, Clone, Default)]
pub struct ExecutionFacts {
    /// The platform that it names.
    pub platform: Box<str>,
    /// The schedule whose label it carries.
    pub schedule: Option<Box<str>>,
    /// UIDs of its owners.
    pub owners: Box<[Box<str>]>,
    /// Whether its run is over.
    pub over: bool,
    /// Whether the platform is known to have its run.
    pub submitted: bool,
    /// Whether the operator's finalizer holds it.
    pub held: bool,
}

impl ExecutionFacts {
    /// Whether it is one of the owner with this UID.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owners.iter().any(|owner| **owner == *uid)
    }

    /// Whether the platform has yet to take it.
    pub fn is_waiting(&self) -> bool {
        !self.over && !self.submitted
    }
}

impl Keep for GraphExecution {
    type Facts = ExecutionFacts;

    /// Not who wrote which field, and of one that is over not what came out.
    fn slim(&mut self) {
        without_writers(self);
        if status::is_over(self)
            && let Some(status) = &mut self.status
        {
            status.outputs = None;
        }
    }

    fn facts(&self) -> ExecutionFacts {
        ExecutionFacts {
            platform: self.spec.platform_ref.name.as_str().into(),
            schedule: self.labels().get(LABEL_SCHEDULE).map(|name| name.as_str().into()),
            owners: self.owner_references().iter().map(|owner| owner.uid.as_str().into()).collect(),
            over: status::is_over(self),
            submitted: self.status.as_ref().is_some_and(|status| status.execution_id.is_some()),
            held: self.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER),
        }
    }
}
