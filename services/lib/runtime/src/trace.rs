//! One trace a run: the W3C trace context (<https://www.w3.org/TR/trace-context/>), carried in HTTP headers, AMQP headers and the rows of runs.
//!
//! Whoever calls first may bring a trace; otherwise the first service that hears of a run begins one, with a request or with the submission
//! itself. Log lines that belong to it carry its id in their span, and [`crate::spans`] sends what is done as steps of it to whoever wants
//! to see them.

use std::fmt;
use std::future::Future;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::spans::{self, About, Kind, Recording};

/// The name of the header, in HTTP and AMQP.
pub const HEADER: &str = "traceparent";

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

/// The bit that says that the caller records the trace.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: Trace;
}

impl Trace {
    /// A new trace.
    pub fn begin() -> Self {
        // Zero is no id.
        let trace_id = rand::random::<u128>().max(1);
        Self {
            trace_id,
            span_id: span_id(),
            flags: if spans::samples(trace_id, None) { SAMPLED } else { 0 },
        }
    }

    /// Something that is done as a part of the trace, told to who listens when it is dropped. `about` is asked only when somebody does.
    pub fn step(self, about: impl FnOnce() -> About) -> Step {
        let trace = self.child();
        Step {
            trace,
            recording: Recording::begin(trace, Some(self), about),
        }
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    pub(crate) fn trace_id(self) -> u128 {
        self.trace_id
    }

    pub(crate) fn span_id(self) -> u64 {
        self.span_id
    }

    /// As a stranger brings it: this platform may decide anew whether it is recorded.
    fn brought(self) -> Self {
        let sampled = spans::samples(self.trace_id, Some(self.is_sampled()));
        Self {
            flags: self.flags & !SAMPLED | u8::from(sampled),
            ..self
        }
    }

    /// A new span of the same trace.
    pub fn child(self) -> Self {
        Self { span_id: span_id(), ..self }
    }

    /// Reads `00-<trace id>-<span id>-<flags>`. A version of the future may have more fields; what is malformed or all zeros is no trace.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('-');
        let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let lower_hex = |field: &str, length| field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !(lower_hex(version, 2) && lower_hex(trace_id, 32) && lower_hex(span_id, 16) && lower_hex(flags, 2)) {
            return None;
        }
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let trace = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (trace.trace_id != 0 && trace.span_id != 0).then_some(trace)
    }

    /// The id of the whole trace, as log lines show it.
    pub fn id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// The value of the header.
impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// A span of a trace, under way.
#[derive(Debug)]
pub struct Step {
    trace: Trace,
    recording: Option<Recording>,
}

impl Step {
    /// A trace begins with this: what nobody's request asks for.
    pub fn first(about: impl FnOnce() -> About) -> Self {
        let trace = Trace::begin();
        Self {
            trace,
            recording: Recording::begin(trace, None, about),
        }
    }

    /// The place of the step: what is done for it goes on from here.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// One more fact.
    pub fn note(&mut self, name: &'static str, value: impl ToString) {
        if let Some(recording) = &mut self.recording {
            recording.note(name, value.to_string());
        }
    }

    /// It did not succeed.
    pub fn fail(&mut self, error: impl ToString) {
        if let Some(recording) = &mut self.recording {
            recording.fail(error.to_string());
        }
    }

    /// Answers a request as this step.
    async fn answer(mut self, next: Next, request: Request) -> Response {
        let response = within(self.trace, next.run(request)).await;
        let status = response.status();
        self.note("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.fail(status);
        }
        response
    }
}

fn span_id() -> u64 {
    // Zero is no id.
    rand::random::<u64>().max(1)
}

/// The trace of what this task is doing, if it belongs to one.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Does something as a part of a trace.
pub async fn within<F: Future>(trace: Trace, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

/// Does something as a part of the trace, when there is one.
pub async fn within_some<F: Future>(trace: Option<Trace>, work: F) -> F::Output {
    match trace {
        Some(trace) => within(trace, work).await,
        None => work.await,
    }
}

/// Middleware of a public server: every request belongs to a trace.
pub async fn begin_or_continue(request: Request, next: Next) -> Response {
    let about = || about_request(&request);
    let step = match of_request(&request) {
        Some(trace) => trace.brought().step(about),
        None => Step::first(about),
    };
    let span = tracing::info_span!("request", trace_id = %step.trace().id());
    step.answer(next, request).instrument(span).await
}

/// Middleware of an internal server: a request belongs to its caller's trace, if it has one.
pub async fn go_on(request: Request, next: Next) -> Response {
    match of_request(&request) {
        Some(trace) => {
            let span = tracing::info_span!("call", trace_id = %trace.id());
            let step = trace.step(|| about_request(&request));
            step.answer(next, request).instrument(span).await
        }
        None => next.run(request).await,
    }
}

/// The name has the route and not the path: there are few routes.
fn about_request(request: &Request) -> About {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    About::new(Kind::Server, format!("{} {route}", request.method()))
        .with("http.request.method", request.method())
        .with("http.route", route)
}

fn of_request(request: &Request) -> Option<Trace> {
    Trace::parse(request.headers().get(HEADER)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_child_stays_in_its_trace() {
        let trace = Trace::begin();
        assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
        let child = trace.child();
        assert_eq!(child.id(), trace.id());
        assert_ne!(child, trace);
    }

    #[test]
    fn only_well_formed_contexts_are_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Trace::parse(good).map(|trace| trace.to_string()).as_deref(), Some(good));
        assert!(Trace::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn the_trace_is_known_within_and_nowhere_else() {
        let trace = Trace::begin();
        assert_eq!(within(trace, async { current() }).await, Some(trace));
        assert_eq!(current(), None);
    }
}
