//! A `GraphSchedule` object is the schedule: the operator fires it, `kubectl` shows it, and deleting it ends it (design §5, Schedule).
//!
//! The row is written first and deleted last, so that an object never refers to a row that is not there yet.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use chrono_tz::Tz;
use crds::schedule::DayMatch;
use crds::{GraphSchedule, GraphScheduleSpec, GraphSource, InputsRef, LABEL_GRAPH, LABEL_ORIGIN, LABEL_PLATFORM, LABEL_USER, ORIGIN_REST};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use model::{GraphId, UserId};
use runtime::settings::SchedulerSettings;
use store::{NewSchedule, Schedule, Store};
use uuid::Uuid;

use super::{Removal, ScheduleStore};
use crate::Error;
use crate::cron::{ContractCron, Firing};
use crate::error::ScheduleError;

/// Objects fetched in one call.
const PAGE: u32 = 500;
/// Who this is, to those who read events.
const REPORTER: &str = "autogpt-scheduler";
/// Losing an event is no error, and nobody waits longer for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// The API server refuses notes of more than 1024 bytes.
const NOTE: usize = 1000;

pub struct KubernetesSchedules {
    store: Store,
    api: Api<GraphSchedule>,
    platform: String,
}

impl KubernetesSchedules {
    /// Finds the API server as every Kubernetes client does; whether it answers shows with the first call.
    pub async fn connect(store: Store, settings: &SchedulerSettings) -> Result<Self, Error> {
        let client = Client::try_default().await.map_err(|error| {
            Error::Kubernetes(format!(
                "SCHEDULER_STORE is kubernetes, but there is no way to an API server: {error}. Inside a cluster the pod needs a service \
                 account token; outside, KUBECONFIG names the configuration; without Kubernetes set SCHEDULER_STORE=postgres"
            ))
        })?;
        let platform = settings.platform_name.clone().ok_or(Error::PlatformNameMissing)?;
        Ok(Self::new(store, client, settings.platform_namespace.as_deref(), platform))
    }

    /// Without a namespace that of the client's configuration.
    pub fn new(store: Store, client: Client, namespace: Option<&str>, platform: String) -> Self {
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        Self { store, api, platform }
    }

    fn object(&self, schedule: &NewSchedule, cron: &ContractCron) -> GraphSchedule {
        let graph = GraphSource {
            id: Some(schedule.graph_id.to_string()),
            version: Some(schedule.graph_version),
            ..GraphSource::default()
        };
        let spec = GraphScheduleSpec {
            owner: Some(schedule.user_id.to_string()),
            inputs_ref: Some(InputsRef {
                schedule_id: schedule.id.to_string(),
            }),
            time_zone: schedule.timezone.clone(),
            day_match: DayMatch::Both,
            ..GraphScheduleSpec::new(&self.platform, graph, cron.to_standard_lines())
        };
        let mut object = GraphSchedule::new(&object_name(schedule.id), spec);
        object.meta_mut().labels = Some(BTreeMap::from(
            [
                (LABEL_ORIGIN, ORIGIN_REST.to_owned()),
                (LABEL_PLATFORM, self.platform.clone()),
                (LABEL_USER, schedule.user_id.to_string()),
                (LABEL_GRAPH, schedule.graph_id.to_string()),
            ]
            .map(|(label, value)| (label.to_owned(), value)),
        ));
        object
    }

    /// What `of` makes of each object.
    async fn objects<T>(&self, user_id: Option<UserId>, graph_id: Option<GraphId>, of: impl Fn(GraphSchedule) -> T) -> Result<Vec<T>, kube::Error> {
        let mut selector = format!("{LABEL_ORIGIN}={ORIGIN_REST},{LABEL_PLATFORM}={}", self.platform);
        if let Some(user_id) = user_id {
            selector.push_str(&format!(",{LABEL_USER}={user_id}"));
        }
        if let Some(graph_id) = graph_id {
            selector.push_str(&format!(",{LABEL_GRAPH}={graph_id}"));
        }
        let mut page = ListParams::default().labels(&selector).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let objects = self.api.list(&page).await?;
            let more = objects.metadata.continue_.filter(|token| !token.is_empty());
            found.extend(objects.items.into_iter().map(&of));
            match more {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// An event about an object that goes, which outlives it.
    async fn tell(&self, object: &GraphSchedule, why: &Removal) {
        let mut note = why.note.clone();
        crds::conditions::truncate(&mut note, NOTE);
        let event = Event {
            type_: EventType::Warning,
            reason: why.reason.to_owned(),
            note: Some(note),
            action: "Delete".to_owned(),
            secondary: None,
        };
        // One that remembers would count what it told before, which takes a right more.
        let recorder = Recorder::new(self.api.clone().into_client(), REPORTER.into());
        let about = object.object_ref(&());
        let failed = match tokio::time::timeout(PATIENCE, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server does not answer".to_owned(),
        };
        tracing::warn!(
            object = object.name_any(),
            error = failed,
            "the event about the removal of a schedule could not be written"
        );
    }

    async fn delete_object(&self, name: &str) -> Result<(), kube::Error> {
        match self.api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl ScheduleStore for KubernetesSchedules {
    async fn add(&self, mut schedule: NewSchedule, cron: &ContractCron, zone: Tz) -> Result<Schedule, ScheduleError> {
        if Firing::new(cron, zone)?.next_after(Utc::now()).is_none() {
            return Err(ScheduleError::NeverDue(schedule.cron));
        }
        schedule.next_run_at = None;
        let object = self.object(&schedule, cron);
        let row = self.store.insert_schedule(schedule).await?;
        if let Err(error) = self.api.create(&PostParams::default(), &object).await {
            // Should the object be there after all, its first run finds no row, and the object goes.
            self.store.delete_schedule(row.id).await?;
            return Err(error.into());
        }
        Ok(row)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Schedule>, ScheduleError> {
        Ok(self.store.get_schedule(id).await?)
    }

    async fn list(&self, user_id: Option<UserId>, graph_id: Option<GraphId>) -> Result<Vec<Schedule>, ScheduleError> {
        let fires = |object: &GraphSchedule| object.spec.suspend.is_none() && object.meta().deletion_timestamp.is_none();
        let objects: HashMap<String, bool> = self
            .objects(user_id, graph_id, |object| (object.name_any(), fires(&object)))
            .await?
            .into_iter()
            .collect();
        let mut schedules = self.store.list_schedules(user_id, graph_id).await?;
        schedules.retain(|schedule| objects.get(&object_name(schedule.id)) == Some(&true));
        Ok(schedules)
    }

    async fn delete(&self, id: Uuid, why: Option<&Removal>) -> Result<(), ScheduleError> {
        let name = object_name(id);
        if let Some(why) = why
            && let Some(object) = self.api.get_opt(&name).await?
        {
            self.tell(&object, why).await;
        }
        self.delete_object(&name).await?;
        self.store.delete_schedule(id).await?;
        Ok(())
    }

    /// The rows of a graph that was deleted went with it: the objects are found by their labels.
    async fn delete_of_graph(&self, user_id: UserId, graph_id: GraphId, why: &Removal) -> Result<usize, ScheduleError> {
        let objects = self.objects(Some(user_id), Some(graph_id), |object| object).await?;
        for object in &objects {
            self.tell(object, why).await;
            self.delete_object(&object.name_any()).await?;
        }
        self.store.delete_schedules_of_graph(user_id, graph_id).await?;
        Ok(objects.len())
    }
}

/// The object of a schedule.
pub fn object_name(id: Uuid) -> String {
    format!("s-{id}")
}
