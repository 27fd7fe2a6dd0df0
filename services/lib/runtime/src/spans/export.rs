//! Gathers spans and sends them: a bounded queue, one request at a time.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::{Record, wire};

/// Spans that wait to be sent; those beyond are dropped.
const QUEUE: usize = 4096;
/// Spans of one request.
const BATCH: usize = 512;

pub(super) struct Exporter {
    items: mpsc::Sender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Span(Box<Record>),
    Flush(oneshot::Sender<()>),
}

struct Sending {
    config: Config,
    http: reqwest::Client,
    dropped: Arc<AtomicU64>,
    failing: bool,
}

impl Exporter {
    pub fn start(config: Config) -> Result<Self, reqwest::Error> {
        crate::install_tls_provider();
        let http = reqwest::Client::builder().timeout(config.timeout).build()?;
        let (items, queue) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let sending = Sending {
            config,
            http,
            dropped: dropped.clone(),
            failing: false,
        };
        tokio::spawn(sending.run(queue));
        Ok(Self { items, dropped })
    }

    pub fn take(&self, record: Record) {
        if self.items.try_send(Item::Span(Box::new(record))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub async fn flush(&self) {
        let (done, sent) = oneshot::channel();
        if self.items.send(Item::Flush(done)).await.is_ok() {
            let _ = sent.await;
        }
    }
}

impl Sending {
    async fn run(mut self, mut queue: mpsc::Receiver<Item>) {
        let mut gathered = Vec::new();
        let mut due: Option<Instant> = None;
        loop {
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            let flushed = tokio::select! {
                item = queue.recv() => match item {
                    Some(Item::Span(span)) => {
                        gathered.push(*span);
                        due.get_or_insert_with(|| Instant::now() + self.config.delay);
                        if gathered.len() < BATCH {
                            continue;
                        }
                        None
                    }
                    Some(Item::Flush(done)) => Some(done),
                    None => return,
                },
                () = timer => None,
            };
            due = None;
            self.send(std::mem::take(&mut gathered)).await;
            if let Some(done) = flushed {
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, spans: Vec<Record>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        let body = wire::request(&self.config.resource, spans);
        let mut request = self
            .http
            .post(self.config.endpoint.clone())
            .header("content-type", "application/x-protobuf");
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        let sent = request.body(body).send().await.and_then(reqwest::Response::error_for_status);
        match sent {
            Ok(_) if self.failing => {
                self.failing = false;
                let dropped = self.dropped.swap(0, Ordering::Relaxed);
                tracing::info!(dropped, "spans are exported again");
            }
            Ok(_) => {}
            Err(error) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                if !self.failing {
                    tracing::warn!(%error, "spans cannot be exported and are dropped");
                }
                self.failing = true;
            }
        }
    }
}
