//! What a look at a due time needs, made ready shortly before: the schedule and its executions opened, and the executions written that the
//! look will most likely create. What is left for the due time is to decide and to send.
//!
//! Nothing is decided ahead and nothing is sent. A look takes what is ready only when it was made of the very objects that the look finds, so
//! an edit, a pause, a deletion or an execution that changed in between discards it; and an execution that the look does not want is not made,
//! however ready it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use crds::{GraphExecution, GraphSchedule};
use kube::ResourceExt;
use schedule::decide::{BATCH, Due, Effect};

use crate::runtime::kept::{Kept, OpenError};
use crate::schedule::child;
use crate::schedule::family::Family;
use crate::schedule::look::{Surroundings, look};

/// Schedules that are ready at the same time; more are looked at without.
const MOST: usize = 1024;
/// What was not taken so long after its time never will be.
const STALE: TimeDelta = TimeDelta::seconds(5);

/// The objects that a look finds.
#[derive(Clone)]
pub struct Found {
    pub schedule: Arc<Kept<GraphSchedule>>,
    pub children: Vec<Arc<Kept<GraphExecution>>>,
}

impl Found {
    /// Whether nothing has changed. Every change that a watch shows is another row.
    fn is_same(&self, other: &Self) -> bool {
        let pairs = self.children.iter().zip(&other.children);
        Arc::ptr_eq(&self.schedule, &other.schedule)
            && self.children.len() == other.children.len()
            && pairs.into_iter().all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// The executions that a look is likely to create, as they are sent.
pub type Written = HashMap<Due, Vec<u8>>;

/// What is ready for one look.
pub struct Ready {
    pub schedule: GraphSchedule,
    pub family: Family,
    pub written: Written,
}

impl Ready {
    /// Opens what was found.
    pub fn open(found: &Found) -> Result<Self, OpenError> {
        let schedule = found.schedule.open()?;
        let children: Result<Vec<_>, _> = found.children.iter().map(|child| child.open().map(Arc::new)).collect();
        Ok(Self {
            family: Family::of(&schedule, children?),
            schedule,
            written: Written::new(),
        })
    }

    /// Goes through the look that is to come, and writes what it would create.
    fn rehearse(&mut self, platform: bool, at: DateTime<Utc>) {
        let around = Surroundings {
            family: &self.family,
            gone: &[],
            platform,
            most: BATCH,
        };
        for effect in look(&self.schedule, &around, at).step.effects {
            if let Effect::Create(due) = effect
                && let Some(body) = child::written(&self.schedule, &due)
            {
                self.written.insert(due, body);
            }
        }
    }
}

/// What is ready for looks, and for when.
#[derive(Default)]
pub struct Prepared(Mutex<Known>);

/// By name of the schedule.
type Known = HashMap<String, (DateTime<Utc>, Found, Ready)>;

impl Prepared {
    /// Makes ready what the look at `at` needs.
    pub fn prepare(&self, found: Found, platform: bool, at: DateTime<Utc>) -> Result<(), OpenError> {
        if self.locked(|known| known.len()) >= MOST {
            self.locked(|known| known.retain(|_, (due, ..)| *due + STALE > at));
            if self.locked(|known| known.len()) >= MOST {
                return Ok(());
            }
        }
        let mut ready = Ready::open(&found)?;
        if ready.schedule.metadata.deletion_timestamp.is_none() {
            ready.rehearse(platform, at);
            self.locked(|known| known.insert(found.schedule.name_any(), (at, found, ready)));
        }
        Ok(())
    }

    /// What was made ready of these objects, if that is there. It is there once.
    pub fn take(&self, found: &Found) -> Option<Ready> {
        let (_, before, ready) = self.locked(|known| known.remove(&found.schedule.name_any()))?;
        before.is_same(found).then_some(ready)
    }

    fn locked<T>(&self, use_known: impl FnOnce(&mut Known) -> T) -> T {
        use_known(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::kept::Packer;
    use serde_json::{Value, json};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(spec: Value) -> Arc<Kept<GraphSchedule>> {
        let mut all = json!({"platformRef": {"name": "p"}, "graph": {"id": "g"}, "schedules": ["@hourly"]});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let schedule: GraphSchedule = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule",
            "metadata": {"name": "s", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:30:00Z"}, "spec": all,
        }))
        .unwrap();
        Arc::new(Packer::default().pack(schedule).unwrap())
    }

    fn execution(phase: &str) -> Arc<Kept<GraphExecution>> {
        let owner = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "s", "uid": "u", "controller": true});
        let name = child::name("s", "u", &"2026-01-01T00:00:00Z".parse().unwrap());
        let execution: GraphExecution = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name, "namespace": "n", "ownerReferences": [owner]},
            "spec": {"platformRef": {"name": "p"}, "graph": {"id": "g"}, "scheduledFor": "2026-01-01T00:00:00Z"}, "status": {"phase": phase},
        }))
        .unwrap();
        Arc::new(Packer::default().pack(execution).unwrap())
    }

    fn found() -> Found {
        Found {
            schedule: schedule(json!({})),
            children: vec![execution("RUNNING")],
        }
    }

    const DUE: &str = "2026-01-01T01:00:00Z";

    #[test]
    fn what_was_written_is_what_a_look_would_create() {
        let (prepared, found) = (Prepared::default(), found());
        prepared.prepare(found.clone(), true, at(DUE)).unwrap();
        let ready = prepared.take(&found).unwrap();
        let due: Due = DUE.parse().unwrap();
        let child: GraphExecution = serde_json::from_slice(&ready.written[&due]).unwrap();
        let expected = child::child(&found.schedule.open().unwrap(), &due).unwrap();
        assert_eq!(serde_json::to_value(child).unwrap(), serde_json::to_value(expected).unwrap());
        assert_eq!((ready.written.len(), ready.family.all().count()), (1, 1));
        assert!(prepared.take(&found).is_none(), "it is there once");
    }

    #[test]
    fn whatever_changes_in_between_discards_what_was_prepared() {
        let before = found();
        let other_schedule = |spec| Found {
            schedule: schedule(spec),
            ..before.clone()
        };
        let other_children = |children| Found { children, ..before.clone() };
        for (what, now) in [
            ("an edit", other_schedule(json!({"graph": {"id": "h"}}))),
            ("a pause", other_schedule(json!({"suspend": {}}))),
            ("deleted and made anew", other_schedule(json!({}))),
            ("an execution that ended", other_children(vec![execution("COMPLETED")])),
            ("an execution that went", other_children(vec![])),
            (
                "one more execution",
                other_children(vec![before.children[0].clone(), execution("QUEUED")]),
            ),
        ] {
            let prepared = Prepared::default();
            prepared.prepare(before.clone(), true, at(DUE)).unwrap();
            assert!(prepared.take(&now).is_none(), "{what}");
            assert!(prepared.take(&before).is_none(), "{what}: and it does not come back");
        }
    }

    #[test]
    fn nothing_is_written_for_a_schedule_that_will_not_fire() {
        for (spec, platform) in [
            (json!({"suspend": {}}), true),
            (json!({}), false),
            (json!({"schedules": ["no cron"]}), true),
        ] {
            let found = Found {
                schedule: schedule(spec),
                children: Vec::new(),
            };
            let prepared = Prepared::default();
            prepared.prepare(found.clone(), platform, at(DUE)).unwrap();
            assert!(prepared.take(&found).unwrap().written.is_empty());
        }
    }

    #[test]
    fn there_is_a_bound_and_what_is_stale_goes() {
        let prepared = Prepared::default();
        let named = |number: usize| {
            let mut schedule = schedule(json!({})).open().unwrap();
            schedule.metadata.name = Some(format!("s-{number}"));
            Found {
                schedule: Arc::new(Packer::default().pack(schedule).unwrap()),
                children: Vec::new(),
            }
        };
        for number in 0..=MOST {
            prepared.prepare(named(number), true, at(DUE)).unwrap();
        }
        assert_eq!(prepared.locked(|known| known.len()), MOST);
        prepared.prepare(named(MOST), true, at(DUE) + STALE * 2).unwrap();
        assert_eq!(prepared.locked(|known| known.len()), 1);
    }
}
