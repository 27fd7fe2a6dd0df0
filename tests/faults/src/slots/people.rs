//! What people do to schedules while everything goes wrong: they ask for runs, backfill what has run, suspend and resume, delete executions
//! and whole schedules and make these again under the same name. What was asked for and taken note of is written down, for the account.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use crds::schedule::GraphScheduleStatus;
use crds::{ANNOTATION_RUN_NOW, GraphExecution, GraphSchedule, LABEL_SCHEDULE, LABEL_SCHEDULE_UID};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::scene;
use crate::Result;

/// Whom they ask for runs, whose past they run again, and so on; see [`super::scene::manifest`] for what these are.
pub const ASKED: &str = "asked";
pub const REPEATED: &str = "repeated";
pub const HOLIDAY: &str = "holiday";
pub const PICKED: &str = "picked";
pub const FAILS: &str = "fails";
pub const REBORN: &str = "reborn";

/// What is asked for is waited for so long: an API server may be away for a minute, and then everything is late.
const PATIENCE: Duration = Duration::from_secs(240);
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);
/// So long a schedule stays suspended after it has said that it is.
const AWAY: Duration = Duration::from_millis(2_500);
/// The newest executions, which are the ones of which the least has happened.
const NEWEST: usize = 3;

/// A run that somebody asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub uid: String,
    /// As the ledger has it: `run-now/REQUEST`.
    pub request: String,
    /// Its due time, which the schedule gave it.
    pub slot: i64,
}

/// A range that was run again, in seconds since 1970.
#[derive(Debug, Clone)]
pub struct Range {
    pub uid: String,
    /// As the ledger has it: `backfill/NAME`.
    pub request: String,
    pub from: i64,
    pub to: i64,
}

/// A suspension. All times are slots, or moments between them, in seconds since 1970.
#[derive(Debug, Clone)]
pub struct Absence {
    pub uid: String,
    /// What was decided before it began stays so.
    pub decided_before: i64,
    /// From here on it was suspended for certain.
    pub asked: i64,
    /// Up to here it was.
    pub lifted: i64,
    /// When the schedule had seen that it is over, it had decided up to here.
    pub decided_after: i64,
}

/// Everything that people did.
#[derive(Debug, Default)]
pub struct Diary {
    pub requests: Vec<Request>,
    pub backfills: Vec<Range>,
    pub absences: Vec<Absence>,
    /// How often a schedule was found paused after failures, and resumed.
    pub pauses: u64,
    /// Executions that were deleted by hand, with the run that they had for certain.
    pub deleted: BTreeMap<String, Option<Uuid>>,
    /// Schedules as they were in the moment in which they were deleted.
    pub dead: Vec<GraphSchedule>,
}

/// Some people, who do their deeds beside each other.
#[derive(Clone)]
pub struct People {
    schedules: Api<GraphSchedule>,
    executions: Api<GraphExecution>,
    diary: Arc<Mutex<Diary>>,
    stop: CancellationToken,
}

impl People {
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        Self {
            schedules: Api::namespaced(client.clone(), namespace),
            executions: Api::namespaced(client.clone(), namespace),
            diary: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Their schedules must be there. Goes on until they are [stopped](Self::stop) and what they have begun is done.
    pub async fn live(self, seed: u64) -> Result<()> {
        tokio::try_join!(
            self.ask(),
            self.repeat(),
            self.go_on_holiday(),
            self.pick(seed),
            self.resume_what_failed(),
            self.bury(),
        )?;
        Ok(())
    }

    /// They begin nothing any more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// What they have done so far.
    pub fn diary(&self) -> Diary {
        std::mem::take(&mut *self.diary.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs now, as `kubectl autogpt trigger` asks for them; every other text is given a second time, which must change nothing.
    async fn ask(&self) -> Result<()> {
        for number in 0.. {
            let text = format!("asked-{number}");
            self.annotate(ASKED, Some(&text)).await?;
            self.await_request(ASKED, &text).await?;
            if number % 2 == 0 {
                self.annotate(ASKED, None).await?;
                self.annotate(ASKED, Some(&text)).await?;
            }
            if !self.goes_on_after(Duration::from_millis(1_200)).await {
                break;
            }
        }
        Ok(())
    }

    /// Backfills of due times that have had their runs.
    async fn repeat(&self) -> Result<()> {
        for number in 0.. {
            let (uid, from, to) = self
                .until(REPEATED, "has run", |schedule| {
                    let made = schedule.metadata.creation_timestamp.as_ref()?.0.as_second();
                    let through = schedule.status.as_ref()?.decided_through.as_ref()?.0.as_second();
                    let from = (through - 12).max(made + 1);
                    (through > made + 5).then(|| (schedule.uid().unwrap_or_default(), from, through))
                })
                .await?;
            let name = format!("again-{number}");
            let wanted = json!([{"name": name, "from": instant(from), "to": instant(to), "overlapPolicy": "Allow"}]);
            self.merge(REPEATED, json!({"spec": {"backfills": wanted}})).await?;
            self.until(REPEATED, "has backfilled", |schedule| {
                let status = schedule.status.as_ref()?;
                status.backfills.iter().find(|progress| progress.name == name && progress.done).map(drop)
            })
            .await?;
            let request = format!("backfill/{name}");
            self.note(|diary| diary.backfills.push(Range { uid, request, from, to }));
            if !self.goes_on_after(Duration::from_secs(5)).await {
                break;
            }
        }
        Ok(())
    }

    /// Suspends and resumes; every other time a run is asked for shortly before the end, which is an edit of the object as well.
    async fn go_on_holiday(&self) -> Result<()> {
        for number in 0.. {
            let (uid, decided_before) = self
                .until(HOLIDAY, "has decided", |schedule| Some((schedule.uid()?, decided_through(schedule)?)))
                .await?;
            self.merge(HOLIDAY, json!({"spec": {"suspend": {"note": "holiday"}}})).await?;
            let asked = Utc::now().timestamp() + 1;
            self.until(HOLIDAY, "is suspended", |schedule| status(schedule)?.suspended.clone())
                .await?;
            tokio::time::sleep(AWAY).await;
            let text = format!("holiday-{number}");
            if number % 2 == 1 {
                self.annotate(HOLIDAY, Some(&text)).await?;
                tokio::time::sleep(AWAY).await;
            }
            let lifted = Utc::now().timestamp() - 1;
            self.merge(HOLIDAY, json!({"spec": {"suspend": null}})).await?;
            let decided_after = self
                .until(HOLIDAY, "goes on", |schedule| {
                    let goes_on = status(schedule)?.suspended.is_none();
                    goes_on.then(|| decided_through(schedule)).flatten()
                })
                .await?;
            self.note(|diary| {
                diary.absences.push(Absence {
                    uid,
                    decided_before,
                    asked,
                    lifted,
                    decided_after,
                });
            });
            if number % 2 == 1 {
                self.await_request(HOLIDAY, &text).await?;
            }
            if !self.goes_on_after(Duration::from_secs(3)).await {
                break;
            }
        }
        Ok(())
    }

    /// Deletes executions, mostly those that are just being made.
    async fn pick(&self, seed: u64) -> Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let ours = ListParams::default().labels(&format!("{LABEL_SCHEDULE}={PICKED}"));
        while self.goes_on_after(Duration::from_millis(random.random_range(500..4_000))).await {
            let mut all = insist(|| self.executions.list(&ours)).await?.items;
            all.retain(|execution| execution.metadata.deletion_timestamp.is_none());
            all.sort_by_key(|execution| std::cmp::Reverse(execution.spec.scheduled_for.clone()));
            let among = if random.random_bool(0.7) { NEWEST.min(all.len()) } else { all.len() };
            if among == 0 {
                continue;
            }
            let execution = all.swap_remove(random.random_range(0..among));
            let run = execution.status.as_ref().and_then(|status| status.execution_id.as_ref()?.parse().ok());
            // Noted before: an answer may be lost.
            self.note(|diary| diary.deleted.insert(execution.name_any(), run));
            self.delete_execution(&execution).await?;
        }
        Ok(())
    }

    /// Resumes a schedule that is paused after failures.
    async fn resume_what_failed(&self) -> Result<()> {
        loop {
            let paused = self.until(FAILS, "is paused", |schedule| {
                let note = schedule.spec.suspend.as_ref()?.note.clone().unwrap_or_default();
                status(schedule)?.suspended.is_some().then_some(note)
            });
            // The first time is waited for.
            let note = if self.diary.lock().unwrap_or_else(PoisonError::into_inner).pauses == 0 {
                paused.await?
            } else {
                tokio::select! {
                    paused = paused => paused?,
                    () = self.stop.cancelled() => return Ok(()),
                }
            };
            if !note.contains("pauseOnFailure") {
                return Err(format!("{FAILS} is suspended by somebody else: {note}").into());
            }
            self.note(|diary| diary.pauses += 1);
            if !self.goes_on_after(Duration::from_millis(1_500)).await {
                return Ok(());
            }
            self.merge(FAILS, json!({"spec": {"suspend": null}})).await?;
            self.until(FAILS, "goes on", |schedule| status(schedule)?.suspended.is_none().then_some(()))
                .await?;
        }
    }

    /// Deletes a schedule and makes it again under its name; what the old one leaves goes a little later.
    async fn bury(&self) -> Result<()> {
        while self.goes_on_after(Duration::from_secs(5)).await {
            let dead = self.delete_schedule(REBORN).await?;
            self.note(|diary| diary.dead.push(dead.clone()));
            let again = scene::of_people(REBORN).ok_or("it has no manifest")?;
            let again: GraphSchedule = serde_json::from_value(again)?;
            let as_anybody = PostParams::default();
            match insist(|| self.schedules.create(&as_anybody, &again)).await {
                Ok(_) => {}
                Err(kube::Error::Api(error)) if error.is_already_exists() => {}
                Err(error) => return Err(error.into()),
            }
            self.collect(&dead).await?;
        }
        Ok(())
    }

    /// Deletes what deleted schedules have left, as the cluster's garbage collector does, which is not part of the scene; until nothing is left.
    pub async fn collect_all(&self, dead: &[GraphSchedule]) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut left = 0;
            for schedule in dead {
                left += self.collect(schedule).await?;
            }
            if left == 0 {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{left} executions of deleted schedules do not go").into());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The answer is how many there were.
    async fn collect(&self, dead: &GraphSchedule) -> Result<usize> {
        let theirs = ListParams::default().labels(&format!("{LABEL_SCHEDULE_UID}={}", dead.uid().unwrap_or_default()));
        let left = insist(|| self.executions.list(&theirs)).await?.items;
        for execution in &left {
            if execution.metadata.deletion_timestamp.is_none() {
                self.delete_execution(execution).await?;
            }
        }
        Ok(left.len())
    }

    async fn delete_execution(&self, execution: &GraphExecution) -> Result<()> {
        let name = execution.name_any();
        let this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: execution.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match insist(|| self.executions.delete(&name, &this)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The answer is the object as it was in that moment.
    async fn delete_schedule(&self, name: &str) -> Result<GraphSchedule> {
        loop {
            let seen = insist(|| self.schedules.get(name)).await?;
            let this = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: seen.uid(),
                    resource_version: seen.resource_version(),
                }),
                ..DeleteParams::background()
            };
            match insist(|| self.schedules.delete(name, &this)).await {
                Ok(_) => return Ok(seen),
                // An earlier attempt, whose answer was lost.
                Err(kube::Error::Api(error)) if error.is_not_found() => return Ok(seen),
                Err(kube::Error::Api(error)) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn annotate(&self, schedule: &str, text: Option<&str>) -> Result<()> {
        self.merge(schedule, json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: text}}}))
            .await
    }

    /// Waits until a request has its decision.
    async fn await_request(&self, schedule: &str, text: &str) -> Result<()> {
        let (uid, slot) = self
            .until(schedule, "has decided about a request", |schedule| {
                let known = status(schedule)?.run_now.as_ref()?;
                let decided = known.request == text && known.decided;
                decided.then(|| (schedule.uid().unwrap_or_default(), known.slot.0.as_second()))
            })
            .await?;
        let request = format!("run-now/{text}");
        self.note(|diary| diary.requests.push(Request { uid, request, slot }));
        Ok(())
    }

    async fn merge(&self, schedule: &str, patch: Value) -> Result<()> {
        insist(|| {
            let patch = Patch::Merge(&patch);
            async move { self.schedules.patch(schedule, &PatchParams::default(), &patch).await }
        })
        .await?;
        Ok(())
    }

    /// Looks until the look yields something.
    async fn until<T>(&self, name: &str, what: &str, look: impl Fn(&GraphSchedule) -> Option<T>) -> Result<T> {
        let began = Instant::now();
        loop {
            let schedule = insist(|| self.schedules.get(name)).await?;
            if let Some(found) = look(&schedule) {
                return Ok(found);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("not within {} s: {name} {what}; at last: {:?}", PATIENCE.as_secs(), schedule.status).into());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn goes_on_after(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => !self.stop.is_cancelled(),
            () = self.stop.cancelled() => false,
        }
    }

    fn note<T>(&self, note: impl FnOnce(&mut Diary) -> T) {
        note(&mut self.diary.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Asks an API server that may be away until it answers; refusals are answers.
async fn insist<T, Call: Future<Output = kube::Result<T>>>(call: impl Fn() -> Call) -> kube::Result<T> {
    let began = Instant::now();
    loop {
        match call().await {
            Err(kube::Error::Api(error)) if error.code < 500 && error.code != 429 => return Err(kube::Error::Api(error)),
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
            done => return done,
        }
    }
}

fn status(schedule: &GraphSchedule) -> Option<&GraphScheduleStatus> {
    schedule.status.as_ref()
}

fn decided_through(schedule: &GraphSchedule) -> Option<i64> {
    Some(status(schedule)?.decided_through.as_ref()?.0.as_second())
}

fn instant(second: i64) -> String {
    let instant = DateTime::from_timestamp(second, 0).unwrap_or_default();
    instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
