//! Whose request goes first.
//!
//! A thousand schedules that are due in the same second are thousands of requests, and the API server answers a few hundred a second: what
//! is sent at once is refused, times out, and comes back. So only a few are under way, and of those that wait, the ones that others wait
//! for go first: what a person asked for, then the executions of due times, then the decisions and finalizers without which those are not
//! submitted, then statuses, then events and deletions. Every sixteenth place goes to the last lane that waits, so that none starves. And
//! while executions of due times are on their way, whatever comes after them holds back for a moment even when there are places: the API
//! server would do that work at their cost.
//!
//! Watches are not counted. An answer that asks for patience (429 with Retry-After) keeps its place until the client has tried again, which
//! slows the others down as well.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use kube::api::{Patch, PatchParams};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Resource};
use prometheus_client::encoding::EncodeLabelSet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tower::{BoxError, Service, ServiceExt as _};

use crate::runtime::connection::{Asking, asking};
use crate::runtime::events::MANAGER;
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::OperatorMetrics;

/// Requests under way at the same time. More do not make the API server faster, only later ones slower.
const PLACES: usize = 32;
/// One place in so many is for the last lane that waits.
const SHARE: u32 = 16;
/// Who holds back for executions of due times does so no longer than this.
const COURTESY: Duration = Duration::from_millis(50);

/// Lanes in the order of their precedence. A request that carries one as an extension keeps to it; for all others its method and path decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// What a person waits for, and whatever has no lane of its own.
    Human,
    /// The executions of due times.
    Due,
    /// What an execution needs before it is submitted: that the decision is stored, and its finalizer.
    Submission,
    /// What became of things.
    Status,
    /// Events, and what nobody needs any more.
    CleanUp,
}

impl Lane {
    const ALL: [Self; 5] = [Self::Human, Self::Due, Self::Submission, Self::Status, Self::CleanUp];

    fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Due => "due",
            Self::Submission => "submission",
            Self::Status => "status",
            Self::CleanUp => "clean-up",
        }
    }

    fn index(self) -> usize {
        self as usize
    }

    fn holds_back(self) -> bool {
        !matches!(self, Self::Human | Self::Due)
    }

    /// The lane of a request; none for those that last.
    fn of(request: &Request<Body>) -> Option<Self> {
        if let Some(lane) = request.extensions().get() {
            return Some(*lane);
        }
        let (method, path) = (request.method(), request.uri().path());
        if request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
        {
            return None;
        }
        Some(match *method {
            Method::POST if path.ends_with("/graphexecutions") => Self::Due,
            Method::POST | Method::PATCH | Method::PUT if path.contains("/events") => Self::CleanUp,
            Method::PATCH | Method::PUT if path.ends_with("/status") => {
                // A schedule's status has its decisions.
                if path.contains("/graphschedules/") {
                    Self::Submission
                } else {
                    Self::Status
                }
            }
            Method::DELETE => Self::CleanUp,
            _ => Self::Human,
        })
    }
}

/// Labels of the numbers about requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    lane: &'static str,
}

/// Labels of the numbers about answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabel {
    lane: &'static str,
    /// The status of the answer; 0 when there was none.
    code: u16,
}

/// A client whose requests keep to the lanes, and which writes nothing unless this process leads.
pub fn client(inner: Client, metrics: OperatorMetrics, leadership: Leadership) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let lanes = Lanes {
        inner: asking(inner),
        gate: Arc::new(Gate::new(PLACES)),
        due: watch::Sender::new(0),
        metrics,
        leadership,
    };
    ClientBuilder::new(lanes, namespace).build()
}

/// Patches the object of that name in the name of this operator, in this lane.
pub async fn patch<K>(client: &Client, (namespace, name): (&str, &str), patch: &Patch<Value>, lane: Lane) -> kube::Result<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let request = kube::core::Request::new(K::url_path(&(), Some(namespace))).patch(name, &parameters, patch);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.extensions_mut().insert(lane);
    client.request(request).await
}

struct Lanes {
    inner: Asking,
    gate: Arc<Gate>,
    /// How many executions of due times are on their way.
    due: watch::Sender<usize>,
    metrics: OperatorMetrics,
    leadership: Leadership,
}

/// The request came too late.
#[derive(Debug, thiserror::Error)]
#[error("this process does not lead any more: nothing is written")]
struct NotLeading;

impl Service<Request<Body>> for Lanes {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The places are given when a request is there to take one.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let lane = Lane::of(&request);
        let (inner, gate, metrics) = (self.inner.clone(), self.gate.clone(), self.metrics.clone());
        let leadership = self.leadership.clone();
        let mut due = self.due.subscribe();
        // Counted from here on: who is asked in the same moment already sees it.
        let on_its_way = (lane == Some(Lane::Due)).then(|| OnItsWay::begin(&self.due));
        Box::pin(async move {
            let place = match lane {
                None => None,
                Some(lane) => {
                    let depth = metrics.queue.get_or_create(&LaneLabel { lane: lane.name() }).clone();
                    depth.inc();
                    let began = Instant::now();
                    // Counted down even when the caller gives up.
                    let counted = CountDown(depth);
                    if lane.holds_back() {
                        hold_back(&mut due).await;
                    }
                    let place = gate.enter(lane).await;
                    drop(counted);
                    metrics.queued.observe(began.elapsed().as_secs_f64());
                    Some(place)
                }
            };
            if request.method() != Method::GET && !leadership.holds() {
                return Err(NotLeading.into());
            }
            let answer = inner.oneshot(request).await;
            let label = CallLabel {
                lane: lane.map_or("watch", Lane::name),
                code: answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
            };
            metrics.calls.get_or_create(&label).inc();
            drop((place, on_its_way));
            answer
        })
    }
}

/// Waits until no execution of a due time is on its way, or long enough.
async fn hold_back(due: &mut watch::Receiver<usize>) {
    // The request goes on whatever comes of it.
    let _ = tokio::time::timeout(COURTESY, due.wait_for(|count| *count == 0)).await;
}

/// Counts an execution of a due time until its answer is there, or until nobody waits for it any more.
struct OnItsWay(watch::Sender<usize>);

impl OnItsWay {
    fn begin(due: &watch::Sender<usize>) -> Self {
        due.send_modify(|count| *count += 1);
        Self(due.clone())
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

struct CountDown(prometheus_client::metrics::gauge::Gauge);

impl Drop for CountDown {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Hands out the places.
struct Gate(Mutex<State>);

struct State {
    free: usize,
    waiting: [VecDeque<oneshot::Sender<Place>>; Lane::ALL.len()],
    given: u32,
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        self.given = self.given.wrapping_add(1);
        let mut lanes: Box<dyn Iterator<Item = &mut VecDeque<_>>> = if self.given.is_multiple_of(SHARE) {
            Box::new(self.waiting.iter_mut().rev())
        } else {
            Box::new(self.waiting.iter_mut())
        };
        lanes.find_map(VecDeque::pop_front)
    }
}

impl Gate {
    fn new(places: usize) -> Self {
        Self(Mutex::new(State {
            free: places,
            waiting: Default::default(),
            given: 0,
        }))
    }

    async fn enter(self: &Arc<Self>, lane: Lane) -> Place {
        let turn = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.free > 0 {
                state.free -= 1;
                return Place(Some(self.clone()));
            }
            let (give, turn) = oneshot::channel();
            if let Some(queue) = state.waiting.get_mut(lane.index()) {
                queue.push_back(give);
            }
            turn
        };
        // The gate lives as long as those who wait, and never forgets one.
        turn.await.unwrap_or(Place(None))
    }

    fn leave(self: &Arc<Self>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(next) = state.next() {
            match next.send(Place(Some(self.clone()))) {
                Ok(()) => return,
                // It gave up waiting. Its place must not come back while the lock is held.
                Err(mut place) => drop(place.0.take()),
            }
        }
        state.free += 1;
    }
}

/// A place among the requests under way. Dropped, it goes to the next.
struct Place(Option<Arc<Gate>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    fn lane(method: &str, uri: &str) -> Option<Lane> {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        Lane::of(&request)
    }

    #[test]
    fn requests_have_the_lane_of_what_they_are_for() {
        let executions = "/apis/autogpt.dev/v1alpha1/namespaces/n/graphexecutions";
        assert_eq!(lane("GET", &format!("{executions}?limit=500")), Some(Lane::Human));
        assert_eq!(lane("GET", &format!("{executions}?watch=true&limit=1")), None);
        assert_eq!(lane("POST", &format!("{executions}?&fieldManager=m")), Some(Lane::Due));
        assert_eq!(lane("PATCH", &format!("{executions}/a/status?&force=true")), Some(Lane::Status));
        let mut finalizer = Request::patch(format!("{executions}/a")).body(Body::empty()).unwrap();
        finalizer.extensions_mut().insert(Lane::Submission);
        assert_eq!(Lane::of(&finalizer), Some(Lane::Submission), "what the request says");
        assert_eq!(lane("DELETE", &format!("{executions}/a")), Some(Lane::CleanUp));
        let schedules = "/apis/autogpt.dev/v1alpha1/namespaces/n/graphschedules";
        assert_eq!(lane("PUT", &format!("{schedules}/a/status")), Some(Lane::Submission));
        assert_eq!(lane("PATCH", &format!("{schedules}/a")), Some(Lane::Human));
        assert_eq!(lane("POST", "/apis/events.k8s.io/v1/namespaces/n/events"), Some(Lane::CleanUp));
        assert_eq!(lane("PATCH", "/apis/apps/v1/namespaces/n/deployments/d"), Some(Lane::Human));
    }

    /// All places taken, these wait in this order; the lanes in the order in which they get a place.
    async fn served(waiting: &[Lane]) -> Vec<Lane> {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter(Lane::Human).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for lane in waiting {
            let (gate, order, lane) = (gate.clone(), order.clone(), *lane);
            tasks.push(tokio::spawn(async move {
                let _place = gate.enter(lane).await;
                order.lock().unwrap().push(lane);
            }));
            yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(gate.0.lock().unwrap().free, 1);
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn who_is_waited_for_goes_first() {
        let order = served(&[Lane::CleanUp, Lane::Status, Lane::Submission, Lane::Due, Lane::Human, Lane::Due]).await;
        assert_eq!(order, [Lane::Human, Lane::Due, Lane::Due, Lane::Submission, Lane::Status, Lane::CleanUp]);
    }

    #[tokio::test]
    async fn the_last_lane_has_its_share() {
        let mut waiting = vec![Lane::CleanUp];
        waiting.extend([Lane::Due; 40]);
        let order = served(&waiting).await;
        assert_eq!(order.iter().position(|lane| *lane == Lane::CleanUp), Some(15));
    }

    #[tokio::test]
    async fn statuses_hold_back_for_what_is_due_but_not_for_long() {
        let due = watch::Sender::new(0);
        let mut status = due.subscribe();
        assert!(futures::poll!(Box::pin(hold_back(&mut status))).is_ready(), "nothing is due");
        let (one, other) = (OnItsWay::begin(&due), OnItsWay::begin(&due));
        let began = Instant::now();
        hold_back(&mut status).await;
        assert!(began.elapsed() >= COURTESY);
        let mut waiting = Box::pin(hold_back(&mut status));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop((one, other));
        assert!(futures::poll!(&mut waiting).is_ready(), "at once");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_blocks_nobody() {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter(Lane::Human).await;
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { drop(gate.enter(Lane::Due).await) }
        });
        yield_now().await;
        waiting.abort();
        let _ = waiting.await;
        drop(first);
        assert_eq!(gate.0.lock().unwrap().free, 1);
        drop(gate.enter(Lane::CleanUp).await);
        assert_eq!(gate.0.lock().unwrap().free, 1);
    }
}
