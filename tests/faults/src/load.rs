//! Users who submit runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;
use workload::Client;

use crate::Result;

/// Submissions under way at once.
const HANDS: usize = 8;
/// A service that does not answer is asked again after this time, and for so long.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(180);

/// A user with a graph.
#[derive(Clone)]
pub struct Ticket {
    pub client: Client,
    pub graph: Uuid,
}

/// A run that the platform has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    pub user: Uuid,
    pub graph: Uuid,
    pub run: Uuid,
}

/// Submits `runs` runs spread evenly over `time`, the tickets taking turns, and returns them once each is accepted. While REST does not
/// answer, submissions are repeated, so that the platform may have accepted runs that nobody knows of.
///
/// # Errors
/// When a submission is refused, or nobody answers for three minutes.
pub async fn submit(tickets: Vec<Ticket>, runs: usize, time: Duration) -> Result<Vec<Accepted>> {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let tickets = Arc::new(tickets);
    let hands: Vec<_> = (0..HANDS.min(runs))
        .map(|_| {
            let (next, tickets) = (next.clone(), tickets.clone());
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= runs {
                        return Ok::<_, runtime::BoxError>(accepted);
                    }
                    tokio::time::sleep_until(started + time.mul_f64(turn as f64 / runs as f64)).await;
                    let ticket = tickets.get(turn % tickets.len().max(1)).ok_or("there are no users")?;
                    accepted.push(submit_one(ticket).await?);
                }
            })
        })
        .collect();
    let mut accepted = Vec::with_capacity(runs);
    for hand in hands {
        accepted.extend(hand.await??);
    }
    Ok(accepted)
}

async fn submit_one(ticket: &Ticket) -> Result<Accepted> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let path = format!("/api/graphs/{}/execute/1", ticket.graph);
        let answer = ticket.client.post(&path, &json!({"inputs": {}})).await;
        let run = answer.body.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        match (answer.status, run) {
            (200, Some(run)) => {
                return Ok(Accepted {
                    user: ticket.client.user,
                    graph: ticket.graph,
                    run,
                });
            }
            (0 | 500.., _) if Instant::now() < deadline => tokio::time::sleep(AGAIN_AFTER).await,
            _ => return Err(format!("a run was not accepted: {answer:?}").into()),
        }
    }
}
