//! Which finished executions of a schedule may go.

use std::sync::Arc;

use crds::GraphExecution;
use crds::conditions::{self, SUCCEEDED};
use crds::schedule::HistoryLimit;
use schedule::decide::Book;

use crate::schedule::family::{Family, end, is_decided};

/// The executions beyond the limits, oldest first. Only those that have their decision and are counted: the name of
/// another one is still needed as the sign that its time has fired.
pub fn surplus(family: &Family, limit: &HistoryLimit, book: &Book) -> Vec<Arc<GraphExecution>> {
    let may_go = family.all().filter(|(due, child)| {
        child.metadata.deletion_timestamp.is_none() && end(child).is_some() && is_decided(book, due) && !book.active.contains(due)
    });
    let (mut succeeded, mut failed): (Vec<_>, Vec<_>) = may_go.map(|(_, child)| child.clone()).partition(|child| {
        child
            .status
            .as_ref()
            .is_some_and(|status| conditions::is_true(&status.conditions, SUCCEEDED))
    });
    let mut surplus = Vec::new();
    for (list, keep) in [(&mut succeeded, limit.succeeded), (&mut failed, limit.failed)] {
        list.sort_by(|one, other| other.spec.scheduled_for.cmp(&one.spec.scheduled_for));
        surplus.extend(list.drain(..).skip(usize::try_from(keep).unwrap_or_default()));
    }
    surplus.sort_by(|one, other| one.spec.scheduled_for.cmp(&other.spec.scheduled_for));
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::child;
    use crds::GraphSchedule;
    use kube::ResourceExt;
    use schedule::decide::Due;
    use serde_json::json;

    fn child(minute: u32, phase: &str, succeeded: &str) -> Arc<GraphExecution> {
        let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": "u", "controller": true}]);
        let execution = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name(minute), "ownerReferences": owner},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "scheduledFor": format!("2026-01-01T00:{minute:02}:00Z")},
            "status": {"phase": phase, "conditions": [{"type": "Succeeded", "status": succeeded, "reason": "x", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        Arc::new(serde_json::from_value(execution).unwrap())
    }

    fn due(minute: u32) -> Due {
        format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
    }

    fn name(minute: u32) -> String {
        child::name("s", "u", &due(minute))
    }

    fn through(minute: u32) -> Book {
        Book {
            decided_through: Some(due(minute).slot),
            ..Book::default()
        }
    }

    fn family(children: impl IntoIterator<Item = Arc<GraphExecution>>) -> Family {
        let schedule: GraphSchedule = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "uid": "u"},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": []},
        }))
        .unwrap();
        Family::of(&schedule, children)
    }

    #[test]
    fn the_oldest_of_each_verdict_go_first() {
        let family = family([
            child(1, "COMPLETED", "True"),
            child(2, "COMPLETED", "False"),
            child(3, "COMPLETED", "True"),
            child(4, "FAILED", "False"),
            child(5, "RUNNING", "Unknown"),
            child(6, "COMPLETED", "True"),
        ]);
        let limit = HistoryLimit { succeeded: 1, failed: 1 };
        let names: Vec<String> = surplus(&family, &limit, &through(9)).iter().map(|child| child.name_any()).collect();
        assert_eq!(names, [1, 2, 3].map(name));
    }

    #[test]
    fn a_copy_under_another_name_takes_no_place_in_the_family() {
        let original = child(1, "COMPLETED", "True");
        let mut copy = child(1, "TERMINATED", "False");
        Arc::make_mut(&mut copy).metadata.name = Some("z".to_owned());
        let mut alone = child(2, "COMPLETED", "True");
        Arc::make_mut(&mut alone).metadata.name = Some("a".to_owned());
        let family = family([original.clone(), copy, alone]);
        assert_eq!((family.get(&due(1)), family.all().count()), (Some(&original), 1));
        assert!(family.made(&Book::default()).iter().eq([&due(1)]));
    }

    #[test]
    fn an_execution_whose_time_is_not_decided_or_that_is_not_counted_stays() {
        let family = family([child(1, "COMPLETED", "True")]);
        let none = HistoryLimit { succeeded: 0, failed: 0 };
        assert!(surplus(&family, &none, &through(0)).is_empty());
        assert!(surplus(&family, &none, &Book::default()).is_empty());
        let uncounted = Book {
            active: vec![due(1)],
            ..through(1)
        };
        assert!(surplus(&family, &none, &uncounted).is_empty());
        assert_eq!(surplus(&family, &none, &through(1)).len(), 1);
    }
}
