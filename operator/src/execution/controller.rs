//! One look at an execution: guard → observe → act → report.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use crds::conditions::reason;
use crds::execution::GraphExecutionStatus;
use crds::{AutoGPTPlatform, EXECUTION_FINALIZER, GraphExecution, GraphSchedule};
use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use model::ExecutionStatus;
use model::progress::RunProgress;
use rpc::services::{Scheduler, SchedulerClient};
use schedule::decide::Due;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use crate::Shared;
use crate::execution::board::Board;
use crate::execution::follow::Followers;
use crate::execution::gate::{self, NotNow};
use crate::execution::going::Going;
use crate::execution::revocation::Revocation;
use crate::execution::scheduler::Ways;
use crate::execution::unstopped::{Run, unstopped};
use crate::execution::{status, submit};
use crate::runtime::LOOKS;
use crate::runtime::cache::{Cache, cache, hear_outcome};
use crate::runtime::connection::watching;
use crate::runtime::events::{Events, MANAGER};
use crate::runtime::kept::{Kept, OpenError, kept};
use crate::runtime::lanes::{self, Lane};
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::{self, OperatorMetrics};
use crate::runtime::refusal::refusal;
use crate::runtime::retries::{Cause, Retries};
use crate::runtime::sweep::Sweep;
use crate::runtime::task::beside;
use crate::runtime::time;
use crate::schedule::child;
use crate::schedule::decided::{self, Decided, Word};

const LABEL: metrics::Controller = metrics::Controller { controller: "execution" };
/// Runs whose progress the controller has not taken yet.
const QUEUE: usize = 1024;
/// While a run is being stopped, it is asked for again so often.
const STOPPING: Duration = Duration::from_secs(2);
/// Objects whose time is up that are deleted at once: however many there are, what people and schedules want goes before.
const CLEANERS: usize = 4;
/// No call about stopping may take longer.
const CALL: Duration = Duration::from_secs(10);
/// Executions that wait for their platform are looked at again this often: a change of the platform comes first.
const LOOK_AGAIN: Duration = Duration::from_secs(1800);
/// An execution whose schedule has not decided yet is looked at again after this time; sooner when this process decides.
const UNDECIDED: Duration = Duration::from_secs(2);
/// An execution whose time is up and whose schedule has not counted its end yet is looked at again after this time.
const UNCOUNTED: Duration = Duration::from_secs(1);

/// Why one look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("what the specification names cannot be read: {0}")]
    Read(#[source] Box<kube::Error>),
    #[error("the object cannot be written: {0}")]
    Write(#[source] Box<kube::Error>),
    #[error("the object cannot be deleted: {0}")]
    Delete(#[source] Box<kube::Error>),
    #[error("the status cannot be written: {0}")]
    Status(#[source] Box<kube::Error>),
    /// Somebody else wrote the object meanwhile: look again.
    #[error("the object changed under our hands")]
    Conflict,
    #[error("{0}")]
    NotNow(String),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Error {
    /// What the API server was asked for, and what came of it.
    fn asked(&self) -> Option<(&'static str, &kube::Error)> {
        match self {
            Self::Read(error) => Some(("what the specification names cannot be read", error)),
            Self::Write(error) => Some(("the finalizer autogpt.dev/run was refused", error)),
            Self::Delete(error) => Some(("the deletion after spec.ttlSecondsAfterFinished was refused", error)),
            Self::Status(error) => Some(("the status was refused", error)),
            Self::Conflict | Self::NotNow(_) | Self::Open(_) => None,
        }
    }

    fn cause(&self) -> Cause {
        match self {
            Self::NotNow(_) => Cause::Waiting,
            _ => self.asked().map_or(Cause::Refused, |(_, error)| Cause::of(error)),
        }
    }
}

struct Context {
    client: Client,
    ways: Ways,
    platforms: Cache<AutoGPTPlatform>,
    followers: Arc<Followers>,
    board: Arc<Board>,
    events: Events,
    metrics: OperatorMetrics,
    retries: Retries,
    leadership: Leadership,
    stop_patience: Duration,
    going: Going,
    cleaners: Semaphore,
    decided: Decided,
}

/// Keeps the executions of one namespace until the shutdown.
pub async fn run(
    shared: Shared,
    (executions, events_of_executions): (
        Store<Kept<GraphExecution>>,
        impl Stream<Item = watcher::Result<watcher::Event<Kept<GraphExecution>>>> + Send + 'static,
    ),
    (decided, decisions): (Decided, mpsc::Receiver<ObjectRef<GraphExecution>>),
) {
    let (platforms, platform_changes) = cache::<AutoGPTPlatform>(Api::namespaced(shared.client.clone(), &shared.namespace), watching());
    tokio::spawn(Revocation::new(&shared, platforms.clone()).run(shared.stop.clone()));
    let Shared {
        client,
        namespace,
        config,
        ways,
        events,
        metrics,
        leadership,
        stop: shutdown,
    } = shared;
    let sweep = Sweep::default();
    let turn = |row: &Kept<GraphExecution>| row.facts.turn();
    let of_beginning = sweep.beginnings(leadership.begins(), executions.clone(), turn);
    let controller = Controller::for_stream(sweep.called_up(events_of_executions, |_| true, turn), executions.clone());
    let waiting = {
        let (executions, sweep) = (executions.clone(), sweep.clone());
        move |of_platform: Option<String>| {
            let state = executions.state();
            let is_concerned =
                |row: &&Arc<Kept<GraphExecution>>| row.facts.is_waiting() && of_platform.as_ref().is_none_or(|name| *row.facts.platform == **name);
            stream::iter(sweep.call_up(state.iter().filter(is_concerned), turn))
        }
    };
    let of_platform = platform_changes
        .filter_map(|change| future::ready(change.ok()))
        .map(|platform| Some(platform.name_any()))
        .flat_map(waiting.clone());
    let of_time = stream::unfold((), |()| async { Some((tokio::time::sleep(LOOK_AGAIN).await, ())) }).flat_map(move |()| waiting(None));
    let place = namespace.clone();
    let of_sweep = sweep.turns().map(move |name| ObjectRef::new(&name).within(&place));
    let (changed, changes) = mpsc::channel(QUEUE);
    let of_progress = stream::unfold(changes, async |mut changes: mpsc::Receiver<ObjectRef<GraphExecution>>| {
        changes.recv().await.map(|object| (kept(object), changes))
    });
    let of_schedule = stream::unfold(decisions, async |mut decisions: mpsc::Receiver<ObjectRef<GraphExecution>>| {
        decisions.recv().await.map(|object| (kept(object), decisions))
    });
    let board = Arc::new(Board::default());
    let stop_patience = config.stop_patience;
    let going = Going::default();
    tokio::spawn(
        going
            .clone()
            .watch(client.clone(), namespace.clone(), executions.clone(), shutdown.clone()),
    );
    let followers = Followers::new(board.clone(), ways.clone(), executions, platforms.clone(), changed, shutdown.clone());
    let context = Arc::new(Context {
        client,
        ways,
        platforms,
        followers,
        board,
        events,
        metrics,
        retries: Retries::default(),
        leadership,
        stop_patience,
        going,
        cleaners: Semaphore::new(CLEANERS),
        decided,
    });
    controller
        .with_config(controller::Config::default().concurrency(LOOKS))
        .reconcile_on(of_platform)
        .reconcile_on(of_time)
        .reconcile_on(of_progress)
        .reconcile_on(of_beginning)
        .reconcile_on(of_sweep)
        .reconcile_on(of_schedule)
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(reconcile, on_error, context)
        .for_each(move |outcome| {
            hear_outcome("GraphExecution", &outcome);
            sweep.hear(&outcome);
            future::ready(())
        })
        .await;
}

fn on_error(execution: Arc<Kept<GraphExecution>>, error: &Error, context: Arc<Context>) -> Action {
    if matches!(error, Error::Conflict) {
        return Action::requeue(Duration::from_millis(200));
    }
    context.metrics.errors.get_or_create(&LABEL).inc();
    let wait = context.retries.next(&execution.name_any(), error.cause());
    // The object's condition says the same; the log need not repeat it.
    if !matches!(error, Error::NotNow(_)) {
        tracing::warn!(execution = %execution.name_any(), %error, retry_in = ?wait, "the execution could not be looked after");
    }
    Action::requeue(wait)
}

async fn reconcile(execution: Arc<Kept<GraphExecution>>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.leadership.holds() {
        return Ok(Action::await_change());
    }
    context.metrics.reconciles.get_or_create(&LABEL).inc();
    context.platforms.ready().await;
    beside(async move {
        let open = execution.open()?;
        let outcome = look(&open, execution.facts.shows, &context).await;
        match &outcome {
            Ok(_) => context.retries.reset(&execution.name_any()),
            Err(error) => say(&open, error, &context).await,
        }
        outcome
    })
    .await
}

/// Has the execution say what the API server refuses. One that was submitted goes on, so that its events say it.
async fn say(execution: &GraphExecution, error: &Error, context: &Context) {
    let Some((what, refusal)) = error.asked().and_then(|(what, error)| Some((what, refusal(error)?))) else {
        return;
    };
    let message = refusal.of(what);
    context.events.warning(execution, refusal.reason, message.clone());
    let submitted = execution.status.as_ref().is_some_and(|status| status.execution_id.is_some());
    let waits = matches!(error, Error::Read(_) | Error::Write(_)) && !submitted && !status::is_over(execution);
    if waits && context.retries.may_say(&execution.name_any(), execution.metadata.generation) {
        let message = format!("{message}. It is tried again within half a minute");
        let next = status::pending(execution, refusal.reason, &message, &time::now());
        if let Err(error) = write_status(execution, next, context).await {
            tracing::debug!(execution = %execution.name_any(), %error, "the refusal is in the events only");
        }
    }
}

/// `shows` says that the stored object has more in its status than this one: see [`ExecutionFacts`](crate::execution::row::ExecutionFacts).
async fn look(execution: &GraphExecution, shows: bool, context: &Context) -> Result<Action, Error> {
    if execution.metadata.deletion_timestamp.is_some() {
        return let_go(execution, context).await;
    }
    if status::is_over(execution) {
        context.board.forget(execution);
        return settle(execution, context).await;
    }
    let now = time::now();
    let Some(status) = execution.status.as_ref().filter(|status| status.execution_id.is_some()) else {
        if execution.spec.cancel {
            match was_submitted(execution, context) {
                Some(true) => {}
                Some(false) => {
                    write_status(execution, status::cancelled_unsubmitted(execution, &now), context).await?;
                    return Ok(Action::await_change());
                }
                None => return Ok(Action::requeue(STOPPING)),
            }
        }
        return match permission(execution, context).await? {
            Word::Run => start(execution, context).await,
            Word::NotYet => Ok(Action::requeue(UNDECIDED)),
            Word::Superseded(why) => {
                let note = format!("the schedule decided otherwise, nothing ran: {why}");
                write_status(execution, status::superseded(execution, &note, &now), context).await?;
                context.events.warning(execution, reason::SUPERSEDED, note);
                Ok(Action::await_change())
            }
        };
    };
    let is_new = context.board.expect(execution);
    let found = platform_of(execution, context);
    if let Some(platform) = &found {
        context.followers.follow(platform);
        if is_new {
            // Somebody else has submitted it.
            context.followers.ask(platform, execution);
        }
    }
    if let Some(progress) = context.board.progress(execution) {
        report(execution, shows, &progress, context).await?;
        if progress.status.is_terminal() {
            let note = format!("run {} ended {}", progress.graph_exec_id, progress.status);
            context.events.normal(execution, "Ended", note);
            return Ok(Action::await_change());
        }
    }
    if execution.spec.cancel {
        let id = status.execution_id.as_deref().unwrap_or_default();
        if let Some(platform) = found {
            stop(&platform, id, context).await.map_err(Error::NotNow)?;
        }
        return Ok(Action::requeue(STOPPING));
    }
    Ok(Action::await_change())
}

/// Writes down how the run gets on.
async fn report(execution: &GraphExecution, shows: bool, progress: &RunProgress, context: &Context) -> Result<(), Error> {
    let now = time::now();
    let next = status::followed(execution, progress, &now);
    if !shows || progress.look.is_some() || progress.status.is_terminal() {
        write_status(execution, next, context).await?;
        context.board.is_shown(execution, progress);
        return Ok(());
    }
    if execution.status.as_ref() == Some(&next) {
        return Ok(());
    }
    // What the object shows is to stay.
    let live = api(execution, context).get_opt(&execution.name_any()).await;
    let live = live.map_err(|error| Error::Read(Box::new(error)))?;
    match live.filter(|live| live.uid() == execution.uid()) {
        Some(live) => write_status(&live, status::followed(&live, progress, &now), context).await,
        None => Ok(()),
    }
}

/// Whether it may be submitted. An execution of a schedule waits until the schedule's decision to run it is stored.
async fn permission(execution: &GraphExecution, context: &Context) -> Result<Word, Error> {
    let Some((owner, due)) = slot(execution) else {
        return Ok(Word::Run);
    };
    // It was permitted before.
    if execution.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER) {
        return Ok(Word::Run);
    }
    match context.decided.ask(&ObjectRef::from_obj(execution)) {
        Some(true) => return Ok(Word::Run),
        Some(false) => return Ok(Word::NotYet),
        None => {}
    }
    // One that is gone takes its executions along, or leaves them without an owner.
    let live = schedule_of(execution, owner, context).await?;
    Ok(live.map_or(Word::NotYet, |live| decided::word(&live.status.unwrap_or_default(), &due)))
}

/// Whether its schedule has yet to take note of its end: deleted before that, it would count as a run without one.
async fn is_uncounted(execution: &GraphExecution, context: &Context) -> Result<bool, Error> {
    let Some((owner, due)) = slot(execution) else {
        return Ok(false);
    };
    // A schedule that is going counts no more.
    let live = schedule_of(execution, owner, context).await?;
    let live = live.filter(|live| live.metadata.deletion_timestamp.is_none());
    Ok(live.is_some_and(|live| !decided::is_counted(&live.status.unwrap_or_default(), &due)))
}

/// The schedule that has the execution, and what it is of.
fn slot(execution: &GraphExecution) -> Option<(&OwnerReference, Due)> {
    let (_, due) = child::slot(execution)?;
    child::owner(execution).map(|owner| (owner, due))
}

/// The schedule as it is stored: a cache may be behind. Nothing when it is gone.
async fn schedule_of(execution: &GraphExecution, owner: &OwnerReference, context: &Context) -> Result<Option<GraphSchedule>, Error> {
    let schedules: Api<GraphSchedule> = Api::namespaced(context.client.clone(), &execution.namespace().unwrap_or_default());
    let live = schedules.get_opt(&owner.name).await.map_err(|error| Error::Read(Box::new(error)))?;
    Ok(live.filter(|live| live.uid().as_deref() == Some(&owner.uid)))
}

/// Submits the run. The finalizer comes first: whatever happens next, a deletion stops the run.
async fn start(execution: &GraphExecution, context: &Context) -> Result<Action, Error> {
    let now = time::now();
    if context.going.is() {
        return Ok(Action::await_change());
    }
    let platform = match gate::platform(execution, platform_of(execution, context)) {
        Ok(platform) => platform,
        Err(not_now) => {
            if child::due(execution).is_some() {
                // The next look need not ask the schedule again.
                context.decided.keep(ObjectRef::from_obj(execution));
            }
            report_waiting(execution, &not_now, context).await?;
            // A change of the platform brings the next look, and the time of all who wait.
            return Ok(Action::await_change());
        }
    };
    let scheduler = match context.ways.to(&platform).await {
        Ok(scheduler) => scheduler,
        Err(error) => {
            let not_now = NotNow {
                reason: reason::PLATFORM_NOT_READY,
                message: error.to_string(),
                never: false,
            };
            return wait(execution, &not_now, context).await;
        }
    };
    let held = hold(execution, context).await?;
    // On the board before the platform has the run, so that no progress goes by unseen.
    context.board.expect(&held);
    context.followers.follow(&platform);
    let outcome = submit::submit(&context.client, &scheduler, &held, &platform).await;
    if !matches!(outcome, Ok(submit::Outcome::Accepted(..))) {
        // The platform may have it, and the answer was lost.
        context.board.doubt(&held);
    }
    match outcome.map_err(|error| Error::Read(Box::new(error)))? {
        submit::Outcome::Accepted(submitted, hash) => {
            if !submitted.created {
                // Its progress may have gone by before anybody waited for it.
                context.followers.ask(&platform, &held);
            }
            write_status(&held, status::accepted(&held, &submitted, hash, &now), context).await?;
            let note = format!("run {} of graph {}", submitted.graph_exec_id, submitted.graph_id);
            context.events.normal(&held, "Submitted", note);
            Ok(Action::await_change())
        }
        submit::Outcome::Pending(not_now) => wait(&held, &not_now, context).await,
        submit::Outcome::Refused { spec_valid, reason, message } => {
            write_status(&held, status::refused(&held, spec_valid, reason, &message, &now), context).await?;
            context.events.warning(&held, reason, message);
            Ok(Action::await_change())
        }
    }
}

/// Says why, and tries again later; sooner when the platform changes.
async fn wait(execution: &GraphExecution, not_now: &NotNow, context: &Context) -> Result<Action, Error> {
    report_waiting(execution, not_now, context).await?;
    Err(Error::NotNow(not_now.message.clone()))
}

/// Says why it is not submitted yet.
async fn report_waiting(execution: &GraphExecution, not_now: &NotNow, context: &Context) -> Result<(), Error> {
    let next = status::pending(execution, not_now.reason, &not_now.message, &time::now());
    write_status(execution, next, context).await
}

/// A run that is over: nothing holds the object any more, and its time may be up.
async fn settle(execution: &GraphExecution, context: &Context) -> Result<Action, Error> {
    release(execution, context).await?;
    let status = execution.status.as_ref();
    let Some((ttl, ended)) = execution
        .spec
        .ttl_seconds_after_finished
        .zip(status.and_then(|status| status.completion_time.as_ref()))
    else {
        return Ok(Action::await_change());
    };
    let left = (time::to_chrono(ended) + chrono::TimeDelta::seconds(i64::from(ttl)) - Utc::now())
        .to_std()
        .unwrap_or_default();
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: execution.meta().uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    let _turn = context.cleaners.acquire().await;
    if is_uncounted(execution, context).await? {
        return Ok(Action::requeue(UNCOUNTED));
    }
    match api(execution, context).delete(&execution.name_any(), &parameters).await {
        Ok(_) => Ok(Action::await_change()),
        Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => Ok(Action::await_change()),
        Err(error) => Err(Error::Delete(Box::new(error))),
    }
}

/// A deleted object: its run is stopped first. It never hangs: not without its platform, and not for long with a
/// platform that does not answer.
async fn let_go(execution: &GraphExecution, context: &Context) -> Result<Action, Error> {
    if !execution.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER) {
        context.board.forget(execution);
        return Ok(Action::await_change());
    }
    let run = Run::of(execution, context.board.progress(execution).as_ref());
    let platform = platform_of(execution, context).filter(|platform| platform.metadata.deletion_timestamp.is_none());
    let outcome = match (status::is_over(execution), platform, &run) {
        (true, _, _) | (_, None, _) => Ok(true),
        (false, Some(platform), Some(run)) => stop(&platform, &run.id, context).await.map(|status| status.is_terminal()),
        (false, Some(_), None) => Ok(was_submitted(execution, context) == Some(false)),
    };
    let waited = execution
        .metadata
        .deletion_timestamp
        .as_ref()
        .map(|since| jiff::Timestamp::now().duration_since(since.0));
    let impatient = waited.is_some_and(|waited| waited.unsigned_abs() > context.stop_patience && waited.is_positive());
    match outcome {
        Ok(true) => {}
        _ if context.going.is() => {}
        outcome if impatient => {
            let note = unstopped(run.as_ref(), outcome.err().as_deref(), context.stop_patience);
            context.events.warning(execution, "StopFailed", note);
        }
        Ok(false) => return Ok(Action::requeue(STOPPING)),
        Err(why) => {
            tracing::debug!(execution = %execution.name_any(), why, "the run cannot be stopped yet");
            return Ok(Action::requeue(STOPPING));
        }
    }
    context.board.forget(execution);
    release(execution, context).await?;
    Ok(Action::await_change())
}

/// Whether the platform has the run, of an execution that does not say so. Unknown while the answer to a submission may
/// have been lost and the platform has not been asked for it since.
fn was_submitted(execution: &GraphExecution, context: &Context) -> Option<bool> {
    let Some(platform) = platform_of(execution, context) else {
        return Some(false);
    };
    if !execution.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER) {
        return Some(false);
    }
    context.board.expect(execution);
    context.followers.follow(&platform);
    match context.board.progress(execution) {
        Some(_) => Some(true),
        None if context.board.is_answered(execution) => Some(false),
        None => {
            if !context.board.is_questioned(execution) {
                context.followers.ask(&platform, execution);
            }
            None
        }
    }
}

/// Asks the platform to stop a run; the answer is where it stands.
async fn stop(platform: &AutoGPTPlatform, id: &str, context: &Context) -> Result<ExecutionStatus, String> {
    let id = id.parse().map_err(|_| format!("{id:?} is no execution id"))?;
    let scheduler: SchedulerClient = context.ways.to(platform).await.map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(CALL, scheduler.stop_graph_execution(id)).await;
    answer
        .map_err(|_| "no answer from the scheduler service".to_owned())?
        .map_err(|error| error.to_string())
}

fn platform_of(execution: &GraphExecution, context: &Context) -> Option<Arc<AutoGPTPlatform>> {
    let key = ObjectRef::new(&execution.spec.platform_ref.name).within(&execution.namespace().unwrap_or_default());
    context.platforms.get(&key)
}

fn api(execution: &GraphExecution, context: &Context) -> Api<GraphExecution> {
    Api::namespaced(context.client.clone(), &execution.namespace().unwrap_or_default())
}

/// Adds the finalizer; the object as it is then.
async fn hold(execution: &GraphExecution, context: &Context) -> Result<GraphExecution, Error> {
    if execution.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER) {
        return Ok(execution.clone());
    }
    let mut finalizers = execution.finalizers().to_vec();
    finalizers.push(EXECUTION_FINALIZER.to_owned());
    patch_finalizers(execution, &finalizers, Lane::Submission, context).await
}

/// Takes the finalizer away.
async fn release(execution: &GraphExecution, context: &Context) -> Result<(), Error> {
    if !execution.finalizers().iter().any(|finalizer| finalizer == EXECUTION_FINALIZER) {
        return Ok(());
    }
    let finalizers: Vec<String> = execution
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != EXECUTION_FINALIZER)
        .cloned()
        .collect();
    match patch_finalizers(execution, &finalizers, Lane::Status, context).await {
        Ok(_) => Ok(()),
        Err(Error::Write(error)) if matches!(error.as_ref(), kube::Error::Api(status) if status.is_not_found()) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn patch_finalizers(execution: &GraphExecution, finalizers: &[String], lane: Lane, context: &Context) -> Result<GraphExecution, Error> {
    context.metrics.writes.get_or_create(&LABEL).inc();
    let patch = json!({"metadata": {"resourceVersion": execution.resource_version(), "finalizers": finalizers}});
    let place = (&*execution.namespace().unwrap_or_default(), &*execution.name_any());
    let written = lanes::patch(&context.client, place, &Patch::Merge(patch), lane).await;
    written.map_err(|error| conflict_or(error, Error::Write))
}

/// Writes the status only over the object that was looked at.
async fn write_status(execution: &GraphExecution, next: GraphExecutionStatus, context: &Context) -> Result<(), Error> {
    if execution.status.as_ref() == Some(&next) {
        return Ok(());
    }
    context.metrics.writes.get_or_create(&LABEL).inc();
    // The server has less to do for it than for a server-side apply.
    let patch = serde_json::from_value(json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": execution.resource_version()},
        {"op": "add", "path": "/status", "value": next},
    ]));
    let patch = patch.map_err(|error| Error::Status(Box::new(kube::Error::SerdeError(error))))?;
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api(execution, context)
        .patch_status(&execution.name_any(), &parameters, &Patch::Json::<()>(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(error)) if error.is_not_found() => Ok(()),
        Err(error) => Err(conflict_or(error, Error::Status)),
    }
}

fn conflict_or(error: kube::Error, or: fn(Box<kube::Error>) -> Error) -> Error {
    match error {
        kube::Error::Api(status) if status.is_conflict() => Error::Conflict,
        other => or(Box::new(other)),
    }
}
