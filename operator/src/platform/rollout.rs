//! What a roll-out does next: a pure table over what is there.
//!
//! | step | what                               | waits for                                    |
//! |------|------------------------------------|----------------------------------------------|
//! | 0    | accounts, Services, Ingress, HTTPRoute, data services | nothing                   |
//! | 1    | migration Job                      | data services ready                          |
//! | 2    | database manager                   | migration complete                           |
//! | 3    | executor, scheduler, notification  | database manager rolled out                  |
//! | 4    | rest, websocket                    | executor, scheduler, notification rolled out |
//! | 5    | frontend                           | rest, websocket rolled out                   |
//!
//! A step that waits leaves its Deployments as they are: a failed migration leaves the old version serving. A service
//! that has been rolled out and fails later does not stop the others from being kept as wanted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::platform::build::Resources;
use crate::platform::component::Component;
use crate::platform::live::Live;
use crate::runtime::apply::{ANNOTATION_APPLIED, hash};

/// How far the migration of the wanted version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    Absent,
    Running,
    Failed,
    Complete,
}

/// How far the roll-out of one service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Absent,
    /// There, but not as wanted.
    Outdated,
    /// As wanted, and its pods are being replaced.
    Rolling,
    /// All its pods have been as wanted at least once.
    Done,
}

/// What the decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Names of managed data services that are not ready.
    pub waiting_for_data: Vec<String>,
    pub migration: Migration,
    pub services: BTreeMap<Component, Progress>,
    /// Of the frontend, when there is to be one.
    pub frontend: Option<Progress>,
}

/// What to do, and what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub run_migration: bool,
    pub release: BTreeSet<Component>,
    pub release_frontend: bool,
    pub stage: Stage,
}

/// Where the roll-out stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    DataServices(Vec<String>),
    Migrating,
    MigrationFailed,
    Services(Vec<Component>),
    Frontend,
    Complete,
}

/// The services in the order of their release; those of one step go together.
pub const STEPS: [&[Component]; 3] = [
    &[Component::DatabaseManager],
    &[Component::Executor, Component::Scheduler, Component::Notification],
    &[Component::Rest, Component::Websocket],
];

/// The table.
pub fn decide(observed: &Observed) -> Decision {
    let hold = |run_migration, stage| Decision {
        run_migration,
        release: BTreeSet::new(),
        release_frontend: false,
        stage,
    };
    match observed.migration {
        Migration::Absent if !observed.waiting_for_data.is_empty() => return hold(false, Stage::DataServices(observed.waiting_for_data.clone())),
        Migration::Absent | Migration::Running => return hold(true, Stage::Migrating),
        Migration::Failed => return hold(true, Stage::MigrationFailed),
        Migration::Complete => {}
    }
    let mut release = BTreeSet::new();
    for step in STEPS {
        release.extend(step.iter().copied());
        let waiting: Vec<Component> = step
            .iter()
            .copied()
            .filter(|component| observed.services.get(component) != Some(&Progress::Done))
            .collect();
        if !waiting.is_empty() {
            return Decision {
                run_migration: true,
                release,
                release_frontend: false,
                stage: Stage::Services(waiting),
            };
        }
    }
    let stage = match (observed.waiting_for_data.as_slice(), observed.frontend) {
        ([], None | Some(Progress::Done)) => Stage::Complete,
        ([], Some(_)) => Stage::Frontend,
        (waiting, _) => Stage::DataServices(waiting.to_vec()),
    };
    Decision {
        run_migration: true,
        release,
        release_frontend: observed.frontend.is_some(),
        stage,
    }
}

/// Compares what is wanted with what is there.
pub fn observe(wanted: &Resources, live: &Live) -> Observed {
    let progress_of = |deployment: &Deployment| progress(deployment, live.deployments.get(&deployment.name_any()).map(AsRef::as_ref));
    let not_ready = |set: &&StatefulSet| !live.stateful_sets.get(&set.name_any()).is_some_and(|live| is_ready(live));
    Observed {
        waiting_for_data: wanted.stateful_sets.iter().filter(not_ready).map(ResourceExt::name_any).collect(),
        migration: live
            .jobs
            .get(&wanted.migration.name_any())
            .map_or(Migration::Absent, |job| migration(job)),
        services: wanted
            .deployments
            .iter()
            .map(|(component, deployment)| (*component, progress_of(deployment)))
            .collect(),
        frontend: wanted.frontend.as_ref().map(progress_of),
    }
}

/// Whether all pods of a data service are ready and of its present revision.
pub fn is_ready(set: &StatefulSet) -> bool {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    set.status.as_ref().is_some_and(|status| {
        status.observed_generation >= set.metadata.generation
            && status.ready_replicas.unwrap_or_default() >= wanted
            && status.updated_replicas.unwrap_or(wanted) >= wanted
    })
}

fn migration(job: &Job) -> Migration {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut state = Migration::Running;
    for condition in conditions.filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Complete" => state = Migration::Complete,
            "Failed" => state = Migration::Failed,
            _ => {}
        }
    }
    state
}

fn progress(wanted: &Deployment, live: Option<&Deployment>) -> Progress {
    let Some(live) = live else { return Progress::Absent };
    let applied = serde_json::to_value(wanted).map(|value| hash(&value)).unwrap_or_default();
    if live.annotations().get(ANNOTATION_APPLIED) != Some(&applied) {
        return Progress::Outdated;
    }
    let Some(status) = live
        .status
        .as_ref()
        .filter(|status| status.observed_generation >= live.metadata.generation)
    else {
        return Progress::Rolling;
    };
    let replicas = live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let settled = status.updated_replicas.unwrap_or_default() >= replicas
        && status.available_replicas.unwrap_or_default() >= replicas
        && status.replicas.unwrap_or_default() == replicas;
    // Stays after the roll-out, also when pods fail later.
    let was_settled = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.status == "True" && condition.reason.as_deref() == Some("NewReplicaSetAvailable")
    });
    if settled || was_settled { Progress::Done } else { Progress::Rolling }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Component::*;
    use Progress::*;

    fn observed(migration: Migration, waiting: &[&str], services: &[(Component, Progress)]) -> Observed {
        let mut all: BTreeMap<Component, Progress> = Component::ALL.map(|component| (component, Absent)).into();
        all.extend(services.iter().copied());
        Observed {
            waiting_for_data: waiting.iter().map(|name| (*name).to_owned()).collect(),
            migration,
            services: all,
            frontend: None,
        }
    }

    #[test]
    fn nothing_runs_before_the_data_services_are_ready() {
        let decision = decide(&observed(Migration::Absent, &["p-postgres"], &[]));
        assert!(!decision.run_migration && decision.release.is_empty());
        assert_eq!(decision.stage, Stage::DataServices(vec!["p-postgres".to_owned()]));
    }

    #[test]
    fn services_wait_for_the_migration() {
        for migration in [Migration::Absent, Migration::Running] {
            let decision = decide(&observed(migration, &[], &[]));
            assert!(decision.run_migration && decision.release.is_empty());
            assert_eq!(decision.stage, Stage::Migrating);
        }
    }

    #[test]
    fn a_failed_migration_leaves_the_old_version_alone() {
        let decision = decide(&observed(Migration::Failed, &[], &[(DatabaseManager, Outdated), (Rest, Outdated)]));
        assert!(decision.release.is_empty());
        assert_eq!(decision.stage, Stage::MigrationFailed);
    }

    #[test]
    fn each_step_waits_for_the_one_before() {
        let first = decide(&observed(Migration::Complete, &[], &[(DatabaseManager, Rolling)]));
        assert_eq!(first.release, BTreeSet::from([DatabaseManager]));
        let second = decide(&observed(
            Migration::Complete,
            &[],
            &[(DatabaseManager, Done), (Executor, Done), (Scheduler, Outdated)],
        ));
        assert_eq!(second.release, BTreeSet::from([DatabaseManager, Executor, Scheduler, Notification]));
        assert_eq!(second.stage, Stage::Services(vec![Scheduler, Notification]));
        let third = decide(&observed(
            Migration::Complete,
            &[],
            &[(DatabaseManager, Done), (Executor, Done), (Scheduler, Done), (Notification, Done)],
        ));
        assert_eq!(third.release.len(), 6);
        assert_eq!(third.stage, Stage::Services(vec![Rest, Websocket]));
        let all = Component::ALL.map(|component| (component, Done));
        assert_eq!(decide(&observed(Migration::Complete, &[], &all)).stage, Stage::Complete);
    }

    #[test]
    fn the_frontend_comes_last() {
        let all = Component::ALL.map(|component| (component, Done));
        let with = |frontend, services: &[(Component, Progress)]| {
            decide(&Observed {
                frontend: Some(frontend),
                ..observed(Migration::Complete, &[], services)
            })
        };
        assert!(!with(Absent, &all[1..]).release_frontend);
        let released = with(Absent, &all);
        assert_eq!((released.release_frontend, released.stage), (true, Stage::Frontend));
        assert_eq!(with(Done, &all).stage, Stage::Complete);
    }

    #[test]
    fn a_data_service_that_fails_later_stops_nothing() {
        let all = Component::ALL.map(|component| (component, Done));
        let decision = decide(&observed(Migration::Complete, &["p-redis"], &all));
        assert_eq!(decision.release.len(), 6);
        assert_eq!(decision.stage, Stage::DataServices(vec!["p-redis".to_owned()]));
    }
}
