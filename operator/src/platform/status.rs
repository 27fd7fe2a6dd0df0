//! The status of a platform: a pure function of what was meant and what is there.

use crds::AutoGPTPlatform;
use crds::conditions::{self, reason, set};
use crds::platform::{ComponentStatus, Endpoints, PlatformStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;

use crate::platform::build::{Resources, frontend};
use crate::platform::component::Component;
use crate::platform::gateway::verdict;
use crate::platform::live::Live;
use crate::platform::rollout::{Decision, Migration, Observed, Stage};
use crate::platform::troubles::{Trouble, troubles};
use crate::platform::validate::{Problem, Validated};

/// A platform that cannot be built as it is written.
pub fn refused(platform: &AutoGPTPlatform, problems: &[Problem], now: &Time) -> PlatformStatus {
    let generation = platform.metadata.generation;
    let mut status = before(platform);
    let reason = problems.first().map_or(reason::INVALID, |problem| problem.reason);
    let message = problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
    let list = &mut status.conditions;
    set(list, conditions::READY, false, reason, &message, generation, now);
    set(
        list,
        conditions::PROGRESSING,
        false,
        reason,
        "waiting for what Ready names",
        generation,
        now,
    );
    set(list, conditions::DEGRADED, true, reason, &message, generation, now);
    if problems
        .iter()
        .any(|problem| matches!(problem.reason, reason::SECRET_MISSING | reason::SECRET_INCOMPLETE))
    {
        set(list, conditions::DEPENDENCIES_READY, false, reason, &message, generation, now);
    }
    status
}

/// A platform whose objects the API server did not take.
pub fn not_applied(platform: &AutoGPTPlatform, reason: &'static str, message: String, now: &Time) -> PlatformStatus {
    let problem = Problem { reason, message };
    refused(platform, &[problem], now)
}

/// A platform that was applied as far as the decision allows.
pub fn of(
    platform: &AutoGPTPlatform,
    validated: &Validated,
    wanted: &Resources,
    live: &Live,
    observed: &Observed,
    decision: &Decision,
    now: &Time,
) -> PlatformStatus {
    let generation = platform.metadata.generation;
    let mut status = before(platform);
    let troubles = troubles(live.pods.iter().map(AsRef::as_ref), live.deployments.values().map(AsRef::as_ref));
    status.components = components(wanted, live);
    status.endpoints = Some(endpoints(validated));
    if decision.stage == Stage::Complete {
        status.version = Some(validated.tag.clone());
    }
    let unavailable: Vec<&ComponentStatus> = status.components.iter().filter(|component| component.ready < component.desired).collect();
    let waiting = waiting(decision, &unavailable);
    let troubled = troubles.iter().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("; ");
    let broken = decision.stage == Stage::MigrationFailed || !troubles.is_empty();
    let ready = decision.stage == Stage::Complete && unavailable.is_empty();

    let list = &mut status.conditions;
    ingress(list, wanted, live, generation, now);
    gateway(list, wanted, live, generation, now);
    dependencies(list, validated, observed, &troubles, generation, now);
    migrations(list, validated, wanted, observed, &troubles, generation, now);
    match (ready, &waiting) {
        (true, _) => set(
            list,
            conditions::READY,
            true,
            reason::AS_EXPECTED,
            "all services are ready",
            generation,
            now,
        ),
        (false, (why, text)) => {
            let why = troubles.first().map_or(*why, |trouble| trouble.reason);
            let message = if troubled.is_empty() {
                text.clone()
            } else {
                format!("{text}: {troubled}")
            };
            set(list, conditions::READY, false, why, message, generation, now);
        }
    }
    if decision.stage == Stage::Complete {
        set(
            list,
            conditions::PROGRESSING,
            false,
            reason::ROLLED_OUT,
            format!("version {} is rolled out", validated.tag),
            generation,
            now,
        );
    } else if decision.stage == Stage::MigrationFailed {
        set(
            list,
            conditions::PROGRESSING,
            false,
            reason::MIGRATION_FAILED,
            &waiting.1,
            generation,
            now,
        );
    } else {
        set(list, conditions::PROGRESSING, true, waiting.0, &waiting.1, generation, now);
    }
    let was_complete = decision.stage == Stage::Complete && !ready;
    if broken || was_complete {
        let why = troubles.first().map_or(waiting.0, |trouble| trouble.reason);
        let message = if troubled.is_empty() { waiting.1 } else { troubled };
        set(list, conditions::DEGRADED, true, why, message, generation, now);
    } else {
        set(
            list,
            conditions::DEGRADED,
            false,
            reason::AS_EXPECTED,
            "nothing is failing",
            generation,
            now,
        );
    }
    status
}

/// A platform that is not to be touched: what is known stays, and says so.
pub fn paused(platform: &AutoGPTPlatform, mut status: PlatformStatus, now: &Time) -> PlatformStatus {
    let message = "spec.paused is true: the operator changes nothing until it is false";
    // This look said otherwise a moment ago, which is no transition.
    let before = platform
        .status
        .iter()
        .find_map(|status| conditions::get(&status.conditions, conditions::PROGRESSING));
    let place = status.conditions.iter_mut().find(|condition| condition.type_ == conditions::PROGRESSING);
    if let (Some(before), Some(place)) = (before, place) {
        *place = before.clone();
    }
    set(
        &mut status.conditions,
        conditions::PROGRESSING,
        false,
        reason::PAUSED,
        message,
        platform.metadata.generation,
        now,
    );
    status
}

fn before(platform: &AutoGPTPlatform) -> PlatformStatus {
    let mut status = platform.status.clone().unwrap_or_default();
    status.observed_generation = platform.metadata.generation;
    status
}

/// What is waited for: a reason and a sentence.
fn waiting(decision: &Decision, unavailable: &[&ComponentStatus]) -> (&'static str, String) {
    match &decision.stage {
        Stage::DataServices(names) => (reason::WAITING_FOR_DATA_SERVICES, format!("waiting for {}", names.join(", "))),
        Stage::Migrating => (reason::WAITING_FOR_MIGRATION, "the database is being migrated".to_owned()),
        Stage::MigrationFailed => (reason::MIGRATION_FAILED, "the migration failed; see MigrationsApplied".to_owned()),
        Stage::Services(components) => {
            let names: Vec<&str> = components.iter().map(|component| component.name()).collect();
            (reason::ROLLING_OUT, format!("rolling out {}", names.join(", ")))
        }
        Stage::Frontend => (reason::ROLLING_OUT, "rolling out frontend".to_owned()),
        Stage::Complete => {
            let names: Vec<String> = unavailable
                .iter()
                .map(|component| format!("{} ({} of {} ready)", component.name, component.ready, component.desired))
                .collect();
            (reason::UNAVAILABLE, format!("not ready: {}", names.join(", ")))
        }
    }
}

fn dependencies(list: &mut Vec<Condition>, validated: &Validated, observed: &Observed, troubles: &[Trouble], generation: Option<i64>, now: &Time) {
    let managed: Vec<&str> = validated
        .data
        .iter()
        .filter(|(_, data)| data.managed.is_some())
        .map(|(store, _)| store.name())
        .collect();
    if !observed.waiting_for_data.is_empty() {
        let why = troubles.iter().find(|trouble| managed.contains(&trouble.component.as_str()));
        let mut message = format!("waiting for {}", observed.waiting_for_data.join(", "));
        if let Some(trouble) = why {
            message = format!("{message}: {}", trouble.message);
        }
        let reason = why.map_or(reason::WAITING_FOR_DATA_SERVICES, |trouble| trouble.reason);
        set(list, conditions::DEPENDENCIES_READY, false, reason, message, generation, now);
    } else if managed.is_empty() {
        let message = "external data services are configured; the services wait for them by themselves";
        set(
            list,
            conditions::DEPENDENCIES_READY,
            true,
            reason::EXTERNAL_DATA_SERVICES,
            message,
            generation,
            now,
        );
    } else {
        let message = format!(
            "{} run with one replica each, for trying out: use external ones in production",
            managed.join(", ")
        );
        set(
            list,
            conditions::DEPENDENCIES_READY,
            true,
            reason::MANAGED_DATA_SERVICES,
            message,
            generation,
            now,
        );
    }
}

fn ingress(list: &mut Vec<Condition>, wanted: &Resources, live: &Live, generation: Option<i64>, now: &Time) {
    let Some(wanted) = &wanted.ingress else {
        conditions::remove(list, conditions::INGRESS_READY);
        return;
    };
    let name = wanted.name_any();
    let balancer = live.ingresses.get(&name).and_then(|live| live.status.as_ref()?.load_balancer.as_ref());
    let addresses: Vec<&str> = balancer
        .iter()
        .flat_map(|balancer| balancer.ingress.iter().flatten())
        .filter_map(|point| point.ip.as_deref().or(point.hostname.as_deref()))
        .collect();
    if addresses.is_empty() {
        let class = wanted
            .spec
            .as_ref()
            .and_then(|spec| spec.ingress_class_name.as_deref())
            .unwrap_or("the default");
        let message =
            format!("no controller has given Ingress {name} an address yet: is one running for the class {class}? (`kubectl get ingressclass`)");
        set(list, conditions::INGRESS_READY, false, reason::ADDRESS_PENDING, message, generation, now);
    } else {
        let message = format!("reached at {}", addresses.join(", "));
        set(list, conditions::INGRESS_READY, true, reason::ADDRESS_ASSIGNED, message, generation, now);
    }
}

fn gateway(list: &mut Vec<Condition>, wanted: &Resources, live: &Live, generation: Option<i64>, now: &Time) {
    let Some(wanted) = &wanted.http_route else {
        conditions::remove(list, conditions::GATEWAY_READY);
        return;
    };
    let there = live.http_routes.get(&wanted.name_any()).map(AsRef::as_ref);
    let (ready, reason, message) = verdict(wanted, there, &live.gateway_api);
    set(list, conditions::GATEWAY_READY, ready, reason, message, generation, now);
}

fn migrations(
    list: &mut Vec<Condition>,
    validated: &Validated,
    wanted: &Resources,
    observed: &Observed,
    troubles: &[Trouble],
    generation: Option<i64>,
    now: &Time,
) {
    let (namespace, job) = (&validated.namespace, wanted.migration.name_any());
    match observed.migration {
        Migration::Complete => {
            let message = format!("the database has the schema of version {}", validated.tag);
            set(list, conditions::MIGRATIONS_APPLIED, true, reason::MIGRATED, message, generation, now);
        }
        Migration::Failed => {
            let message = format!(
                "Job {job} failed: read `kubectl -n {namespace} logs job/{job}`, put right what it names, then `kubectl -n {namespace} delete job {job}` to run it again"
            );
            set(
                list,
                conditions::MIGRATIONS_APPLIED,
                false,
                reason::MIGRATION_FAILED,
                message,
                generation,
                now,
            );
        }
        Migration::Running => {
            let trouble = troubles.iter().find(|trouble| trouble.component == "migration");
            let message = trouble.map_or_else(|| format!("Job {job} runs"), |trouble| trouble.message.clone());
            let reason = trouble.map_or(reason::MIGRATION_RUNNING, |trouble| trouble.reason);
            set(list, conditions::MIGRATIONS_APPLIED, false, reason, message, generation, now);
        }
        Migration::Absent => {
            let (reason, message) = if observed.waiting_for_data.is_empty() {
                (reason::MIGRATION_RUNNING, format!("Job {job} is being created"))
            } else {
                (reason::WAITING_FOR_DATA_SERVICES, "waiting for the data services".to_owned())
            };
            set(list, conditions::MIGRATIONS_APPLIED, false, reason, message, generation, now);
        }
    }
}

fn components(wanted: &Resources, live: &Live) -> Vec<ComponentStatus> {
    let mut list = Vec::new();
    let services = wanted.deployments.iter().map(|(component, deployment)| (component.name(), deployment));
    let frontend = wanted.frontend.iter().map(|deployment| (frontend::COMPONENT, deployment));
    for (name, deployment) in services.chain(frontend) {
        let live = live.deployments.get(&deployment.name_any());
        let status = live.and_then(|live| live.status.as_ref());
        list.push(ComponentStatus {
            name: name.to_owned(),
            desired: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            updated: status.and_then(|status| status.updated_replicas).unwrap_or_default(),
        });
    }
    for set in &wanted.stateful_sets {
        let live = live.stateful_sets.get(&set.name_any());
        let status = live.and_then(|live| live.status.as_ref());
        let name = set.labels().get(crate::platform::build::LABEL_COMPONENT).cloned().unwrap_or_default();
        list.push(ComponentStatus {
            name,
            desired: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            updated: status.and_then(|status| status.updated_replicas).unwrap_or_default(),
        });
    }
    list
}

fn endpoints(validated: &Validated) -> Endpoints {
    let address = |component: Component| {
        format!(
            "{}.{}.svc:{}",
            validated.names.component(component),
            validated.namespace,
            component.port()
        )
    };
    Endpoints {
        rest: format!("http://{}", address(Component::Rest)),
        websocket: format!("ws://{}/ws", address(Component::Websocket)),
        external: validated.external_url(),
    }
}
