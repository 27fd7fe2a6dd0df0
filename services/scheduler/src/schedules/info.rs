//! A schedule as the contract shows it (rest.md §2.7).

use chrono::{DateTime, FixedOffset, Utc};
use chrono_tz::Tz;
use model::schedule::GraphExecutionJobInfo;
use store::Schedule;

use crate::cron::ContractCron;

/// None for a schedule that will not fire again: it is not shown.
pub fn job_info(schedule: Schedule, now: DateTime<Utc>) -> Option<GraphExecutionJobInfo> {
    let cron: ContractCron = schedule.cron.parse().ok()?;
    let next = cron.shown_after(now, parse_zone(&schedule.timezone)?)?;
    Some(GraphExecutionJobInfo {
        schedule_id: Some(schedule.id.to_string()),
        user_id: schedule.user_id,
        graph_id: schedule.graph_id,
        graph_version: schedule.graph_version,
        agent_name: Some(schedule.name.clone()).filter(|name| !name.is_empty()),
        cron: schedule.cron,
        input_data: schedule.inputs,
        input_credentials: schedule.credentials,
        id: schedule.id.to_string(),
        name: schedule.name,
        next_run_time: iso(next),
        timezone: schedule.timezone,
    })
}

/// Names are case-sensitive; an empty one is the server's own zone, which is UTC.
pub fn parse_zone(name: &str) -> Option<Tz> {
    if name.is_empty() { Some(Tz::UTC) } else { name.parse().ok() }
}

/// With an offset, never `Z` (rest.md trap 2).
fn iso(time: DateTime<FixedOffset>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, timezone: &str) -> Schedule {
        Schedule {
            id: uuid::Uuid::nil(),
            user_id: uuid::Uuid::nil(),
            graph_id: uuid::Uuid::nil(),
            graph_version: 1,
            name: "daily".to_owned(),
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            inputs: model::Map::new(),
            credentials: indexmap::IndexMap::new(),
            next_run_at: None,
            created_at: model::Timestamp::now(),
        }
    }

    #[test]
    fn the_next_time_has_an_offset_and_is_in_the_zone() {
        let now = "2026-03-07T12:00:00Z".parse().unwrap();
        let next = |cron: &str, zone: &str| job_info(schedule(cron, zone), now).map(|info| info.next_run_time);
        assert_eq!(next("30 9 * * *", "UTC").as_deref(), Some("2026-03-08T09:30:00+00:00"));
        assert_eq!(next("30 2 * * sun", "America/New_York").as_deref(), Some("2026-03-08T02:30:00-05:00"));
        assert_eq!(next("0 0 31 2 *", "UTC"), None);
        assert_eq!(next("0 0 1 1 *", "utc"), None, "zone names are case-sensitive");
    }
}
