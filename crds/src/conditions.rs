//! Types and reasons of the conditions, so that writers, tests and documentation cannot disagree.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Everything asked for is there and serves.
pub const READY: &str = "Ready";
/// A roll-out is under way (kstatus: absent or False when settled).
pub const PROGRESSING: &str = "Progressing";
/// Something that was ready is not, or cannot become ready without help.
pub const DEGRADED: &str = "Degraded";
/// The database has the schema of the wanted version.
pub const MIGRATIONS_APPLIED: &str = "MigrationsApplied";
/// Postgres, Redis and RabbitMQ can be used.
pub const DEPENDENCIES_READY: &str = "DependenciesReady";
/// The Ingress has an address.
pub const INGRESS_READY: &str = "IngressReady";
/// The Gateway has taken the HTTPRoute and finds what it names.
pub const GATEWAY_READY: &str = "GatewayReady";
/// The specification makes sense beyond what the schema can say.
pub const SPEC_VALID: &str = "SpecValid";
/// The platform has taken the run.
pub const ACCEPTED: &str = "Accepted";
/// The run ended well: COMPLETED with no failed node, unless those are ignored.
pub const SUCCEEDED: &str = "Succeeded";
/// The run ended badly or was refused.
pub const FAILED: &str = "Failed";

/// The graph of a schedule can be run, as far as its newest execution tells.
pub const GRAPH_USABLE: &str = "GraphUsable";

/// Reasons, by what they say.
pub mod reason {
    pub const AS_EXPECTED: &str = "AsExpected";
    pub const PAUSED: &str = "Paused";
    pub const SUSPENDED: &str = "Suspended";
    pub const INVALID: &str = "Invalid";
    pub const SECRET_MISSING: &str = "SecretMissing";
    pub const SECRET_INCOMPLETE: &str = "SecretIncomplete";
    pub const IMAGE_MISSING: &str = "ImageMissing";
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    pub const POD_FAILED: &str = "PodFailed";
    pub const POD_REFUSED: &str = "PodRefused";
    pub const POD_UNSCHEDULABLE: &str = "PodUnschedulable";
    pub const APPLY_REFUSED: &str = "ApplyRefused";
    pub const WAITING_FOR_DATA_SERVICES: &str = "WaitingForDataServices";
    pub const MANAGED_DATA_SERVICES: &str = "ManagedDataServices";
    pub const EXTERNAL_DATA_SERVICES: &str = "ExternalDataServices";
    pub const WAITING_FOR_MIGRATION: &str = "WaitingForMigration";
    pub const MIGRATION_RUNNING: &str = "MigrationRunning";
    pub const MIGRATION_FAILED: &str = "MigrationFailed";
    pub const MIGRATED: &str = "Migrated";
    pub const ROLLING_OUT: &str = "RollingOut";
    pub const ROLLED_OUT: &str = "RolledOut";
    pub const ADDRESS_ASSIGNED: &str = "AddressAssigned";
    pub const ADDRESS_PENDING: &str = "AddressPending";
    pub const GATEWAY_API_MISSING: &str = "GatewayApiMissing";
    pub const ROUTE_PENDING: &str = "RoutePending";
    pub const ROUTE_REFUSED: &str = "RouteRefused";
    pub const ROUTE_UNRESOLVED: &str = "RouteUnresolved";
    pub const ROUTE_ACCEPTED: &str = "RouteAccepted";
    pub const UNAVAILABLE: &str = "Unavailable";
    pub const TIME_ZONE_UNKNOWN: &str = "TimeZoneUnknown";
    pub const CRON_INVALID: &str = "CronInvalid";
    pub const PLATFORM_MISSING: &str = "PlatformMissing";
    pub const PLATFORM_NOT_READY: &str = "PlatformNotReady";
    pub const PLATFORM_UNREACHABLE: &str = "PlatformUnreachable";
    pub const CONFIG_MAP_MISSING: &str = "ConfigMapMissing";
    pub const RETRIED_MISSING: &str = "RetriedExecutionMissing";
    pub const RETRIED_NOT_OVER: &str = "RetriedExecutionNotOver";
    pub const NOTHING_TO_RETRY: &str = "NothingToRetry";
    pub const CREDENTIALS_MISSING: &str = "CredentialsMissing";
    pub const CREDENTIALS_NOT_ALLOWED: &str = "CredentialsNotAllowed";
    pub const CREDENTIALS_INVALID: &str = "CredentialsInvalid";
    pub const OWNER_NOT_ALLOWED: &str = "OwnerNotAllowed";
    pub const GRAPH_INVALID: &str = "GraphInvalid";
    pub const GRAPH_NOT_FOUND: &str = "GraphNotFound";
    pub const GRAPH_NOT_ACCESSIBLE: &str = "GraphNotAccessible";
    pub const SUPERSEDED: &str = "Superseded";
    pub const NOT_DECIDED: &str = "NotDecided";
    pub const PAUSED_ON_FAILURE: &str = "PausedOnFailure";
    pub const FINISHED: &str = "Finished";
    pub const CALENDAR_INVALID: &str = "CalendarInvalid";
    pub const REFUSED: &str = "Refused";
    pub const SUBMITTED: &str = "Submitted";
    pub const COMPLETED: &str = "Completed";
    pub const NODES_FAILED: &str = "NodesFailed";
    pub const RUN_FAILED: &str = "RunFailed";
    pub const TERMINATED: &str = "Terminated";
    pub const CANCELLED: &str = "Cancelled";
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    pub const NOT_FINISHED: &str = "NotFinished";
    pub const ARMED: &str = "Armed";
    /// The API server refused something: a ResourceQuota is used up,
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// an admission policy or webhook said no,
    pub const ADMISSION_DENIED: &str = "AdmissionDenied";
    /// an admission webhook did not answer,
    pub const ADMISSION_UNAVAILABLE: &str = "AdmissionUnavailable";
    /// a right is missing,
    pub const FORBIDDEN: &str = "Forbidden";
    /// a definition is missing,
    pub const NOT_FOUND: &str = "NotFound";
    /// or it failed itself.
    pub const SERVER_ERROR: &str = "ServerError";
    pub const NO_FUTURE_TIME: &str = "NoFutureTime";
}

/// Room for a message in the schema; [`set`] cuts longer ones.
pub const MAX_MESSAGE: usize = 32_768;

/// Puts a condition into the list. The transition time moves only with the status; nothing changes when nothing changed.
pub fn set(list: &mut Vec<Condition>, kind: &str, status: bool, reason: &str, message: impl Into<String>, generation: Option<i64>, now: &Time) {
    let status = if status { "True" } else { "False" };
    set_status(list, kind, status, reason, message.into(), generation, now);
}

/// As [`set`], for what is not known yet.
pub fn set_unknown(list: &mut Vec<Condition>, kind: &str, reason: &str, message: impl Into<String>, generation: Option<i64>, now: &Time) {
    set_status(list, kind, "Unknown", reason, message.into(), generation, now);
}

fn set_status(list: &mut Vec<Condition>, kind: &str, status: &str, reason: &str, mut message: String, generation: Option<i64>, now: &Time) {
    truncate(&mut message, MAX_MESSAGE);
    let since = match list.iter().find(|condition| condition.type_ == kind) {
        Some(before) if before.status == status => before.last_transition_time.clone(),
        _ => now.clone(),
    };
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: since,
    };
    match list.iter_mut().find(|condition| condition.type_ == kind) {
        Some(place) => *place = condition,
        None => list.push(condition),
    }
}

/// The condition of this type.
pub fn get<'a>(list: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    list.iter().find(|condition| condition.type_ == kind)
}

/// Takes the condition of this type away: what it is about is not wanted any more.
pub fn remove(list: &mut Vec<Condition>, kind: &str) {
    list.retain(|condition| condition.type_ != kind);
}

/// Whether the condition of this type is there and True.
pub fn is_true(list: &[Condition], kind: &str) -> bool {
    get(list, kind).is_some_and(|condition| condition.status == "True")
}

/// Cuts a text to at most `max` bytes, at a character boundary, with an ellipsis.
pub fn truncate(text: &mut String, max: usize) {
    if text.len() <= max {
        return;
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    text.truncate(end);
    text.push('…');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut list = Vec::new();
        set(&mut list, READY, false, "A", "a", Some(1), &at(1));
        set(&mut list, READY, false, "B", "b", Some(2), &at(2));
        assert_eq!((list.len(), &list[0].last_transition_time, list[0].reason.as_str()), (1, &at(1), "B"));
        set(&mut list, READY, true, "C", "c", Some(2), &at(3));
        assert_eq!(list[0].last_transition_time, at(3));
        assert!(is_true(&list, READY) && !is_true(&list, DEGRADED));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut text = "ééééé".to_owned();
        truncate(&mut text, 8);
        assert_eq!(text, "éé…");
    }
}
