//! When this program first saw each child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use controllers_tests::World;
use futures::{StreamExt, pin_mut};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::Outcome;

/// As long as a watch may last.
const WATCH_SECONDS: u32 = 290;

/// A child, of which kind ever.
#[derive(Debug, Clone, Deserialize)]
struct Child {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    scheduled_for: Option<DateTime<Utc>>,
}

impl Child {
    /// A GraphExecution says for when it is; a Job of a CronJob has the minutes since 1970 at the end of its name.
    fn slot(&self) -> Option<DateTime<Utc>> {
        let minutes = || self.metadata.name.rsplit('-').next()?.parse::<i64>().ok();
        self.spec.scheduled_for.or_else(|| DateTime::from_timestamp(minutes()? * 60, 0))
    }
}

/// Watches one kind of children on a connection of its own.
pub struct Sightings {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    watch: JoinHandle<()>,
}

/// One child.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub slot: DateTime<Utc>,
    pub late: Duration,
}

impl Sightings {
    /// `path` is that of the collection.
    pub async fn start(world: &World, path: &str) -> Outcome<Self> {
        let client = world.cluster.admin();
        let request = Request::new(path);
        let list = request.list(&ListParams::default().limit(1))?;
        let list: serde_json::Value = client.request(list).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let (noted, path) = (seen.clone(), path.to_owned());
        let watch = tokio::spawn(async move {
            let mut version = version;
            loop {
                let request = Request::new(path.as_str()).watch(&WatchParams::default().timeout(WATCH_SECONDS), &version);
                let Ok(request) = request else { return };
                let Ok(events) = client.request_events::<Child>(request).await else {
                    return;
                };
                pin_mut!(events);
                while let Some(event) = events.next().await {
                    let now = Utc::now();
                    match event {
                        Ok(WatchEvent::Added(child)) => note(&noted, &child, now),
                        Ok(WatchEvent::Bookmark(mark)) => version = mark.metadata.resource_version,
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            }
        });
        Ok(Self { seen, watch })
    }

    /// What has been seen of the due times that `wanted` names.
    pub fn of(&self, wanted: impl Fn(DateTime<Utc>) -> bool) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.values().filter(|seen| wanted(seen.slot)).copied().collect()
    }

    /// Waits until so many have been seen.
    pub async fn wait(&self, wanted: impl Fn(DateTime<Utc>) -> bool, count: usize, limit: Duration) -> Outcome<Vec<Seen>> {
        let began = Instant::now();
        loop {
            let seen = self.of(&wanted);
            if seen.len() >= count {
                return Ok(seen);
            }
            if began.elapsed() > limit || self.watch.is_finished() {
                return Err(format!("{} of {count} children were seen in {} s", seen.len(), began.elapsed().as_secs()).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Sightings {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn note(seen: &Mutex<HashMap<String, Seen>>, child: &Child, now: DateTime<Utc>) {
    let Some(slot) = child.slot() else { return };
    let late = (now - slot).to_std().unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.entry(child.metadata.name.clone()).or_insert(Seen { slot, late });
}
