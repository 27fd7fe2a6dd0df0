//! What a run has done but the database has not confirmed: journal entries, and the events that wait for them.
//!
//! Pure bookkeeping. Entries leave in order, one batch at a time; what was pushed together becomes durable together, because an output
//! without the inputs that it became would be lost for whoever takes the run over. An event leaves when the entry it tells about is durable.

use std::collections::VecDeque;

use model::{ExecutionEvent, JournalEntry, WrittenEntry};

pub struct Backlog {
    /// Position of the first entry that is in no confirmed batch.
    durable: i64,
    /// Position that the next pushed entry gets.
    next: i64,
    entries: VecDeque<WrittenEntry>,
    /// After how many of the entries each group ends, in all since the beginning.
    group_ends: VecDeque<i64>,
    bytes: usize,
    /// By the position of the last entry each tells about, ascending.
    events: VecDeque<(i64, ExecutionEvent)>,
}

/// The database is at a position that this process cannot go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database expects entry {expected}, but only those from {first} to {next} are known here")]
pub struct Gap {
    expected: i64,
    first: i64,
    next: i64,
}

impl Backlog {
    /// `next_seq` is the position that the next entry of the run has.
    pub fn new(next_seq: i64) -> Self {
        Self {
            durable: next_seq,
            next: next_seq,
            entries: VecDeque::new(),
            group_ends: VecDeque::new(),
            bytes: 0,
            events: VecDeque::new(),
        }
    }

    /// Every entry before this position is durable.
    pub fn durable(&self) -> i64 {
        self.durable
    }

    pub fn next_seq(&self) -> i64 {
        self.next
    }

    /// How much waits, in bytes of the call that carries it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, entries: &[JournalEntry]) {
        for entry in entries {
            let entry = WrittenEntry::from(entry);
            self.bytes += entry.size();
            self.next += 1;
            self.entries.push_back(entry);
        }
        if self.group_ends.back() != Some(&self.next) {
            self.group_ends.push_back(self.next);
        }
    }

    /// Events about entries that no batch has yet, ascending: they leave when those are durable.
    pub fn announce(&mut self, events: Vec<(i64, ExecutionEvent)>) {
        self.events.extend(events);
    }

    /// The next batch with its first position: whole groups, at least one, and beyond that no more than `limit` bytes.
    pub fn batch(&self, limit: usize) -> Option<(i64, Vec<WrittenEntry>)> {
        let mut bytes = 0;
        let fitting = self.entries.iter().take_while(|entry| {
            bytes += entry.size();
            bytes <= limit
        });
        let fitting = self.durable + i64::try_from(fitting.count()).unwrap_or(i64::MAX);
        let whole = self.group_ends.partition_point(|end| *end <= fitting).max(1);
        let end = *self.group_ends.get(whole - 1)?;
        let count = usize::try_from(end - self.durable).unwrap_or_default();
        let batch: Vec<WrittenEntry> = self.entries.iter().take(count).cloned().collect();
        (!batch.is_empty()).then_some((self.durable, batch))
    }

    /// Everything before `next_seq` is durable: returns the events that may be told now.
    pub fn applied(&mut self, next_seq: i64) -> Result<Vec<(i64, ExecutionEvent)>, Gap> {
        self.drop_before(next_seq)?;
        let ready = self.events.partition_point(|(seq, _)| *seq < next_seq);
        Ok(self.events.drain(..ready).collect())
    }

    fn drop_before(&mut self, next_seq: i64) -> Result<(), Gap> {
        if next_seq < self.durable || next_seq > self.next {
            return Err(Gap {
                expected: next_seq,
                first: self.durable,
                next: self.next,
            });
        }
        while self.durable < next_seq {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= entry.size();
            }
            self.durable += 1;
        }
        let done = self.group_ends.partition_point(|end| *end <= self.durable);
        self.group_ends.drain(..done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ExecutionStatus;

    fn entry() -> JournalEntry {
        JournalEntry::RunStatus {
            status: ExecutionStatus::Running,
            stats: None,
            at: serde_json::from_str("\"2026-01-02T03:04:05.678901Z\"").unwrap(),
        }
    }

    fn with_entries(count: usize) -> Backlog {
        let mut backlog = Backlog::new(5);
        backlog.push(&vec![entry(); count]);
        backlog
    }

    #[test]
    fn entries_leave_in_order_and_stay_until_they_are_confirmed() {
        let mut backlog = with_entries(3);
        let (first, batch) = backlog.batch(usize::MAX).unwrap();
        assert_eq!((first, batch.len()), (5, 3));
        backlog.push(&[entry()]);
        assert_eq!(backlog.durable(), 5);
        backlog.applied(8).unwrap();
        assert_eq!(backlog.durable(), 8);
        let (first, batch) = backlog.batch(usize::MAX).unwrap();
        assert_eq!((first, batch.len()), (8, 1));
        backlog.applied(9).unwrap();
        assert!(backlog.bytes() == 0 && backlog.batch(1).is_none());
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty_and_never_ends_within_a_group() {
        let mut backlog = with_entries(2);
        backlog.push(&[entry()]);
        backlog.push(&[entry(), entry()]);
        let length = |backlog: &Backlog, entries: usize| backlog.batch(entries * WrittenEntry::from(&entry()).size()).unwrap().1.len();
        assert_eq!(
            (length(&backlog, 1), length(&backlog, 3), length(&backlog, 4), length(&backlog, 5)),
            (2, 3, 3, 5)
        );
        // An answer may come for a part: the database had applied more of an earlier, longer batch.
        backlog.applied(9).unwrap();
        assert_eq!(length(&backlog, 1), 1);
    }

    #[test]
    fn a_retry_from_an_earlier_position_than_known_is_a_gap() {
        let mut backlog = with_entries(3);
        backlog.applied(6).unwrap();
        assert!(backlog.applied(5).is_err());
        assert!(backlog.applied(9).is_err());
        assert_eq!(backlog.durable(), 6);
    }
}
