//! The order between rooms. Redis sends the events of all channels in the order in which they were published, but every room hands its own
//! out by itself. A client that hears a run and its graph must be told of both in one order (internals §3.2), or it would take the run for
//! over before its last node, or for running again when it is over. So what tells of a run in one of its rooms waits until the others have
//! handed out what was received before. Nobody waits for what came later, so the earliest of all never waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Where a room's pump says how far it is.
#[derive(Default)]
pub struct Abreast {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
struct State {
    /// The pump hands out. It does not before it has begun, while it waits for the database after a gap, and when it has ended.
    follows: bool,
    /// The place of what the pump has in hand. All before it is handed out.
    place: u64,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

impl Abreast {
    /// Returns when the pump has handed out what was received before `place`; at once when it does not hand out.
    pub async fn reached(&self, place: u64) {
        let (sender, reached) = oneshot::channel();
        {
            let mut state = self.lock();
            if !state.follows || state.place >= place {
                return;
            }
            state.waiting.push((place, sender));
        }
        self.asked.notify_one();
        // An error means the same: nobody is there who could be behind.
        let _ = reached.await;
    }

    /// For the pump: returns when somebody waits for it.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// For the pump, when it has taken what has this place and handed out all before.
    pub fn takes(&self, place: u64) {
        let mut state = self.lock();
        state.place = place;
        state.waiting.retain_mut(|(waits_for, _)| *waits_for > place);
    }

    /// For the pump, when it has nothing in hand: answers all who wait, unless something was received before they asked.
    pub fn answer(&self, is_empty: impl FnOnce() -> bool) {
        let mut state = self.lock();
        // Looked at while nobody can ask: what was received before the last one asked is seen.
        if is_empty() {
            state.waiting.clear();
        } else {
            self.asked.notify_one();
        }
    }

    /// For the pump: whether it hands out from now on.
    pub fn follow(&self, follows: bool) {
        let mut state = self.lock();
        state.follows = follows;
        if !follows {
            state.waiting.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Abreast;

    #[tokio::test]
    async fn who_asks_waits_for_a_pump_that_hands_out_and_for_no_other() {
        let abreast = Arc::new(Abreast::default());
        abreast.reached(7).await;
        abreast.follow(true);
        let ask = |place| {
            let abreast = abreast.clone();
            tokio::spawn(async move { abreast.reached(place).await })
        };
        let waits = ask(7);
        abreast.asked().await;
        abreast.answer(|| false);
        abreast.asked().await;
        assert!(!waits.is_finished());
        abreast.answer(|| true);
        waits.await.unwrap();
        let waits = ask(7);
        abreast.asked().await;
        abreast.follow(false);
        waits.await.unwrap();
        abreast.reached(7).await;
    }

    #[tokio::test]
    async fn nobody_waits_for_what_came_later() {
        let abreast = Arc::new(Abreast::default());
        abreast.follow(true);
        let ask = |place| {
            let abreast = abreast.clone();
            tokio::spawn(async move { abreast.reached(place).await })
        };
        let (early, late) = (ask(7), ask(9));
        abreast.asked().await;
        abreast.takes(8);
        early.await.unwrap();
        abreast.reached(8).await;
        assert!(!late.is_finished());
        abreast.takes(10);
        late.await.unwrap();
    }
}
