//! What becomes of one thing that is due. Pure and total.

use chrono::{DateTime, TimeDelta, Utc};

use super::due::{Due, Origin, instant};
use super::policy::{BACKFILL_AT_ONCE, CatchUp, MOST_ACTIVE, ON_TIME, Overlap, Policy};

/// What the decision depends on beside the due time and the present moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// For a backfill, with its own overlap policy.
    pub policy: Policy,
    /// Why nothing fires by itself, if so: suspended, paused, without its graph.
    pub held: Option<String>,
    /// Runs of the calendar so far, with those that wait.
    pub runs: u64,
    /// Runs that are not over.
    pub active: usize,
    /// The newest of them.
    pub running: Option<Due>,
    /// How many wait until nothing runs.
    pub waiting: usize,
    /// Later due times that have come as well. Counted only as far as the catch-up policy cares.
    pub later: usize,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// A run is started.
    Fire,
    /// What runs is cancelled, and a run is started at once.
    FireCancelling,
    /// A run is started when nothing runs any more.
    Buffer,
    /// What runs is cancelled, a run is started when that has ended, and what waited before is skipped.
    BufferCancelling,
    /// No run: the policies of the schedule do not want one.
    Skip,
    /// No run: it passed while nothing could fire, and is not made up for.
    Miss,
    /// No decision yet. Only for backfills, which come back to it.
    Wait,
}

/// One decision, with a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    pub reason: String,
}

/// Decides about something that is due.
///
/// In this order: what holds the schedule, `maxRuns`, catch-up, overlap. Run now is not held and not counted; a backfill waits
/// where the calendar would skip. What is asked for before its time is treated as on time.
pub fn decide(state: &State, due: &Due, now: DateTime<Utc>) -> Decision {
    match &due.origin {
        Origin::Calendar => held(state)
            .or_else(|| finished(state))
            .or_else(|| passed(state, due.slot, now))
            .unwrap_or_else(|| overlap(state, &lateness(due.slot, now))),
        Origin::RunNow(request) => overlap(state, &format!("asked for by run-now {request:?}")),
        Origin::Backfill(name) => backfill(state, name),
    }
}

fn say(verdict: Verdict, reason: impl Into<String>) -> Decision {
    Decision {
        verdict,
        reason: reason.into(),
    }
}

fn held(state: &State) -> Option<Decision> {
    state.held.as_ref().map(|why| say(Verdict::Skip, why.clone()))
}

fn finished(state: &State) -> Option<Decision> {
    let most = state.policy.max_runs?;
    (state.runs >= most).then(|| say(Verdict::Skip, format!("the schedule has had its {most} runs (maxRuns)")))
}

/// What is late, and not made up for.
fn passed(state: &State, slot: DateTime<Utc>, now: DateTime<Utc>) -> Option<Decision> {
    let late = now - slot;
    if late <= ON_TIME {
        return None;
    }
    let policy = &state.policy;
    let words = words(late);
    let reason = match (policy.catch_up, policy.window) {
        (CatchUp::None, _) => format!("nothing could fire when it was due, {words} ago (catchUp.policy None)"),
        (_, Some(window)) if late > window => {
            format!(
                "nothing could fire when it was due, {words} ago: that is beyond catchUp.window ({})",
                self::words(window)
            )
        }
        (CatchUp::Latest, _) if state.later >= 1 => {
            "nothing could fire when it was due; of the times that passed since only the newest fires (catchUp.policy Latest)".to_owned()
        }
        (CatchUp::All(limit), _) if state.later >= limit => {
            format!("nothing could fire when it was due; of the times that passed since only the newest {limit} fire (catchUp.limit)")
        }
        _ => return None,
    };
    Some(say(Verdict::Miss, reason))
}

/// `why` begins the reason of what fires.
fn overlap(state: &State, why: &str) -> Decision {
    if state.active >= MOST_ACTIVE {
        let reason = format!(
            "{} runs of this schedule are not over: no more are started before some have ended",
            state.active
        );
        return say(Verdict::Skip, reason);
    }
    let running = match (&state.running, state.waiting) {
        (None, 0) => return say(Verdict::Fire, format!("{why}; nothing of this schedule was running")),
        (None, _) => "earlier due times wait".to_owned(),
        (Some(running), _) => format!("the run of {running} is not over"),
    };
    match state.policy.overlap {
        Overlap::Allow => say(Verdict::Fire, format!("{why}; {running}, and runs may overlap (overlapPolicy Allow)")),
        Overlap::Skip => say(Verdict::Skip, format!("{running} (overlapPolicy Skip)")),
        Overlap::BufferOne if state.waiting == 0 => say(
            Verdict::Buffer,
            format!("{running}: it fires when that has ended (overlapPolicy BufferOne)"),
        ),
        Overlap::BufferOne => say(
            Verdict::Skip,
            format!("{running}, and another due time waits already (overlapPolicy BufferOne)"),
        ),
        Overlap::BufferAll(limit) if state.waiting < limit => {
            say(Verdict::Buffer, format!("{running}: it fires in its turn (overlapPolicy BufferAll)"))
        }
        Overlap::BufferAll(limit) => say(Verdict::Skip, format!("{running}, and {limit} due times wait already (bufferLimit)")),
        Overlap::CancelOther => say(
            Verdict::BufferCancelling,
            format!("{running}: it is cancelled, and this fires when that has ended (overlapPolicy CancelOther)"),
        ),
        Overlap::Replace => say(
            Verdict::FireCancelling,
            format!("{why}; {running}: it is cancelled (overlapPolicy Replace)"),
        ),
    }
}

/// Allow fires, Skip skips, all others go one after the other.
fn backfill(state: &State, name: &str) -> Decision {
    if let Some(why) = &state.held {
        return say(Verdict::Wait, why.clone());
    }
    match (&state.running, state.policy.overlap) {
        (None, _) => say(Verdict::Fire, format!("backfill {name}; nothing of this schedule was running")),
        (Some(_), Overlap::Allow) if state.active >= BACKFILL_AT_ONCE => {
            say(Verdict::Wait, format!("{} runs of this schedule are not over", state.active))
        }
        (Some(running), Overlap::Allow) => say(
            Verdict::Fire,
            format!("backfill {name}; the run of {running} is not over, and runs may overlap (overlapPolicy Allow of the backfill)"),
        ),
        (Some(running), Overlap::Skip) => say(
            Verdict::Skip,
            format!("the run of {running} is not over (overlapPolicy Skip of backfill {name})"),
        ),
        (Some(running), _) => say(Verdict::Wait, format!("the run of {running} is not over")),
    }
}

fn lateness(slot: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let late = now - slot;
    if late <= ON_TIME {
        "due".to_owned()
    } else {
        format!("due at {}, {} ago, and made up for", instant(slot), words(late))
    }
}

/// A span as people say it: its two largest units.
pub(super) fn words(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts: Vec<String> = Vec::new();
    for (size, unit) in units {
        let count = left / size;
        left %= size;
        if count > 0 || (unit == "s" && parts.is_empty()) {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_words() {
        let words = |seconds| words(TimeDelta::seconds(seconds));
        assert_eq!(words(0), "0 s");
        assert_eq!(words(61), "1 min 1 s");
        assert_eq!(words(3600), "1 h");
        assert_eq!(words(3605), "1 h");
        assert_eq!(words(400 * 86_400 + 7200), "400 d 2 h");
        assert_eq!(words(-5), "0 s");
    }
}
