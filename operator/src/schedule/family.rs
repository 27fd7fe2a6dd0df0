//! The executions of a schedule, as far as they are seen. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crds::conditions::{self, ACCEPTED, FAILED, SUCCEEDED, reason};
use crds::{GraphExecution, GraphSchedule};
use kube::ResourceExt;
use schedule::decide::{Book, Due, End, Origin};

use crate::schedule::child;

/// The executions that carry this schedule's UID as their owner's and the name that it gives, by what they are of.
pub struct Family(BTreeMap<Due, Arc<GraphExecution>>);

impl Family {
    /// Sorts out those that are the schedule's.
    pub fn of(schedule: &GraphSchedule, seen: impl IntoIterator<Item = Arc<GraphExecution>>) -> Self {
        let ours = seen.into_iter().filter(|child| is_owned_by(child, schedule));
        // A copy under another name takes nobody's place.
        let (name, uid) = (schedule.name_any(), schedule.uid().unwrap_or_default());
        let named = ours.filter_map(|child| {
            let due = child::due(&child)?;
            (child.name_any() == child::name(&name, &uid, &due)).then_some((due, child))
        });
        Self(named.collect())
    }

    /// The execution of something due.
    pub fn get(&self, due: &Due) -> Option<&Arc<GraphExecution>> {
        self.0.get(due)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&Due, &Arc<GraphExecution>)> {
        self.0.iter()
    }

    /// Those that are decided and not over: what an older release did not write down.
    pub fn unfinished(&self, book: &Book) -> Vec<Due> {
        let unfinished = self.0.iter().filter(|(due, child)| is_decided(book, due) && end(child).is_none());
        unfinished.map(|(due, _)| due.clone()).collect()
    }

    /// Those that exist although the book knows no decision about them: a look that made them was cut short.
    pub fn made(&self, book: &Book) -> BTreeSet<Due> {
        self.0.keys().filter(|due| !is_decided(book, due)).cloned().collect()
    }
}

/// Whether the schedule is the owner of the execution.
pub fn is_owned_by(child: &GraphExecution, schedule: &GraphSchedule) -> bool {
    schedule
        .uid()
        .is_some_and(|uid| child.owner_references().iter().any(|owner| owner.uid == uid))
}

/// Whether the last word has been said about this.
pub fn is_decided(book: &Book, due: &Due) -> bool {
    if book.buffer.contains(due) {
        return false;
    }
    match &due.origin {
        Origin::Calendar => book.decided_through.is_some_and(|through| due.slot <= through),
        Origin::RunNow(request) => book
            .run_now
            .as_ref()
            .is_none_or(|known| known.request != *request || known.slot != due.slot || known.decided),
        Origin::Backfill(name) => {
            let progress = book.backfills.iter().find(|progress| progress.name == *name);
            progress.is_none_or(|progress| progress.done || progress.decided_through.is_some_and(|through| due.slot <= through))
        }
    }
}

/// How an execution ended, if it has.
pub fn end(child: &GraphExecution) -> Option<End> {
    let status = child.status.as_ref()?;
    if !status.phase.is_some_and(|phase| phase.is_terminal()) {
        return None;
    }
    let is = |kind| conditions::is_true(&status.conditions, kind);
    Some(match (is(SUCCEEDED), is(FAILED)) {
        (true, _) => End::Succeeded,
        (false, true) => End::Failed,
        (false, false) => End::Neither,
    })
}

/// What the end of an execution says about the graph of its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Graph {
    Usable,
    /// Reason and sentence. No run can come of it before something is changed.
    Unusable(String, String),
    /// Reason and sentence. The next run may well be accepted.
    Refused(String, String),
}

/// What the newest execution says about the graph, when it has what the schedule has now.
pub fn graph(schedule: &GraphSchedule, child: &GraphExecution) -> Option<Graph> {
    if child.spec.graph != schedule.spec.graph || child.spec.inputs != schedule.spec.inputs {
        return None;
    }
    judged(child)
}

/// What an execution says about the graph that it has.
fn judged(child: &GraphExecution) -> Option<Graph> {
    let accepted = conditions::get(&child.status.as_ref()?.conditions, ACCEPTED)?;
    let (why, message) = (accepted.reason.clone(), accepted.message.clone());
    match (accepted.status.as_str(), why.as_str()) {
        ("True", _) => Some(Graph::Usable),
        (_, reason::GRAPH_NOT_FOUND | reason::GRAPH_INVALID) => Some(Graph::Unusable(why, message)),
        (_, reason::GRAPH_NOT_ACCESSIBLE) => Some(Graph::Refused(why, message)),
        _ => None,
    }
}

/// Changes with what its schedule wants to know of an execution; 0 as long as that is nothing.
pub fn news(child: &GraphExecution) -> u64 {
    let news = (child.metadata.deletion_timestamp.is_some(), end(child), judged(child));
    if news == (false, None, None) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    news.hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schedule_wants_to_know_what_became_of_an_execution_and_not_how_it_goes() {
        let news_of = |metadata: serde_json::Value, status: serde_json::Value| {
            let mut object = json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "c"},
                "spec": {"platformRef": {"name": "p"}, "graph": {}}, "status": status,
            });
            object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
            news(&serde_json::from_value(object).unwrap())
        };
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let waits = json!({"phase": "Pending", "conditions": [condition("Accepted", "False", reason::PLATFORM_NOT_READY)]});
        assert_eq!((news_of(json!({}), serde_json::Value::Null), news_of(json!({}), waits)), (0, 0));
        let accepted = condition("Accepted", "True", reason::SUBMITTED);
        let running =
            |done: i64| json!({"phase": "RUNNING", "nodes": {"total": 9, "active": 1, "completed": done, "failed": 0}, "conditions": [accepted]});
        assert_eq!(news_of(json!({}), running(1)), news_of(json!({}), running(2)));
        let over = |kind: &str| json!({"phase": "COMPLETED", "conditions": [accepted, condition(kind, "True", "R")]});
        let refused = json!({"phase": "FAILED", "conditions": [condition("Accepted", "False", reason::GRAPH_INVALID)]});
        let all = [
            0,
            news_of(json!({}), running(1)),
            news_of(json!({}), over("Succeeded")),
            news_of(json!({}), over("Failed")),
            news_of(json!({}), refused),
            news_of(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), running(1)),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }

    fn book(text: &str) -> Book {
        Book {
            decided_through: Some(text.parse::<Due>().unwrap().slot),
            buffer: vec!["2026-01-01T00:02:00Z".parse().unwrap()],
            ..Book::default()
        }
    }

    #[test]
    fn what_is_past_the_last_decision_or_waits_is_not_decided() {
        let book = book("2026-01-01T00:03:00Z");
        for (due, decided) in [
            ("2026-01-01T00:01:00Z", true),
            ("2026-01-01T00:02:00Z", false),
            ("2026-01-01T00:03:00Z", true),
            ("2026-01-01T00:04:00Z", false),
            ("2026-01-01T00:04:00Z/run-now/old", true),
            ("2026-01-01T00:04:00Z/backfill/gone", true),
        ] {
            assert_eq!(is_decided(&book, &due.parse().unwrap()), decided, "{due}");
        }
    }

    #[test]
    fn only_a_refusal_of_the_present_graph_says_something_about_it() {
        let graph_of = |id: &str| json!({"id": id});
        let schedule: GraphSchedule = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "uid": "u"},
            "spec": {"platformRef": {"name": "p"}, "graph": graph_of("a"), "schedules": ["@daily"]},
        }))
        .unwrap();
        let child = |id: &str, reason: &str| -> GraphExecution {
            let condition =
                json!({"type": "Accepted", "status": "False", "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
            serde_json::from_value(json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "c"},
                "spec": {"platformRef": {"name": "p"}, "graph": graph_of(id)}, "status": {"phase": "FAILED", "conditions": [condition]},
            }))
            .unwrap()
        };
        let of = |id, reason| graph(&schedule, &child(id, reason));
        assert!(matches!(of("a", reason::GRAPH_NOT_FOUND), Some(Graph::Unusable(..))));
        assert!(matches!(of("a", reason::GRAPH_NOT_ACCESSIBLE), Some(Graph::Refused(..))));
        assert_eq!(of("a", reason::PLATFORM_NOT_READY), None);
        assert_eq!(of("b", reason::GRAPH_NOT_FOUND), None);
    }
}
