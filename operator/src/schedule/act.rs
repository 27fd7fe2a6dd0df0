//! Carries out what a step wants done at the API server. Doing it twice is as good as once.

use chrono::{DateTime, Utc};
use crds::{GraphExecution, GraphSchedule};
use futures::future;
use kube::api::{Api, PartialObjectMeta, Patch, PostParams};
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use schedule::decide::{Due, Effect};
use serde_json::json;

use crate::runtime::events::MANAGER;
use crate::runtime::lanes::{self, Lane};
use crate::runtime::metrics::{Controller, OperatorMetrics};
use crate::runtime::refusal::refusal;
use crate::schedule::child;
use crate::schedule::family::{Family, is_owned_by};
use crate::schedule::prepare::Written;

const LABEL: Controller = Controller { controller: "schedule" };

/// What could not be done, and is tried again with the whole look.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the execution of {slot} cannot be created: {source}")]
    Create { slot: DateTime<Utc>, source: Box<kube::Error> },
    #[error("the execution {name} cannot be cancelled: {source}")]
    Cancel { name: String, source: Box<kube::Error> },
}

impl Error {
    /// What the API server answered, or why it did not.
    pub fn answer(&self) -> &kube::Error {
        match self {
            Self::Create { source, .. } | Self::Cancel { source, .. } => source,
        }
    }
}

/// The way to the executions.
pub struct Act {
    client: Client,
    metrics: OperatorMetrics,
}

impl Act {
    pub fn new(client: Client, metrics: OperatorMetrics) -> Self {
        Self { client, metrics }
    }

    /// The executions in the namespace of a schedule.
    pub fn executions(&self, schedule: &GraphSchedule) -> Api<GraphExecution> {
        Api::namespaced(self.client.clone(), &schedule.namespace().unwrap_or_default())
    }

    /// Creates the execution of something due. The answer is why that is impossible, if it is: one that exists already is this one when it
    /// is the schedule's.
    async fn create(&self, schedule: &GraphSchedule, due: &Due, written: &Written) -> Result<Option<String>, Error> {
        let refused = |source| Error::Create {
            slot: due.slot,
            source: Box::new(source),
        };
        let known = written.get(due).cloned();
        if known.is_some() {
            self.metrics.prepared.inc();
        }
        let (Some(uid), Some(body)) = (schedule.uid(), known.or_else(|| child::written(schedule, due))) else {
            return Ok(Some("the schedule has no UID".to_owned()));
        };
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.metrics.writes.get_or_create(&LABEL).inc();
        let url = GraphExecution::url_path(&(), schedule.namespace().as_deref());
        let request = Request::new(url)
            .create(&parameters, body)
            .map_err(|error| refused(kube::Error::BuildRequest(error)))?;
        match self.client.request::<PartialObjectMeta<GraphExecution>>(request).await {
            Ok(_) => Ok(None),
            Err(error) => {
                // Quotas and admission policies are asked before the name is looked up: what is there already may be refused as well.
                let taken = matches!(&error, kube::Error::Api(status) if status.is_already_exists());
                if !taken && refusal(&error).is_none() {
                    return Err(refused(error));
                }
                let name = child::name(&schedule.name_any(), &uid, due);
                let there = self.executions(schedule).get_opt(&name).await.map_err(refused)?;
                match there {
                    Some(there) if is_owned_by(&there, schedule) => Ok(None),
                    None if !taken => Err(refused(error)),
                    _ => Ok(Some(format!(
                        "an execution named {name} that belongs to somebody else stands in the way: delete or rename it"
                    ))),
                }
            }
        }
    }

    async fn cancel(&self, schedule: &GraphSchedule, family: &Family, due: &Due) -> Result<(), Error> {
        let (uid, name) = match family.get(due) {
            Some(child) if child.spec.cancel || child.metadata.deletion_timestamp.is_some() => return Ok(()),
            Some(child) => (child.uid(), child.name_any()),
            None => (None, child::name(&schedule.name_any(), &schedule.uid().unwrap_or_default(), due)),
        };
        let patch = match uid {
            Some(uid) => json!({"metadata": {"uid": uid}, "spec": {"cancel": true}}),
            None => json!({"spec": {"cancel": true}}),
        };
        self.metrics.writes.get_or_create(&LABEL).inc();
        let place = (&*schedule.namespace().unwrap_or_default(), &*name);
        match lanes::patch::<PartialObjectMeta<GraphExecution>>(&self.client, place, &Patch::Merge(patch), Lane::Due).await {
            Ok(_) => Ok(()),
            // It is gone, or somebody else's.
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(Error::Cancel {
                name,
                source: Box::new(error),
            }),
        }
    }
}

/// Carries out effects: first what is to end, then what is to begin, as it is `written` where it is, in order: when something is refused, all
/// before it is there and nothing after it. The answer names what cannot begin, and why.
pub async fn act(schedule: &GraphSchedule, family: &Family, effects: &[Effect], written: &Written, act: &Act) -> Result<Vec<(Due, String)>, Error> {
    let cancels = effects.iter().filter_map(|effect| match effect {
        Effect::Cancel(due) => Some(act.cancel(schedule, family, due)),
        Effect::Create(_) => None,
    });
    future::try_join_all(cancels).await?;
    let mut impossible = Vec::new();
    for effect in effects {
        if let Effect::Create(due) = effect
            && let Some(why) = act.create(schedule, due, written).await?
        {
            impossible.push((due.clone(), why));
        }
    }
    Ok(impossible)
}
