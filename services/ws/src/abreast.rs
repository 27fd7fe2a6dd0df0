//! The order between rooms. Redis sends the events of all channels in the order in which they were published, but every room hands its own
//! out by itself. What is told of a run in the room of its graph must not overtake what was told before in the run's own room: a client that
//! hears both would take the run for over before its last node (internals §3.2 has one order for both).

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Where a room's pump says that it has handed out all that it had received.
#[derive(Default)]
pub struct Abreast {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
struct State {
    /// The pump hands out. It does not before it has begun, while it waits for the database after a gap, and when it has ended.
    follows: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Abreast {
    /// Returns when the pump has handed out what it has received so far; at once when it does not hand out.
    pub async fn reached(&self) {
        let (sender, reached) = oneshot::channel();
        {
            let mut state = self.lock();
            if !state.follows {
                return;
            }
            state.waiting.push(sender);
        }
        self.asked.notify_one();
        // An error means the same: nobody is there who could be behind.
        let _ = reached.await;
    }

    /// For the pump: returns when somebody waits for it.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// For the pump, when it has nothing left to hand out.
    pub fn answer(&self) {
        for waiting in std::mem::take(&mut self.lock().waiting) {
            let _ = waiting.send(());
        }
    }

    /// For the pump: whether it hands out from now on.
    pub fn follow(&self, follows: bool) {
        self.lock().follows = follows;
        if !follows {
            self.answer();
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
        abreast.reached().await;
        abreast.follow(true);
        let ask = || {
            let abreast = abreast.clone();
            tokio::spawn(async move { abreast.reached().await })
        };
        let waits = ask();
        abreast.asked().await;
        assert!(!waits.is_finished());
        abreast.answer();
        waits.await.unwrap();
        let waits = ask();
        abreast.asked().await;
        abreast.follow(false);
        waits.await.unwrap();
        abreast.reached().await;
    }
}
