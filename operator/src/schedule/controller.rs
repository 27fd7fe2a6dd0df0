//! Looks at schedules, carries out what a look decides, and stores it: observe → decide → act → store → tell.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crds::conditions::reason;
use crds::schedule::GraphScheduleStatus;
use crds::{AutoGPTPlatform, GraphExecution, GraphSchedule};
use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Resource, ResourceExt};
use schedule::decide::{BATCH, Due, Effect, Origin, Outcome, Step, instant};
use serde_json::json;

use crate::Shared;
use crate::runtime::LOOKS;
use crate::runtime::cache::{Cache, cache, hear_outcome, keep};
use crate::runtime::connection::watching;
use crate::runtime::events::{Events, MANAGER};
use crate::runtime::kept::{Kept, OpenError};
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::{self, OperatorMetrics};
use crate::runtime::refusal::refusal;
use crate::runtime::retries::{Cause, Retries};
use crate::runtime::sweep::{Sweep, Turn};
use crate::runtime::task::beside;
use crate::schedule::act::{self, Act};
use crate::schedule::children::{Children, News};
use crate::schedule::cleaner::Cleaner;
use crate::schedule::decided::{self, Decided};
use crate::schedule::explain::{self, Explainer};
use crate::schedule::family::{Family, is_owned_by};
use crate::schedule::look::{Surroundings, look};
use crate::schedule::newest::Newest;
use crate::schedule::prepare::{Found, Prepared, Ready};
use crate::schedule::recorder::Recorder;
use crate::schedule::status::Refused;
use crate::schedule::timers::Timers;
use crate::schedule::{book, child, history, ledger, spec, status};

const LABEL: metrics::Controller = metrics::Controller { controller: "schedule" };
/// A status that somebody else changed meanwhile is read again so often before the look is given up.
const ATTEMPTS: usize = 3;
/// Steps of one schedule before others have their turn.
const STEPS: usize = 100;

/// Why one look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Act(#[from] act::Error),
    #[error("the schedule cannot be read: {0}")]
    Read(#[source] Box<kube::Error>),
    #[error("the status cannot be written: {0}")]
    Status(#[source] Box<kube::Error>),
    #[error("the status kept changing under our hands")]
    Contended,
    #[error("the schedule cannot be suspended: {0}")]
    Suspend(#[source] Box<kube::Error>),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Error {
    /// What the API server was asked for, and what came of it.
    fn asked(&self) -> Option<(String, &kube::Error)> {
        Some(match self {
            Self::Act(act::Error::Create { slot, source }) => (format!("the execution of {} was refused", instant(*slot)), source),
            Self::Act(act::Error::Cancel { name, source }) => (format!("the cancellation of {name} was refused"), source),
            Self::Read(source) => ("the schedule and its executions cannot be read".to_owned(), source),
            Self::Status(source) => ("the status was refused, and without it nothing is decided".to_owned(), source),
            Self::Suspend(source) => ("the pause after failures (spec.suspend) was refused".to_owned(), source),
            Self::Contended | Self::Open(_) => return None,
        })
    }

    fn cause(&self) -> Cause {
        self.asked().map_or(Cause::Unanswered, |(_, error)| Cause::of(error))
    }

    /// What the status says about it: only what keeps the schedule from firing.
    fn refused(&self, schedule: &GraphSchedule, context: &Context) -> Option<Refused> {
        let (what, error) = self.asked().filter(|_| matches!(self, Self::Act(_) | Self::Read(_)))?;
        let refusal = refusal(error)?;
        Some(Refused {
            reason: refusal.reason,
            message: refusal.of(&what),
            anew: context.retries.may_say(&schedule.name_any(), schedule.metadata.generation),
        })
    }
}

struct Context {
    client: Client,
    platforms: Cache<AutoGPTPlatform>,
    children: Children,
    timers: Timers,
    act: Act,
    newest: Arc<Newest>,
    prepared: Prepared,
    decided: Decided,
    events: Events,
    metrics: OperatorMetrics,
    retries: Retries,
    leadership: Leadership,
    recorder: Recorder,
    explainer: Explainer,
    cleaner: Cleaner,
}

/// Keeps the schedules of one namespace until the shutdown.
pub async fn run(shared: Shared, (children, news): (Children, impl Stream<Item = News> + Send + 'static), decided: Decided) {
    let Shared {
        client,
        namespace,
        ways,
        events,
        metrics,
        leadership,
        stop: shutdown,
        config: _,
    } = shared;
    let schedules: Api<GraphSchedule> = Api::namespaced(client.clone(), &namespace);
    let (schedules, events_of_schedules) = keep(schedules, watching());
    let schedules = schedules.store();
    let (timers, sweep) = (Timers::default(), Sweep::default());
    let turn = {
        let timers = timers.clone();
        move |row: &Kept<GraphSchedule>| {
            let turn = row.facts.turn(Utc::now());
            // Whatever happens meanwhile, its due time is not missed.
            if let (Turn::Later, Some(next)) = (turn, row.facts.next) {
                timers.set_by(&row.name_any(), next);
            }
            turn
        }
    };
    let of_beginning = sweep.beginnings(leadership.begins(), schedules.clone(), turn.clone());
    let newest = Arc::new(Newest::default());
    // What a look has written needs no other look.
    let matters = {
        let newest = newest.clone();
        move |row: &Kept<GraphSchedule>| !newest.is_echo(&row.facts.uid, row.facts.version)
    };
    let called_up = sweep.called_up(events_of_schedules, matters, turn.clone());
    let controller = Controller::for_stream(called_up, schedules.clone());
    let (platforms, platform_changes) = cache::<AutoGPTPlatform>(Api::namespaced(client.clone(), &namespace), watching());
    let of_platform = {
        let (schedules, sweep) = (schedules.clone(), sweep.clone());
        platform_changes
            .filter_map(|change| future::ready(change.ok()))
            .flat_map(move |platform| {
                let name = platform.name_any();
                let state = schedules.state();
                let concerned = state.iter().filter(|schedule| *schedule.facts.platform == *name);
                stream::iter(sweep.call_up(concerned, &turn))
            })
    };
    let (due, coming) = timers.streams();
    let place = namespace.clone();
    let named = move |name: &str| ObjectRef::new(name).within(&place);
    let of_child = {
        let (named, sweep) = (named.clone(), sweep.clone());
        news.filter_map(move |news| {
            future::ready(match news {
                News::Changed(schedule) => Some(named(&schedule)),
                News::Listed(schedule) => {
                    sweep.add(&schedule);
                    None
                }
            })
        })
    };
    let due = {
        let named = named.clone();
        due.map(move |name| named(&name))
    };
    let of_sweep = {
        let named = named.clone();
        sweep.turns().map(move |name| named(&name))
    };
    let recorder = Recorder::default();
    let recording = recorder.clone().run(namespace, ways.clone(), platforms.clone(), shutdown.clone());
    let context = Arc::new(Context {
        act: Act::new(client.clone(), metrics.clone()),
        newest,
        prepared: Prepared::default(),
        decided,
        explainer: Explainer::new(client.clone(), ways),
        cleaner: Cleaner::new(events.clone(), metrics.clone(), sweep.clone()),
        recorder,
        client,
        platforms,
        children,
        timers,
        events,
        metrics,
        retries: Retries::default(),
        leadership,
    });
    let preparing = {
        let context = context.clone();
        coming.for_each(move |coming| {
            if let Some(row) = schedules.get(&named(&coming.name)) {
                prepare(row, coming.due, &context);
            }
            tokio::task::yield_now()
        })
    };
    let deciding = controller
        .with_config(controller::Config::default().concurrency(LOOKS))
        .reconcile_on(due)
        .reconcile_on(of_platform)
        .reconcile_on(of_child)
        .reconcile_on(of_beginning)
        .reconcile_on(of_sweep)
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(reconcile, on_error, context)
        .for_each(move |outcome| {
            hear_outcome("GraphSchedule", &outcome);
            sweep.hear(&outcome);
            future::ready(())
        });
    future::join3(deciding, recording, preparing).await;
}

fn on_error(schedule: Arc<Kept<GraphSchedule>>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.errors.get_or_create(&LABEL).inc();
    let wait = context.retries.next(&schedule.name_any(), error.cause());
    tracing::warn!(schedule = %schedule.name_any(), %error, retry_in = ?wait, "the schedule could not be looked after");
    Action::requeue(wait)
}

async fn reconcile(schedule: Arc<Kept<GraphSchedule>>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.leadership.holds() {
        return Ok(Action::await_change());
    }
    context.metrics.reconciles.get_or_create(&LABEL).inc();
    // At the start all schedules wait here: what a look needs room for comes afterwards.
    future::join(context.platforms.ready(), context.children.ready()).await;
    beside(async move {
        let outcome = look_after(schedule.clone(), &context).await;
        if let Err(error) = &outcome {
            say(&schedule, error, &context).await;
        }
        outcome
    })
    .await
}

/// Has the schedule say what the API server refuses: its events, and its status where the look did not come so far.
async fn say(row: &Kept<GraphSchedule>, error: &Error, context: &Context) {
    let Some((what, refusal)) = error.asked().and_then(|(what, error)| Some((what, refusal(error)?))) else {
        return;
    };
    let Ok(seen) = row.open() else { return };
    let seen = context.newest.at_least(seen);
    context.events.warning(&seen, refusal.reason, refusal.of(&what));
    if let Error::Read(_) = error
        && let Some(words) = error.refused(&seen, context)
    {
        let mut next = seen.status.clone().unwrap_or_default();
        status::refused(&mut next, &seen, &words, Utc::now());
        if let Err(error) = write_status(&seen, next, context).await {
            tracing::debug!(schedule = %seen.name_any(), %error, "the refusal is in the events only");
        }
    }
}

/// Makes ready what the look at a due time needs.
fn prepare(row: Arc<Kept<GraphSchedule>>, due: DateTime<Utc>, context: &Context) {
    if !context.leadership.holds() || context.newest.is_ahead(&row.facts.uid) {
        return;
    }
    let key = ObjectRef::new(&row.facts.platform).within(&row.namespace().unwrap_or_default());
    let platform = is_there(context.platforms.get(&key).as_deref());
    if let Err(error) = context.prepared.prepare(found(row, context), platform, due) {
        tracing::debug!(%error, "a schedule cannot be prepared");
    }
}

fn found(schedule: Arc<Kept<GraphSchedule>>, context: &Context) -> Found {
    let children = context.children.of(&schedule.facts.uid, &schedule.namespace().unwrap_or_default());
    Found { schedule, children }
}

fn is_there(platform: Option<&AutoGPTPlatform>) -> bool {
    platform.is_some_and(|platform| platform.metadata.deletion_timestamp.is_none())
}

async fn look_after(row: Arc<Kept<GraphSchedule>>, context: &Context) -> Result<Action, Error> {
    let found = found(row, context);
    let Ready {
        schedule,
        family,
        mut written,
    } = match context.prepared.take(&found) {
        Some(ready) => ready,
        None => Ready::open(&found)?,
    };
    drop(found);
    let name = schedule.name_any();
    if schedule.metadata.deletion_timestamp.is_some() {
        context.timers.set(&name, None);
        context.newest.forget(&schedule);
        return Ok(Action::await_change());
    }
    let version = schedule.resource_version();
    let mut seen = context.newest.at_least(schedule);
    if seen.resource_version() != version {
        written.clear();
    }
    let mut family = Some(family);
    let mut conflicts = 0;
    let mut most = BATCH;
    // What this look has made is there, whether the cache shows it or not.
    let mut begun: Vec<Due> = Vec::new();
    // Why nothing is started in this look any more.
    let mut refused: Option<(Error, Option<Refused>)> = None;
    for _ in 0..STEPS {
        let now = Utc::now();
        let family = match family.take() {
            Some(family) => family,
            None => family_of(&seen, context)?,
        };
        let gone = gone(&seen, &family, &begun, context).await?;
        let around = Surroundings {
            family: &family,
            gone: &gone,
            platform: is_there(platform(context, &seen).as_deref()),
            most,
        };
        let mut look = look(&seen, &around, now);
        if refused.is_some() {
            look.step.effects.clear();
        }
        let made = decided::created(&look.step.effects, |due| execution(&seen, due));
        context.decided.begin(&made);
        let impossible = match act::act(&seen, &family, &look.step.effects, &written, &context.act).await {
            Ok(impossible) => impossible,
            Err(error) => {
                context.decided.abandon(&made);
                if Cause::of(error.answer()) == Cause::Unanswered {
                    return Err(Error::Act(error));
                }
                // What was made before the one that was refused is decided, so that it runs; then what has ended is taken note of, and goes.
                // Either may make the room that a quota does not have.
                most = if most > 1 && look.step.entries.len() > 1 { 1 } else { 0 };
                if most == 0 {
                    let error = Error::Act(error);
                    let words = error.refused(&seen, context);
                    refused = Some((error, words));
                }
                continue;
            }
        };
        for (due, why) in impossible {
            let entry = look.book.refuse(&due, why, now);
            look.step.entries.retain(|other| other.due != due);
            look.step.entries.push(entry);
        }
        let mut next = look.status(&seen);
        if let Some((_, Some(words))) = &refused {
            status::refused(&mut next, &seen, words, now);
        }
        if explain::is_stale(&seen) {
            next.explanation = None;
        }
        // That decisions have arrived in the ledger is no change that is worth a write.
        if !look.step.entries.is_empty() || seen.status.as_ref() != Some(&next) {
            let lost = ledger::fold(&seen, &mut next, &look.step.entries, |print| context.recorder.is_recorded(print));
            if lost > 0 {
                tracing::warn!(schedule = %seen.name_any(), lost, "decisions could not be recorded for too long: their record is in this process only");
            }
        }
        // It was for this look.
        written.clear();
        let stored = write_status(&seen, next, context).await;
        if !matches!(stored, Ok(Written::Done(_))) {
            context.decided.abandon(&made);
        }
        match stored? {
            Written::Done(written) => {
                context.decided.commit(made);
                context.recorder.offer(&written);
                announce(&written, &look.step, context);
                seen = *written;
                if let Some(note) = &look.step.pause {
                    suspend(&seen, note, context).await?;
                }
                if look.step.again && most > 0 {
                    begun.extend(look.step.effects.into_iter().filter_map(|effect| match effect {
                        Effect::Create(due) => Some(due),
                        Effect::Cancel(_) => None,
                    }));
                    continue;
                }
                context.explainer.explain(&seen, platform(context, &seen));
                if refused.is_none() {
                    context.timers.set(&name, look.step.wake);
                    context.retries.reset(&name);
                }
                let surplus = history::surplus(&family, &seen.spec.history_limit, &look.book);
                context.cleaner.delete(&seen, context.act.executions(&seen), surplus);
                return match refused {
                    None => Ok(Action::await_change()),
                    Some((error, _)) => Err(error),
                };
            }
            Written::Gone => {
                context.timers.set(&name, None);
                return Ok(Action::await_change());
            }
            Written::Conflict => {
                conflicts += 1;
                if conflicts == ATTEMPTS {
                    return Err(Error::Contended);
                }
                match read(&seen, context).await? {
                    Some(live) => seen = live,
                    None => return Ok(Action::await_change()),
                }
            }
        }
    }
    // Others want their turn.
    Ok(Action::requeue(Duration::ZERO))
}

/// The execution of something due.
fn execution(schedule: &GraphSchedule, due: &Due) -> ObjectRef<GraphExecution> {
    let name = child::name(&schedule.name_any(), &schedule.uid().unwrap_or_default(), due);
    ObjectRef::new(&name).within(&schedule.namespace().unwrap_or_default())
}

/// Active runs whose execution is gone. The cache may not have a new one yet, so the server is asked, unless it has just `begun`.
async fn gone(schedule: &GraphSchedule, family: &Family, begun: &[Due], context: &Context) -> Result<Vec<Due>, Error> {
    let uid = schedule.uid().unwrap_or_default();
    let active = schedule.status.iter().flat_map(|status| &status.active);
    let active = active.filter_map(|text| text.parse::<Due>().ok());
    let mut gone = Vec::new();
    for due in active.filter(|due| family.get(due).is_none() && !begun.contains(due)) {
        let name = child::name(&schedule.name_any(), &uid, &due);
        let live = context.act.executions(schedule).get_opt(&name).await;
        let live = live.map_err(|error| Error::Read(Box::new(error)))?;
        if !live.is_some_and(|live| is_owned_by(&live, schedule)) {
            gone.push(due);
        }
    }
    Ok(gone)
}

/// The executions of the schedule, as the watch shows them.
fn family_of(schedule: &GraphSchedule, context: &Context) -> Result<Family, OpenError> {
    let (uid, namespace) = (schedule.uid().unwrap_or_default(), schedule.namespace().unwrap_or_default());
    let children: Result<Vec<_>, _> = context
        .children
        .of(&uid, &namespace)
        .iter()
        .map(|child| child.open().map(Arc::new))
        .collect();
    Ok(Family::of(schedule, children?))
}

/// Tells about decisions that stand.
fn announce(schedule: &GraphSchedule, step: &Step, context: &Context) {
    let (name, uid) = (schedule.name_any(), schedule.uid().unwrap_or_default());
    for entry in &step.entries {
        let decision = book::decision(entry, &name, &uid);
        let due = match decision.through {
            None => entry.due.to_string(),
            Some(_) => format!("{} to {} ({} due times)", entry.due, instant(entry.last()), entry.count),
        };
        let note = match &decision.execution {
            Some(execution) => format!("{due} became {execution}: {}", entry.reason),
            None => format!("{due}: {}", entry.reason),
        };
        if entry.outcome.is_run() {
            let late = (entry.decided_at - entry.due.slot).to_std().unwrap_or_default();
            context.metrics.fired.inc();
            if entry.due.origin == Origin::Calendar {
                context.metrics.schedule_lateness.observe(late.as_secs_f64());
            }
        }
        let type_ = if entry.outcome == Outcome::Missed {
            EventType::Warning
        } else {
            EventType::Normal
        };
        // The execution that it became, or would have.
        let execution = ObjectReference {
            api_version: Some(GraphExecution::api_version(&()).into_owned()),
            kind: Some(GraphExecution::kind(&()).into_owned()),
            namespace: schedule.namespace(),
            name: Some(child::name(&name, &uid, &entry.due)),
            ..ObjectReference::default()
        };
        context.events.write(type_, schedule, Some(execution), entry.outcome.as_str(), note);
    }
}

/// Sets spec.suspend, on the condition that nobody has changed the schedule meanwhile.
async fn suspend(schedule: &GraphSchedule, note: &str, context: &Context) -> Result<(), Error> {
    let api: Api<GraphSchedule> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"resourceVersion": schedule.resource_version()}, "spec": {"suspend": {"note": note}}});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    context.metrics.writes.get_or_create(&LABEL).inc();
    match api.patch(&schedule.name_any(), &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => {
            context.events.warning(schedule, reason::PAUSED_ON_FAILURE, note.to_owned());
            Ok(())
        }
        // The change brings the next look.
        Err(kube::Error::Api(error)) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(Error::Suspend(Box::new(error))),
    }
}

fn platform(context: &Context, schedule: &GraphSchedule) -> Option<Arc<AutoGPTPlatform>> {
    let key = ObjectRef::new(&schedule.spec.platform_ref.name).within(&schedule.namespace().unwrap_or_default());
    context.platforms.get(&key)
}

enum Written {
    Done(Box<GraphSchedule>),
    Conflict,
    Gone,
}

/// Writes the status only over the object that was looked at.
async fn write_status(schedule: &GraphSchedule, next: GraphScheduleStatus, context: &Context) -> Result<Written, Error> {
    if schedule.status.as_ref() == Some(&next) {
        return Ok(Written::Done(Box::new(schedule.clone())));
    }
    let api: Api<GraphSchedule> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    let mut object = schedule.clone();
    object.status = Some(next);
    // The server's own history stays.
    object.metadata.managed_fields = None;
    context.metrics.writes.get_or_create(&LABEL).inc();
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.replace_status(&schedule.name_any(), &parameters, &object).await {
        Ok(mut written) => {
            spec::slim(&mut written);
            context.newest.note(&written);
            Ok(Written::Done(Box::new(written)))
        }
        Err(kube::Error::Api(error)) if error.is_conflict() => Ok(Written::Conflict),
        Err(kube::Error::Api(error)) if error.is_not_found() => Ok(Written::Gone),
        Err(error) => Err(Error::Status(Box::new(error))),
    }
}

async fn read(schedule: &GraphSchedule, context: &Context) -> Result<Option<GraphSchedule>, Error> {
    let api: Api<GraphSchedule> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    let live = api.get_opt(&schedule.name_any()).await.map_err(|error| Error::Read(Box::new(error)))?;
    Ok(live.filter(|live| live.uid() == schedule.uid() && live.metadata.deletion_timestamp.is_none()))
}
