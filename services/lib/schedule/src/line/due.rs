//! When a line is due in a zone.

use super::Line;
use crate::zone::{Shown, Zone};

impl Line {
    /// The first due second after `instant`.
    pub fn next_after(&self, zone: Zone, instant: i64) -> Option<i64> {
        match self.follows_wall_clock {
            true => self.next_shown(zone, instant),
            false => first_reached(zone, self.next_wall(wall_reached(zone, instant)?)?),
        }
    }

    /// The last due second not after `instant`.
    pub fn last_until(&self, zone: Zone, instant: i64) -> Option<i64> {
        match self.follows_wall_clock {
            true => self.last_shown(zone, instant),
            false => first_reached(zone, self.last_wall(wall_reached(zone, instant)? - 1)?),
        }
    }

    /// The first instant after `instant` at which the wall clock shows a time of this line.
    fn next_shown(&self, zone: Zone, instant: i64) -> Option<i64> {
        let wall = zone.wall(instant)?;
        let again = match zone.shown(wall)? {
            Shown::Twice(first, second) if first == instant => self.first_in_second_pass(zone, first, second),
            _ => None,
        };
        let later = self.next_shown_from(zone, instant, wall + 1);
        again.into_iter().chain(later).min()
    }

    /// The first instant after `instant` at which the wall clock shows a time of this line that is not before `wall`.
    fn next_shown_from(&self, zone: Zone, instant: i64, mut wall: i64) -> Option<i64> {
        loop {
            let time = self.next_wall(wall)?;
            wall = match zone.shown(time)? {
                Shown::Once(at) | Shown::Twice(at, _) if at > instant => return Some(at),
                Shown::Twice(_, at) if at > instant => return Some(at),
                Shown::Once(_) | Shown::Twice(..) => time + 1,
                Shown::Never(gap) => gap.to,
            };
        }
    }

    /// The clock will be put back: the first time of this line that is shown again, given the instants of some time that is.
    fn first_in_second_pass(&self, zone: Zone, first: i64, second: i64) -> Option<i64> {
        let overlap = zone.overlap(first, second)?;
        match zone.shown(self.next_wall(overlap.from)?)? {
            Shown::Twice(_, second) if second > first => Some(second),
            _ => None,
        }
    }

    /// The last instant not after `instant` at which the wall clock showed a time of this line.
    fn last_shown(&self, zone: Zone, instant: i64) -> Option<i64> {
        let wall = zone.wall(instant)?;
        let before = match zone.shown(wall)? {
            Shown::Twice(first, second) if second == instant => self.last_in_first_pass(zone, first, second),
            _ => None,
        };
        let later = self.last_shown_from(zone, instant, wall);
        before.into_iter().chain(later).max()
    }

    /// The last instant not after `instant` at which the wall clock showed a time of this line that is not after `wall`.
    fn last_shown_from(&self, zone: Zone, instant: i64, mut wall: i64) -> Option<i64> {
        loop {
            let time = self.last_wall(wall)?;
            wall = match zone.shown(time)? {
                Shown::Once(at) | Shown::Twice(_, at) if at <= instant => return Some(at),
                Shown::Twice(at, _) if at <= instant => return Some(at),
                Shown::Once(_) | Shown::Twice(..) => time - 1,
                Shown::Never(gap) => gap.from - 1,
            };
        }
    }

    /// The clock was put back: the last time of this line that was shown before, given the instants of some time that was shown twice.
    fn last_in_first_pass(&self, zone: Zone, first: i64, second: i64) -> Option<i64> {
        let overlap = zone.overlap(first, second)?;
        match zone.shown(self.last_wall(overlap.to - 1)?)? {
            Shown::Twice(first, _) if first < second => Some(first),
            _ => None,
        }
    }
}

/// The wall clock has shown or passed every time before this one by the end of the second `instant`.
fn wall_reached(zone: Zone, instant: i64) -> Option<i64> {
    let wall = zone.wall(instant)?;
    match zone.shown(wall)? {
        Shown::Twice(first, second) if second == instant => Some(zone.overlap(first, second)?.to),
        _ => Some(wall + 1),
    }
}

/// The first instant at which the wall clock shows a time or has passed it.
fn first_reached(zone: Zone, wall: i64) -> Option<i64> {
    Some(match zone.shown(wall)? {
        Shown::Once(at) | Shown::Twice(at, _) => at,
        Shown::Never(gap) => gap.end,
    })
}
