//! Whether this process leads, and until when.
//!
//! The work of the controllers exists before they lead: their caches are filled, and their looks end at once. When leadership begins,
//! every object is looked at. Its end is a moment of the monotonic clock: nothing is written after it, whatever the process was doing, be
//! it that it was stopped and goes on.

use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// What the controllers know of it. Cheap to clone.
#[derive(Clone)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

/// Where it comes from.
pub struct Grant(watch::Sender<Option<Instant>>);

/// Not leading yet.
pub fn standby() -> (Grant, Leadership) {
    let (sender, receiver) = watch::channel(None);
    (Grant(sender), Leadership(receiver))
}

impl Grant {
    /// This process leads until then.
    pub fn until(&self, end: Instant) {
        self.0.send_replace(Some(end));
    }
}

impl Leadership {
    /// Whether this process leads now.
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|end| Instant::now() < end)
    }

    /// Yields once, when it begins.
    pub fn begins(&self) -> impl Stream<Item = ()> + Send + 'static {
        let mut until = self.0.clone();
        let begun = async move { until.wait_for(Option::is_some).await.ok().map(|_| ()) };
        futures::stream::once(begun).filter_map(std::future::ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_begins_once_and_ends_by_the_clock() {
        let (grant, leadership) = standby();
        let mut begins = Box::pin(leadership.begins());
        assert!(futures::poll!(begins.next()).is_pending());
        assert!(!leadership.holds());
        let now = Instant::now();
        grant.until(now + Duration::from_secs(3600));
        assert!(leadership.holds());
        assert_eq!((begins.next().await, begins.next().await), (Some(()), None));
        grant.until(now);
        assert!(!leadership.holds(), "not renewed in time");
        assert_eq!(leadership.begins().collect::<Vec<()>>().await.len(), 1, "who comes late hears of it, too");
    }
}
