//! Whose turn it is to be claimed, remembered between claims. Pure but for the clock that its callers read.
//!
//! Finding out who waits costs a step for every user's graph that does. So the order is read once and used up by many claims: each pair
//! pays for itself, and a claim costs what it takes. The order is read again when it is used up, and when it is so old that reading it
//! costs less than a twentieth of the time: who came meanwhile waits no longer than that for being seen.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use model::{GraphId, UserId};

/// An order is good for so many times the time that it took to read.
const WORTH: u32 = 20;

/// A user's graph that has runs waiting.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub last_claimed_at: Option<DateTime<Utc>>,
}

/// A pair whose turn it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    pub pair: Candidate,
    /// Place of its user among the users.
    pub user: i32,
}

#[derive(Debug, Default)]
pub(crate) struct Turns {
    order: VecDeque<Turn>,
    good_until: Option<Instant>,
}

impl Turns {
    /// The next `slots` pairs; none when the order has to be read again for that.
    pub fn take(&mut self, slots: usize, now: Instant) -> Option<Vec<Turn>> {
        let good = self.good_until.is_some_and(|until| now < until) && self.order.len() >= slots;
        good.then(|| self.order.drain(..slots).collect())
    }

    /// Remembers who waits, as it was read from `asked` to `now`, and gives the first `slots` pairs, or as many as there are.
    ///
    /// A round in which not everybody has a turn is not remembered: who has one graph with many runs would be passed over by who has many graphs.
    pub fn learn(&mut self, candidates: Vec<Candidate>, slots: usize, asked: Instant, now: Instant) -> Vec<Turn> {
        let whole_rounds;
        (self.order, whole_rounds) = fair_order(candidates);
        self.good_until = now.checked_add((now - asked).max(Duration::from_micros(100)) * WORTH);
        let first = self.order.len().min(slots);
        let taken = self.order.drain(..first).collect();
        self.order.truncate(whole_rounds.saturating_sub(first));
        taken
    }
}

/// Users by how long ago they were last served, and each user's graphs likewise, in rounds over the users; and how many of these turns belong
/// to rounds in which every user has one.
fn fair_order(candidates: Vec<Candidate>) -> (VecDeque<Turn>, usize) {
    let mut served: HashMap<UserId, Option<DateTime<Utc>>> = HashMap::new();
    let mut graphs: HashMap<UserId, Vec<Candidate>> = HashMap::new();
    for candidate in candidates {
        let last = served.entry(candidate.user_id).or_default();
        *last = (*last).max(candidate.last_claimed_at);
        graphs.entry(candidate.user_id).or_default().push(candidate);
    }
    let mut users: Vec<(Option<DateTime<Utc>>, UserId)> = served.into_iter().map(|(user_id, last)| (last, user_id)).collect();
    users.sort_unstable();
    let whole_rounds = users.len() * graphs.values().map(Vec::len).min().unwrap_or_default();
    let mut in_rounds = Vec::new();
    for (user, (_, user_id)) in (0_i32..).zip(users) {
        let mut of_user = graphs.remove(&user_id).unwrap_or_default();
        of_user.sort_by_key(|candidate| (candidate.last_claimed_at, candidate.graph_id));
        in_rounds.extend(of_user.into_iter().enumerate().map(|(round, pair)| (round, Turn { pair, user })));
    }
    in_rounds.sort_by_key(|(round, turn)| (*round, turn.user));
    (in_rounds.into_iter().map(|(_, turn)| turn).collect(), whole_rounds)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn candidate(user: u128, graph: u128, served_minute: Option<i64>) -> Candidate {
        Candidate {
            user_id: Uuid::from_u128(user),
            graph_id: Uuid::from_u128(graph),
            last_claimed_at: served_minute.and_then(|minute| DateTime::from_timestamp(minute * 60, 0)),
        }
    }

    fn pairs(turns: &[Turn]) -> Vec<(u128, u128)> {
        turns
            .iter()
            .map(|turn| (turn.pair.user_id.as_u128(), turn.pair.graph_id.as_u128()))
            .collect()
    }

    fn four() -> Vec<Candidate> {
        vec![
            candidate(1, 10, Some(5)),
            candidate(1, 11, None),
            candidate(2, 20, Some(3)),
            candidate(3, 30, None),
        ]
    }

    #[test]
    fn users_take_turns_and_who_waited_longest_is_first() {
        let now = Instant::now();
        assert_eq!(pairs(&Turns::default().learn(four(), 10, now, now)), [(3, 30), (2, 20), (1, 11), (1, 10)]);
    }

    #[test]
    fn an_order_is_used_up_before_it_is_read_again() {
        let now = Instant::now();
        let mut turns = Turns::default();
        assert_eq!(turns.take(1, now), None);
        assert_eq!(pairs(&turns.learn(four(), 1, now, now)), [(3, 30)]);
        assert_eq!(pairs(&turns.take(1, now).unwrap()), [(2, 20)]);
        assert_eq!(turns.take(2, now), None, "one is left: who else waits has to be looked up");
        assert_eq!(pairs(&turns.take(1, now).unwrap()), [(1, 11)]);
        assert_eq!(turns.take(1, now), None);
    }

    #[test]
    fn a_round_in_which_not_everybody_has_a_turn_is_not_remembered() {
        let now = Instant::now();
        let mut turns = Turns::default();
        assert_eq!(pairs(&turns.learn(four(), 3, now, now)), [(3, 30), (2, 20), (1, 11)]);
        assert_eq!(
            turns.take(1, now),
            None,
            "the first user has another graph, the others have only other runs"
        );
        let alone = (10..15).map(|graph| candidate(1, graph, None)).collect();
        turns.learn(alone, 1, now, now);
        assert_eq!(turns.take(4, now).unwrap().len(), 4);
    }

    #[test]
    fn an_order_is_good_for_twenty_times_what_it_cost() {
        let asked = Instant::now();
        let read = asked + Duration::from_millis(5);
        for (age, good) in [(99, true), (100, false)] {
            let mut turns = Turns::default();
            turns.learn(four(), 0, asked, read);
            assert_eq!(turns.take(1, read + Duration::from_millis(age)).is_some(), good, "{age} ms");
        }
    }
}
