//! Where due times come from, as far as decisions need to know.

use chrono::{DateTime, TimeDelta, Utc};

use crate::Calendar;

/// Due times in whole seconds. Looking back and looking forward must agree.
pub trait Slots {
    /// The first due time after an instant.
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>>;

    /// The last due time not after an instant.
    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>>;
}

impl Slots for Calendar {
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Self::next_after(self, instant)
    }

    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Self::last_at_or_before(self, instant)
    }
}

/// The last due time before an instant.
pub(super) fn last_before(slots: &impl Slots, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    slots.last_at_or_before(instant - TimeDelta::seconds(1))
}

/// The first of the newest `count` due times in `(after, through]`; with a count of nought nothing.
pub(super) fn first_of_newest(slots: &impl Slots, after: DateTime<Utc>, through: DateTime<Utc>, count: usize) -> Option<DateTime<Utc>> {
    let newest = slots.last_at_or_before(through).filter(|due| *due > after);
    let mut back = std::iter::successors(newest, |due| last_before(slots, *due).filter(|before| before > &after));
    back.by_ref().take(count).last()
}

/// How many due times lie in `[first, last]`, counted up to `most`.
pub(super) fn count(slots: &impl Slots, first: DateTime<Utc>, last: DateTime<Utc>, most: usize) -> usize {
    std::iter::successors(Some(first), |due| slots.next_after(*due))
        .take_while(|due| *due <= last)
        .take(most)
        .count()
}
