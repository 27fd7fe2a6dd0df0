//! What the status of a schedule says beside its book. Pure.

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use crds::conditions::{self, reason, set};
use crds::schedule::GraphScheduleStatus;
use schedule::CalendarError;

use crate::runtime::time;
use crate::schedule::family::Graph;

/// How many coming due times are shown.
pub const UPCOMING: usize = 5;
/// Room for a message.
const MESSAGE: usize = 2048;

/// How a schedule with a calendar stands.
pub struct Standing {
    /// Why it pauses itself.
    pub paused: Option<String>,
    pub suspended: Option<String>,
    /// Why no run can come of its graph.
    pub trouble: Option<String>,
    pub platform: bool,
    pub finished: bool,
    pub upcoming: Vec<DateTime<Utc>>,
}

/// The sentence about a graph of which no run can come.
pub fn unusable(message: &str) -> String {
    let mut message = message.to_owned();
    conditions::truncate(&mut message, MESSAGE);
    format!("no run can come of the graph: {message}; correct it and edit the schedule, or try with the annotation autogpt.dev/run-now")
}

/// The status as it was, about the present specification, with what the newest execution says about the graph.
pub fn observed(schedule: &GraphSchedule, graph: Option<&Graph>, now: DateTime<Utc>) -> GraphScheduleStatus {
    let mut status = schedule.status.clone().unwrap_or_default();
    let generation = schedule.metadata.generation;
    status.observed_generation = generation;
    let list = &mut status.conditions;
    let known = conditions::get(list, conditions::GRAPH_USABLE).is_some();
    let now = time::from_chrono(now);
    match graph {
        Some(Graph::Unusable(why, message) | Graph::Refused(why, message)) => {
            let mut message = message.clone();
            conditions::truncate(&mut message, MESSAGE);
            set(list, conditions::GRAPH_USABLE, false, why, message, generation, &now);
        }
        Some(Graph::Usable) if known => set(
            list,
            conditions::GRAPH_USABLE,
            true,
            reason::AS_EXPECTED,
            "the platform accepted the newest run",
            generation,
            &now,
        ),
        Some(Graph::Usable) | None => {}
    }
    status
}

/// A schedule whose calendar cannot be read.
pub fn invalid(status: &mut GraphScheduleStatus, schedule: &GraphSchedule, error: &CalendarError, now: DateTime<Utc>) {
    let (generation, now) = (schedule.metadata.generation, time::from_chrono(now));
    status.next_fire_times.clear();
    let reason = match error {
        CalendarError::Zone { .. } => reason::TIME_ZONE_UNKNOWN,
        CalendarError::Line { .. } | CalendarError::Never { .. } => reason::CRON_INVALID,
        CalendarError::NoLines
        | CalendarError::TooManyLines(_)
        | CalendarError::Window { .. }
        | CalendarError::Exclusion { .. }
        | CalendarError::TooManyExclusions(_) => reason::CALENDAR_INVALID,
    };
    let message = error.to_string();
    set(&mut status.conditions, conditions::SPEC_VALID, false, reason, &message, generation, &now);
    set(&mut status.conditions, conditions::READY, false, reason, &message, generation, &now);
}

/// A schedule that does not fire because the API server refuses something.
pub fn refused(status: &mut GraphScheduleStatus, schedule: &GraphSchedule, refusal: &Refused, now: DateTime<Utc>) {
    let before = schedule
        .status
        .iter()
        .find_map(|status| conditions::get(&status.conditions, conditions::READY));
    let message = match before {
        Some(known) if !refusal.anew && known.reason == refusal.reason => known.message.clone(),
        _ => format!(
            "{}. It is tried again within half a minute; what becomes of what is due meanwhile, spec.catchUp says then",
            refusal.message
        ),
    };
    let (generation, now) = (schedule.metadata.generation, time::from_chrono(now));
    set(
        &mut status.conditions,
        conditions::READY,
        false,
        refusal.reason,
        message,
        generation,
        &now,
    );
}

/// What the API server refused.
pub struct Refused {
    pub reason: &'static str,
    pub message: String,
    /// Whether to say it in these words although it was said in others before.
    pub anew: bool,
}

/// A schedule that fires, or would if nothing kept it.
pub fn valid(status: &mut GraphScheduleStatus, schedule: &GraphSchedule, standing: &Standing, now: DateTime<Utc>) {
    let (generation, stamp) = (schedule.metadata.generation, time::from_chrono(now));
    let list = &mut status.conditions;
    set(
        list,
        conditions::SPEC_VALID,
        true,
        reason::AS_EXPECTED,
        "time zone and cron lines are valid",
        generation,
        &stamp,
    );
    let held = held(schedule, standing);
    let fires = held.is_none();
    let (why, message) = held.unwrap_or((reason::ARMED, "fires at the times in nextFireTimes".to_owned()));
    set(list, conditions::READY, fires, why, message, generation, &stamp);
    // A schedule that waits for its platform catches up with it.
    let shown = fires || why == reason::PLATFORM_MISSING;
    status.next_fire_times = if shown {
        standing.upcoming.iter().copied().map(time::from_chrono).collect()
    } else {
        Vec::new()
    };
}

/// Why it does not fire: reason and sentence.
fn held(schedule: &GraphSchedule, standing: &Standing) -> Option<(&'static str, String)> {
    let spec = &schedule.spec;
    if let Some(why) = &standing.suspended {
        return Some((reason::SUSPENDED, why.clone()));
    }
    if let Some(why) = &standing.paused {
        return Some((reason::PAUSED_ON_FAILURE, why.clone()));
    }
    if !standing.platform {
        let name = &spec.platform_ref.name;
        let message = format!("there is no AutoGPTPlatform {name} in this namespace: create it, or correct spec.platformRef");
        return Some((reason::PLATFORM_MISSING, message));
    }
    if let Some(why) = &standing.trouble {
        return Some((reason::GRAPH_INVALID, why.clone()));
    }
    if standing.finished {
        let most = spec.max_runs.unwrap_or_default();
        let message = format!("the schedule has had its {most} runs: raise spec.maxRuns to go on, or delete it");
        return Some((reason::FINISHED, message));
    }
    if standing.upcoming.is_empty() {
        let message = "no due time is left: raise spec.endAt to go on, or delete the schedule".to_owned();
        return Some((reason::NO_FUTURE_TIME, message));
    }
    None
}
