//! Hears every live event of every run, as the contract's clients do, and judges the order that `seq` and `prev` give them (invariants 5
//! and 12): a reader who compares the two knows whether it has missed anything.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Of every user, graph and run; the channel of a graph has one part less.
const CHANNELS: &str = "execution_event/*/*/*";
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// Events follow the commit of what they tell within moments.
const ARRIVED: Duration = Duration::from_secs(10);

/// One event with its place: the position of what it tells about in the run's journal, and that of the event before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    prev: i64,
    status: String,
    /// It says that the run is over.
    is_end: bool,
}

#[derive(Debug, Default)]
struct Heard {
    runs: HashMap<Uuid, Story>,
    events: u64,
}

/// The events of one run by their position.
#[derive(Debug, Default)]
struct Story {
    told: BTreeMap<i64, Told>,
    complaints: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    payload: Payload,
    /// Absent in what the REST service announces: it has no place in the journal.
    seq: Option<i64>,
    prev: Option<i64>,
}

#[derive(Deserialize)]
struct Payload {
    event_type: String,
    status: String,
    /// Of an event about the run itself.
    id: Option<Uuid>,
    /// Of an event about a node.
    graph_exec_id: Option<Uuid>,
}

pub struct Ear {
    heard: Arc<Mutex<Heard>>,
    _task: AbortOnDropHandle<()>,
}

impl Ear {
    /// Listens until it is dropped, also after Redis was away. What is said while it is away nobody hears.
    pub fn start(redis_url: &str) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let task = tokio::spawn(listen(redis_url.to_owned(), heard.clone()));
        Self {
            heard,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn events(&self) -> u64 {
        lock(&self.heard).events
    }

    /// What contradicts itself in what was heard of any run, whatever was lost on the way.
    pub fn contradictions(&self) -> Vec<String> {
        let heard = lock(&self.heard);
        heard
            .runs
            .iter()
            .flat_map(|(run, story)| story.contradictions().into_iter().map(move |text| format!("events of run {run}: {text}")))
            .collect()
    }

    /// What is missing in the stories of runs of which everything must have been heard: from the first position to the end, without a gap.
    pub async fn gaps(&self, runs: &[Uuid]) -> Vec<String> {
        let deadline = Instant::now() + ARRIVED;
        loop {
            let gaps: Vec<String> = {
                let heard = lock(&self.heard);
                let gap_of = |run: &Uuid| {
                    Some(format!(
                        "events of run {run}: {}",
                        heard.runs.get(run).map_or(Some(NOTHING.to_owned()), Story::gap)?
                    ))
                };
                runs.iter().filter_map(gap_of).collect()
            };
            if gaps.is_empty() || Instant::now() > deadline {
                return gaps;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

const NOTHING: &str = "nothing was heard";

impl Story {
    fn note(&mut self, seq: i64, told: Told) {
        match self.told.get(&seq) {
            Some(known) if *known != told => self.complaints.push(format!("position {seq} was told as {known:?} and as {told:?}")),
            _ => {
                self.told.insert(seq, told);
            }
        }
    }

    fn contradictions(&self) -> Vec<String> {
        let mut found = self.complaints.clone();
        let mut before: Option<i64> = None;
        for (seq, told) in &self.told {
            if told.prev >= *seq {
                found.push(format!("position {seq} comes after {}", told.prev));
            }
            if let Some(before) = before
                && told.prev < before
            {
                found.push(format!("position {seq} names {} as the one before, and {before} was told", told.prev));
            }
            before = Some(*seq);
        }
        if let Some(end) = self.told.iter().find(|(_, told)| told.is_end).map(|(seq, _)| *seq)
            && before.is_some_and(|last| last > end)
        {
            found.push(format!("something was told after the end at {end}"));
        }
        found
    }

    /// The first thing that is missing.
    fn gap(&self) -> Option<String> {
        let mut before = 0;
        for (seq, told) in &self.told {
            if told.prev != before {
                return Some(format!("{before} is followed by {seq}, which comes after {}", told.prev));
            }
            before = *seq;
        }
        match self.told.values().next_back() {
            None => Some(NOTHING.to_owned()),
            Some(last) if !last.is_end => Some(format!("the last one, at {before}, says {} and not the end", last.status)),
            Some(_) => None,
        }
    }
}

async fn listen(redis_url: String, heard: Arc<Mutex<Heard>>) {
    loop {
        let _ = listen_once(&redis_url, &heard).await;
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_once(redis_url: &str, heard: &Mutex<Heard>) -> redis::RedisResult<()> {
    let mut pubsub = redis::Client::open(redis_url)?.get_async_pubsub().await?;
    pubsub.psubscribe(CHANNELS).await?;
    let mut messages = pubsub.into_on_message();
    while let Some(message) = messages.next().await {
        if let Ok(envelope) = serde_json::from_slice::<Envelope>(message.get_payload_bytes()) {
            note(&mut lock(heard), envelope);
        }
    }
    Ok(())
}

fn note(heard: &mut Heard, envelope: Envelope) {
    let Envelope { payload, seq, prev } = envelope;
    let (Some(seq), Some(prev), Some(run)) = (seq, prev, payload.graph_exec_id.or(payload.id)) else {
        return;
    };
    heard.events += 1;
    let is_end = payload.event_type == "graph_execution_update" && matches!(payload.status.as_str(), "COMPLETED" | "FAILED" | "TERMINATED");
    let told = Told {
        prev,
        is_end,
        status: payload.status,
    };
    heard.runs.entry(run).or_default().note(seq, told);
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(events: &[(i64, i64, bool)]) -> Story {
        let mut story = Story::default();
        for (prev, seq, is_end) in events {
            let told = Told {
                prev: *prev,
                status: "RUNNING".to_owned(),
                is_end: *is_end,
            };
            story.note(*seq, told);
        }
        story
    }

    #[test]
    fn a_whole_story_has_no_gap_in_whatever_order_it_was_heard() {
        let whole = story(&[(2, 5, false), (0, 2, false), (5, 6, true), (2, 5, false)]);
        assert_eq!((whole.contradictions(), whole.gap()), (vec![], None));
    }

    #[test]
    fn what_is_missing_shows() {
        let gaps = [
            story(&[(1, 2, true)]),
            story(&[(0, 2, false), (3, 4, true)]),
            story(&[(0, 2, false)]),
            story(&[]),
        ];
        for story in gaps {
            assert!(story.gap().is_some(), "{story:?}");
            assert_eq!(story.contradictions(), Vec::<String>::new(), "a loss that shows is no contradiction");
        }
    }

    #[test]
    fn what_contradicts_itself_is_found() {
        let contradictions = [
            story(&[(4, 3, false)]),
            story(&[(0, 2, false), (2, 2, false)]),
            story(&[(0, 4, false), (2, 6, false)]),
            story(&[(0, 2, true), (2, 3, false)]),
            story(&[(0, 2, true), (0, 2, false)]),
        ];
        for story in contradictions {
            assert!(!story.contradictions().is_empty(), "{story:?}");
        }
    }
}
