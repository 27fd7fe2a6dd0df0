//! Answers people who ask what was decided about a due time that is no longer among the newest: the annotation `autogpt.dev/explain` names
//! it, `status.explanation` says what the platform's ledger has. So the API server's rights decide who may ask, and nobody needs a way to
//! the platform's services or a token of theirs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crds::schedule::Explanation;
use crds::{ANNOTATION_EXPLAIN, AutoGPTPlatform, GraphSchedule};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use model::Timestamp;
use rpc::services::Scheduler;

use crate::execution::scheduler::Ways;
use crate::runtime::events::MANAGER;
use crate::schedule::ledger;

/// Decisions in an answer.
const MOST: u32 = 20;
/// A longer request is not answered.
const LONGEST: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The schedule may decide at the same time.
const ATTEMPTS: usize = 5;
/// Room for a problem.
const PROBLEM: usize = 1024;

/// The question that a schedule carries and that its status does not answer.
pub fn asked(schedule: &GraphSchedule) -> Option<&str> {
    let request = schedule.annotations().get(ANNOTATION_EXPLAIN)?;
    let answered = schedule.status.as_ref().and_then(|status| status.explanation.as_ref());
    let open = request.len() <= LONGEST && answered.is_none_or(|answer| answer.request != *request);
    open.then_some(request.as_str())
}

/// Whether the answer is no longer wanted.
pub fn is_stale(schedule: &GraphSchedule) -> bool {
    !schedule.annotations().contains_key(ANNOTATION_EXPLAIN)
}

fn slot(request: &str) -> Result<DateTime<Utc>, String> {
    let time = request.split_once('#').map_or(request, |(time, _)| time).trim();
    let slot = DateTime::parse_from_rfc3339(time);
    slot.map(|slot| slot.with_timezone(&Utc))
        .map_err(|_| format!("{time:?} is no due time: write 2026-11-22T16:00:00Z"))
}

/// Who answers.
pub struct Explainer {
    client: Client,
    ways: Ways,
    /// Schedules whose answer is under way, by UID.
    busy: Arc<Mutex<HashSet<String>>>,
}

impl Explainer {
    pub fn new(client: Client, ways: Ways) -> Self {
        Self {
            client,
            ways,
            busy: Arc::default(),
        }
    }

    /// Answers what the schedule asks, if it asks something, while others go on. The answer is a change that brings the next look.
    pub fn explain(&self, schedule: &GraphSchedule, platform: Option<Arc<AutoGPTPlatform>>) {
        let (Some(request), Some(uid)) = (asked(schedule), schedule.uid()) else {
            return;
        };
        if !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone()) {
            return;
        }
        let (request, name, ways, busy) = (request.to_owned(), schedule.name_any(), self.ways.clone(), self.busy.clone());
        let api: Api<GraphSchedule> = Api::namespaced(self.client.clone(), &schedule.namespace().unwrap_or_default());
        tokio::spawn(async move {
            let found = tokio::time::timeout(TIMEOUT, look_up(&request, &uid, platform, &ways)).await;
            let found = found.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
            let (decisions, problem) = match found {
                Ok(decisions) => (decisions, None),
                Err(mut problem) => {
                    crds::conditions::truncate(&mut problem, PROBLEM);
                    (Vec::new(), Some(problem))
                }
            };
            let explanation = Explanation { request, decisions, problem };
            let written = write(&api, &name, &uid, &explanation).await;
            busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
            if let Err(error) = written {
                tracing::warn!(schedule = name, %error, "what the ledger says could not be written into the status");
            }
        });
    }
}

/// Writes the answer into the status, whatever else changes there meanwhile. A schedule that is gone needs none.
async fn write(api: &Api<GraphSchedule>, name: &str, uid: &str, explanation: &Explanation) -> kube::Result<()> {
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let live = api.get_opt(name).await?.filter(|live| live.uid().as_deref() == Some(uid));
        let Some(mut live) = live else { return Ok(()) };
        live.metadata.managed_fields = None;
        live.status.get_or_insert_default().explanation = Some(explanation.clone());
        match api.replace_status(name, &parameters, &live).await {
            Err(kube::Error::Api(error)) if error.is_conflict() && attempts < ATTEMPTS => {}
            outcome => return outcome.map(drop),
        }
    }
}

async fn look_up(request: &str, uid: &str, platform: Option<Arc<AutoGPTPlatform>>, ways: &Ways) -> Result<Vec<crds::schedule::Decision>, String> {
    let slot = Timestamp::from(slot(request)?);
    let platform = platform.ok_or("the platform, which keeps the ledger, is not there")?;
    let uid = uid.parse().map_err(|_| format!("the schedule's UID {uid} is no UUID"))?;
    let client = ways.to(&platform).await.map_err(|error| error.to_string())?;
    let lines = client.list_decisions(uid, Some(slot), Some(slot), MOST).await;
    let lines = lines.map_err(|error| format!("the platform's ledger cannot be read: {error}"))?;
    Ok(lines.into_iter().map(ledger::shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_is_answered_once_and_may_be_asked_again() {
        let of = |annotation: &str, answered: Option<&str>| {
            let status = answered.map(|request| json!({"explanation": {"request": request}}));
            let schedule: GraphSchedule = serde_json::from_value(json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule",
                "metadata": {"name": "s", "annotations": {ANNOTATION_EXPLAIN: annotation}},
                "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": []}, "status": status,
            }))
            .unwrap();
            asked(&schedule).map(str::to_owned)
        };
        let time = "2026-01-01T00:00:00Z";
        assert_eq!(of(time, None).as_deref(), Some(time));
        assert_eq!(of(time, Some(time)), None);
        assert_eq!(of("2026-01-01T00:00:00Z#2", Some(time)).as_deref(), Some("2026-01-01T00:00:00Z#2"));
        assert_eq!(of(&"x".repeat(300), None), None);
        assert_eq!(slot("2026-01-01T01:00:00+01:00#2"), slot(time));
        assert!(slot("yesterday").unwrap_err().contains("write 2026-11-22T16:00:00Z"));
    }
}
