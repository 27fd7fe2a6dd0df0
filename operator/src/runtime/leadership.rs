//! Whether this process leads, and until when.
//!
//! The work of the controllers exists before they lead: their caches are filled, and their looks end at once. When leadership begins,
//! every object is looked at. Its end is a moment of the monotonic clock: nothing is written after it, whatever the process was doing, be
//! it that it was stopped and goes on. A Lease that is renewed at the last moment may have ended for a while by that clock: what was to be
//! looked at meanwhile is forgotten, so that everything is looked at again.

use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the controllers know of it. Cheap to clone.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<Term>);

/// Where it comes from.
pub struct Grant(watch::Sender<Term>);

#[derive(Clone, Copy, Default)]
struct Term {
    /// How often it has begun.
    number: u64,
    end: Option<Instant>,
}

impl Term {
    fn holds(self) -> bool {
        self.end.is_some_and(|end| Instant::now() < end)
    }
}

/// Not leading yet.
pub fn standby() -> (Grant, Leadership) {
    let (sender, receiver) = watch::channel(Term::default());
    (Grant(sender), Leadership(receiver))
}

impl Grant {
    /// This process leads until then.
    pub fn until(&self, end: Instant) {
        self.0.send_modify(|term| {
            let held = term.holds();
            term.end = Some(end);
            if !held && term.holds() {
                term.number = term.number.wrapping_add(1);
            }
        });
    }
}

impl Leadership {
    /// Whether this process leads now.
    pub fn holds(&self) -> bool {
        self.0.borrow().holds()
    }

    /// Yields whenever it begins; at once when it has begun.
    pub fn begins(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures::stream::unfold((self.0.clone(), 0), async |(mut terms, known)| {
            let begun = terms.wait_for(|term| term.number != known).await.ok()?.number;
            Some(((), (terms, begun)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use std::time::Duration;

    #[tokio::test]
    async fn it_begins_and_ends_by_the_clock() {
        let (grant, leadership) = standby();
        let mut begins = Box::pin(leadership.begins());
        assert!(futures::poll!(begins.next()).is_pending());
        assert!(!leadership.holds());
        let now = Instant::now();
        grant.until(now + Duration::from_secs(3600));
        assert!(leadership.holds());
        assert_eq!(begins.next().await, Some(()));
        grant.until(now + Duration::from_secs(7200));
        assert!(futures::poll!(begins.next()).is_pending(), "it goes on");
        grant.until(now);
        assert!(!leadership.holds(), "not renewed in time");
        assert!(futures::poll!(begins.next()).is_pending());
        grant.until(now + Duration::from_secs(3600));
        assert_eq!(begins.next().await, Some(()), "renewed too late: it begins anew");
        let mut late = Box::pin(leadership.begins());
        assert_eq!(late.next().await, Some(()), "who comes late hears of it, too");
        drop(grant);
        assert_eq!((begins.next().await, late.next().await), (None, None));
    }
}
