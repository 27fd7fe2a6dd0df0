//! Spans of traces for a receiver that speaks OTLP (<https://opentelemetry.io/docs/specs/otlp/>): what [`crate::trace`] is told to record.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; then nothing is recorded and nothing runs. Spans are hints: they are dropped rather than
//! held when the receiver is slow or away, and nothing waits for them.

mod config;
mod export;
mod wire;

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::trace::Trace;
use config::{Config, Sampler};
use export::Exporter;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    exporter: Exporter,
    sampler: Sampler,
}

/// What a span is, in the words of OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// What is said about a span when it begins.
#[derive(Debug)]
pub struct About {
    name: Cow<'static, str>,
    kind: Kind,
    attributes: Vec<(&'static str, String)>,
}

impl About {
    pub fn new(kind: Kind, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            kind,
            attributes: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }
}

/// A span that is over.
#[derive(Debug)]
struct Record {
    trace: Trace,
    parent: Option<Trace>,
    about: About,
    began: SystemTime,
    ended: SystemTime,
    error: Option<String>,
}

/// A span under way: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Recording(Option<Record>);

impl Recording {
    /// None while nobody wants to hear of it.
    pub fn begin(trace: Trace, parent: Option<Trace>, about: impl FnOnce() -> About) -> Option<Self> {
        RECORDER.get().filter(|_| trace.is_sampled())?;
        let now = SystemTime::now();
        Some(Self(Some(Record {
            trace,
            parent,
            about: about(),
            began: now,
            ended: now,
            error: None,
        })))
    }

    pub fn note(&mut self, name: &'static str, value: String) {
        if let Some(record) = &mut self.0 {
            record.about.attributes.push((name, value));
        }
    }

    pub fn fail(&mut self, error: String) {
        if let Some(record) = &mut self.0 {
            record.error = Some(error);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let (Some(mut record), Some(recorder)) = (self.0.take(), RECORDER.get()) {
            record.ended = SystemTime::now();
            recorder.exporter.take(record);
        }
    }
}

/// Whether a trace that begins here, or that a stranger brings (`brought` with its own mark), is recorded.
pub(crate) fn samples(trace_id: u128, brought: Option<bool>) -> bool {
    RECORDER
        .get()
        .map_or(brought.unwrap_or(true), |recorder| recorder.sampler.samples(trace_id, brought))
}

/// Begins to record when the environment asks for it. Needs the async runtime.
pub(crate) fn install(service: &str) {
    match Config::from_environment(service, |name| std::env::var(name).ok()) {
        Ok(None) => {}
        Ok(Some(config)) => {
            let sampler = config.sampler;
            match Exporter::start(config) {
                Ok(exporter) => _ = RECORDER.set(Recorder { exporter, sampler }),
                Err(error) => tracing::error!(%error, "no spans are exported: the HTTP client cannot be built"),
            }
        }
        Err(error) => tracing::error!(%error, "no spans are exported"),
    }
}

/// Sends what has ended by now, within bounded time.
pub(crate) async fn flush() {
    const LAST: Duration = Duration::from_secs(2);
    if let Some(recorder) = RECORDER.get() {
        let _ = tokio::time::timeout(LAST, recorder.exporter.flush()).await;
    }
}
