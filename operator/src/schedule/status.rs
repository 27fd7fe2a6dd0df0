//! The status of a schedule.

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use crds::conditions::{self, reason, set};
use crds::schedule::{Decision, GraphScheduleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::runtime::time;
use crate::schedule::calendar::{Calendar, CalendarError, hash};

/// How many coming due times are shown.
const UPCOMING: usize = 5;
/// How many decisions are kept.
const RECENT: usize = 10;

/// A schedule whose calendar cannot be read.
pub fn invalid(schedule: &GraphSchedule, error: &CalendarError, now: &Time) -> GraphScheduleStatus {
    let generation = schedule.metadata.generation;
    let mut status = before(schedule);
    status.next_fire_times.clear();
    let reason = match error {
        CalendarError::Zone(_) => reason::TIME_ZONE_UNKNOWN,
        CalendarError::Cron { .. } | CalendarError::Never(_) => reason::CRON_INVALID,
    };
    let message = error.to_string();
    set(&mut status.conditions, conditions::SPEC_VALID, false, reason, &message, generation, now);
    set(&mut status.conditions, conditions::READY, false, reason, &message, generation, now);
    status
}

/// A schedule that fires, or would if nothing kept it: `held` is what does, as reason and sentence.
pub fn valid(schedule: &GraphSchedule, calendar: &Calendar, held: Option<(&str, &str)>, now: DateTime<Utc>) -> GraphScheduleStatus {
    let (generation, stamp) = (schedule.metadata.generation, time::from_chrono(now));
    let mut status = before(schedule);
    status.calendar_hash = Some(hash(&schedule.spec));
    status.next_fire_times = calendar.upcoming(now, UPCOMING).into_iter().map(time::from_chrono).collect();
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
    match held {
        Some((reason, message)) => set(list, conditions::READY, false, reason, message, generation, &stamp),
        None => set(
            list,
            conditions::READY,
            true,
            reason::ARMED,
            "fires at the times in nextFireTimes",
            generation,
            &stamp,
        ),
    }
    status
}

/// Adds decisions, oldest first.
pub fn record(status: &mut GraphScheduleStatus, decisions: Vec<Decision>) {
    for decision in decisions {
        status.recent_decisions.insert(0, decision);
    }
    status.recent_decisions.truncate(RECENT);
}

fn before(schedule: &GraphSchedule) -> GraphScheduleStatus {
    let mut status = schedule.status.clone().unwrap_or_default();
    status.observed_generation = schedule.metadata.generation;
    status
}
