//! Whether a run may be submitted now, and in whose name.

use std::sync::Arc;

use crds::conditions::{self, READY, reason};
use crds::{AutoGPTPlatform, GraphExecution};
use kube::ResourceExt;
use model::UserId;

use crate::platform::component::Component;

/// Why not now: a reason and a sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotNow {
    pub reason: &'static str,
    pub message: String,
    /// Waiting does not help.
    pub never: bool,
}

/// The platform, when it is there and can take runs.
pub fn platform(execution: &GraphExecution, found: Option<Arc<AutoGPTPlatform>>) -> Result<Arc<AutoGPTPlatform>, NotNow> {
    let name = &execution.spec.platform_ref.name;
    let not_now = |reason, message| NotNow {
        reason,
        message,
        never: false,
    };
    let Some(platform) = found.filter(|platform| platform.metadata.deletion_timestamp.is_none()) else {
        let message = format!("there is no AutoGPTPlatform {name} in this namespace: create it, and the run starts by itself");
        return Err(not_now(reason::PLATFORM_MISSING, message));
    };
    let status = platform.status.as_ref();
    let ready = status.is_some_and(|status| {
        conditions::is_true(&status.conditions, READY)
            || status
                .components
                .iter()
                .any(|component| component.name == Component::Scheduler.name() && component.ready > 0)
    });
    if !ready {
        let why = status
            .and_then(|status| conditions::get(&status.conditions, READY))
            .map(|condition| condition.message.clone());
        let message = format!(
            "AutoGPTPlatform {name} is not ready ({}); the run starts by itself when it is",
            why.as_deref().unwrap_or("the operator has not looked at it yet")
        );
        return Err(not_now(reason::PLATFORM_NOT_READY, message));
    }
    Ok(platform)
}

/// The user in whose name it runs; the platform's service user when the specification names none.
pub fn owner(execution: &GraphExecution, platform: &AutoGPTPlatform) -> Result<Option<UserId>, NotNow> {
    let owner = execution.spec.owner.as_deref();
    if is_of_rest_schedule(execution) {
        return owner.map(user_id).transpose();
    }
    allowed(owner, platform)
}

/// A named user, when the platform lets objects run in his name.
pub fn allowed(owner: Option<&str>, platform: &AutoGPTPlatform) -> Result<Option<UserId>, NotNow> {
    let Some(owner) = owner else { return Ok(None) };
    if !platform.spec.access.allows(owner) {
        return Err(NotNow {
            reason: reason::OWNER_NOT_ALLOWED,
            message: format!(
                "runs in the name of {owner} are not allowed: add the id (or \"*\") to spec.access.owners of AutoGPTPlatform {}, and the run starts by itself",
                platform.name_any()
            ),
            never: false,
        });
    }
    user_id(owner).map(Some)
}

fn user_id(owner: &str) -> Result<UserId, NotNow> {
    owner.parse().map_err(|_| NotNow {
        reason: reason::INVALID,
        message: format!("spec.owner {owner:?} is not a UUID"),
        never: true,
    })
}

/// Runs of schedules made through the REST API are in the name of the user who made them. The scheduler service, which
/// holds the schedule's row, refuses another owner's inputs.
fn is_of_rest_schedule(execution: &GraphExecution) -> bool {
    let Some(reference) = &execution.spec.inputs_ref else { return false };
    let name = format!("s-{}", reference.schedule_id);
    execution
        .owner_references()
        .iter()
        .any(|owner| owner.kind == "GraphSchedule" && owner.controller == Some(true) && owner.name == name)
}
