//! One look at a schedule: guard → observe → decide → act → report.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use crds::conditions::reason;
use crds::schedule::{Decision as Record, GraphScheduleStatus, Outcome};
use crds::{AutoGPTPlatform, GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use futures::{StreamExt, future, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};

use ::runtime::Shutdown;

use crate::runtime::cache::{Cache, Complaint, cache};
use crate::runtime::events::{Events, MANAGER};
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::{self, OperatorMetrics};
use crate::runtime::retries::Retries;
use crate::runtime::time;
use crate::schedule::calendar::{Calendar, hash};
use crate::schedule::decide::{self, State, decide};
use crate::schedule::timers::Timers;
use crate::schedule::{child, history, status};

const LABEL: metrics::Controller = metrics::Controller { controller: "schedule" };
/// A status that somebody else changed meanwhile is read again so often before the look is given up.
const ATTEMPTS: usize = 3;

/// Why one look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the execution of {slot} cannot be created: {source}")]
    Create { slot: DateTime<Utc>, source: Box<kube::Error> },
    #[error("the schedule cannot be read: {0}")]
    Read(#[source] Box<kube::Error>),
    #[error("the status cannot be written: {0}")]
    Status(#[source] Box<kube::Error>),
    #[error("the status kept changing under our hands")]
    Contended,
    #[error("an old execution cannot be deleted: {0}")]
    CleanUp(#[source] Box<kube::Error>),
}

struct Context {
    client: Client,
    platforms: Cache<AutoGPTPlatform>,
    children: Cache<GraphExecution>,
    timers: Timers,
    events: Events,
    metrics: OperatorMetrics,
    retries: Retries,
    leadership: Leadership,
}

/// Keeps the schedules of one namespace until the shutdown.
pub async fn run(client: Client, namespace: String, events: Events, metrics: OperatorMetrics, leadership: Leadership, shutdown: Shutdown) {
    let controller = Controller::new(Api::<GraphSchedule>::namespaced(client.clone(), &namespace), watcher::Config::default());
    let schedules = controller.store();
    let (platforms, platform_changes) = cache::<AutoGPTPlatform>(Api::namespaced(client.clone(), &namespace), watcher::Config::default());
    let (children, child_changes) = cache::<GraphExecution>(
        Api::namespaced(client.clone(), &namespace),
        watcher::Config::default().labels(LABEL_SCHEDULE),
    );
    let of_platform = platform_changes
        .filter_map(|change| future::ready(change.ok()))
        .flat_map(move |platform| {
            let name = platform.name_any();
            let concerned: Vec<_> = schedules
                .state()
                .iter()
                .filter(|schedule| schedule.spec.platform_ref.name == name)
                .map(|schedule| ObjectRef::from_obj(schedule.as_ref()))
                .collect();
            stream::iter(concerned)
        });
    let of_child = child_changes.filter_map(|change| {
        let child = change.ok();
        let schedule = child.and_then(|child| Some(ObjectRef::new(child.labels().get(LABEL_SCHEDULE)?).within(&child.namespace()?)));
        future::ready(schedule)
    });
    let timers = Timers::default();
    let context = Arc::new(Context {
        client,
        platforms,
        children,
        timers: timers.clone(),
        events,
        metrics,
        retries: Retries::default(),
        leadership: leadership.clone(),
    });
    let mut complaint = Complaint::about("GraphSchedule".to_owned());
    controller
        .reconcile_on(timers.stream())
        .reconcile_on(of_platform)
        .reconcile_on(of_child)
        .reconcile_all_on(leadership.begins())
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(reconcile, on_error, context)
        .for_each(|outcome| {
            complaint.hear_outcome(&outcome);
            future::ready(())
        })
        .await;
}

fn on_error(schedule: Arc<GraphSchedule>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.errors.get_or_create(&LABEL).inc();
    let wait = context.retries.next(&schedule.name_any());
    tracing::warn!(schedule = %schedule.name_any(), %error, retry_in = ?wait, "the schedule could not be looked after");
    Action::requeue(wait)
}

async fn reconcile(schedule: Arc<GraphSchedule>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.leadership.holds() {
        return Ok(Action::await_change());
    }
    context.metrics.reconciles.get_or_create(&LABEL).inc();
    let key = ObjectRef::from_obj(schedule.as_ref());
    if schedule.metadata.deletion_timestamp.is_some() {
        context.timers.set(key, None);
        return Ok(Action::await_change());
    }
    future::join(context.platforms.ready(), context.children.ready()).await;
    let mut seen = schedule.as_ref().clone();
    for _ in 0..ATTEMPTS {
        let now = Utc::now();
        let look = look(&seen, &context, now).await?;
        match write_status(&seen, look.status, &context).await? {
            Written::Done(through) => {
                context.timers.set(key, look.next);
                context.retries.reset(&schedule.name_any());
                clean_up(&seen, &context, through.as_ref()).await?;
                return Ok(Action::await_change());
            }
            Written::Gone => {
                context.timers.set(key, None);
                return Ok(Action::await_change());
            }
            Written::Conflict => match read(&seen, &context).await? {
                Some(live) => seen = live,
                None => return Ok(Action::await_change()),
            },
        }
    }
    Err(Error::Contended)
}

/// What was found and done.
struct Look {
    status: GraphScheduleStatus,
    next: Option<DateTime<Utc>>,
}

async fn look(schedule: &GraphSchedule, context: &Context, now: DateTime<Utc>) -> Result<Look, Error> {
    let calendar = match Calendar::parse(&schedule.spec, now) {
        Ok(calendar) => calendar,
        Err(error) => {
            return Ok(Look {
                status: status::invalid(schedule, &error, &time::from_chrono(now)),
                next: None,
            });
        }
    };
    let next = calendar.next_after(now);
    let suspended = schedule.spec.suspend.as_ref().map(|suspend| suspend.note.clone().unwrap_or_default());
    let platform = &schedule.spec.platform_ref.name;
    let missing = format!("there is no AutoGPTPlatform {platform} in this namespace: create it, or correct spec.platformRef");
    if suspended.is_none() && !has_platform(context, schedule) {
        // Nothing is decided: when the platform comes, the newest due time fires.
        return Ok(Look {
            status: status::valid(schedule, &calendar, Some((reason::PLATFORM_MISSING, &missing)), now),
            next,
        });
    }
    let note = suspended.as_ref().map(|note| {
        if note.is_empty() {
            "spec.suspend is set".to_owned()
        } else {
            format!("spec.suspend is set: {note}")
        }
    });
    let held = note.as_deref().map(|note| (reason::SUSPENDED, note));
    let mut status = status::valid(schedule, &calendar, held, now);

    let floor = decide::floor(status.decided_through.as_ref().map(time::to_chrono), created(schedule), edited(schedule));
    let (latest, earlier) = calendar.last_two_within(floor, now);
    let mut records = Vec::new();
    for slot in earlier.into_iter().chain(latest) {
        let state = State {
            suspended: suspended.clone(),
            later_due: latest.filter(|latest| *latest > slot),
        };
        let decision = decide(&state, slot, now);
        let (execution, outcome, reason) = match decision.outcome {
            Outcome::Fired => fire(schedule, slot, context).await?,
            other => (None, other, decision.reason),
        };
        records.push(Record {
            slot: time::from_chrono(slot),
            outcome,
            reason,
            execution,
            lateness_ms: Some((Utc::now() - slot).num_milliseconds().max(0)),
        });
        status.decided_through = Some(time::from_chrono(slot));
        if outcome == Outcome::Fired {
            status.last_fire_time = Some(time::from_chrono(slot));
        }
    }
    status::record(&mut status, records);
    Ok(Look { status, next })
}

/// Creates the execution of a due time. One that exists already is this one, if it is ours.
async fn fire(schedule: &GraphSchedule, slot: DateTime<Utc>, context: &Context) -> Result<(Option<String>, Outcome, Option<String>), Error> {
    let refused = |source| Error::Create {
        slot,
        source: Box::new(source),
    };
    let Some(child) = child::child(schedule, slot) else {
        return Ok((None, Outcome::Missed, Some("the schedule has no UID".to_owned())));
    };
    let name = child.name_any();
    let api: Api<GraphExecution> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&parameters, &child).await {
        Ok(_) => {
            let late = (Utc::now() - slot).to_std().unwrap_or_default();
            context.metrics.schedule_lateness.observe(late.as_secs_f64());
            context.metrics.fired.inc();
            context.metrics.writes.get_or_create(&LABEL).inc();
            context
                .events
                .normal(schedule, "Fired", format!("{} became {name}", slot.format("%FT%TZ")))
                .await;
        }
        Err(kube::Error::Api(error)) if error.is_already_exists() => {
            let ours = api
                .get_opt(&name)
                .await
                .map_err(refused)?
                .is_some_and(|there| is_owned_by(&there, schedule));
            if !ours {
                let note = format!(
                    "an execution named {name} that belongs to somebody else stands in the way of {}",
                    slot.format("%FT%TZ")
                );
                context.events.warning(schedule, "NameTaken", note.clone()).await;
                return Ok((None, Outcome::Missed, Some(note)));
            }
        }
        Err(error) => return Err(refused(error)),
    }
    Ok((Some(name), Outcome::Fired, None))
}

fn is_owned_by(child: &GraphExecution, schedule: &GraphSchedule) -> bool {
    schedule
        .uid()
        .is_some_and(|uid| child.owner_references().iter().any(|owner| owner.uid == uid))
}

fn has_platform(context: &Context, schedule: &GraphSchedule) -> bool {
    let key = ObjectRef::new(&schedule.spec.platform_ref.name).within(&schedule.namespace().unwrap_or_default());
    context
        .platforms
        .get(&key)
        .is_some_and(|platform| platform.metadata.deletion_timestamp.is_none())
}

fn created(schedule: &GraphSchedule) -> DateTime<Utc> {
    schedule.metadata.creation_timestamp.as_ref().map_or_else(Utc::now, time::to_chrono)
}

/// When the calendar was edited after the last look, if it was: the newest write that was not one of the status.
fn edited(schedule: &GraphSchedule) -> Option<DateTime<Utc>> {
    let seen = schedule.status.as_ref()?.calendar_hash.as_ref()?;
    if *seen == hash(&schedule.spec) {
        return None;
    }
    let writes = schedule
        .managed_fields()
        .iter()
        .filter(|entry| entry.subresource.as_deref() != Some("status"));
    writes.filter_map(|entry| entry.time.as_ref().map(time::to_chrono)).max()
}

enum Written {
    Done(Option<Time>),
    Conflict,
    Gone,
}

/// Writes the status only over the object that was looked at.
async fn write_status(schedule: &GraphSchedule, next: GraphScheduleStatus, context: &Context) -> Result<Written, Error> {
    let through = next.decided_through.clone();
    if schedule.status.as_ref() == Some(&next) {
        return Ok(Written::Done(through));
    }
    let api: Api<GraphSchedule> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    let mut object = schedule.clone();
    object.status = Some(next);
    context.metrics.writes.get_or_create(&LABEL).inc();
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.replace_status(&schedule.name_any(), &parameters, &object).await {
        Ok(_) => Ok(Written::Done(through)),
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

async fn clean_up(schedule: &GraphSchedule, context: &Context, through: Option<&Time>) -> Result<(), Error> {
    let children = context.children.state_filter(|child| is_owned_by(child, schedule));
    let api: Api<GraphExecution> = Api::namespaced(context.client.clone(), &schedule.namespace().unwrap_or_default());
    for child in history::surplus(&children, &schedule.spec.history_limit, through) {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: child.meta().uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match api.delete(&child.name_any(), &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(Error::CleanUp(Box::new(error))),
        }
    }
    Ok(())
}
