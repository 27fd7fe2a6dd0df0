//! Work in a task of its own that does not outlive who waits for it.

use std::future::{Future, pending};

use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Carries it out beside the caller, who takes it along when he goes, and whom its panic becomes.
///
/// A controller asks each of its looks how it is whenever any of them, or anything that it listens to, moves on. A thousand looks that wait
/// for the API server cost it next to nothing so, and one that computes keeps nobody waiting.
pub async fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let error = match AbortOnDropHandle::new(tokio::spawn(work.in_current_span())).await {
        Ok(outcome) => return outcome,
        Err(error) => error,
    };
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Nobody else aborts it: the whole process ends.
        Err(_) => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_ends_with_who_waits_for_it() {
        assert_eq!(beside(async { 1 }).await, 1);
        let (held, gone) = oneshot::channel::<()>();
        let mut work = Box::pin(beside(async move {
            let _held = held;
            pending::<()>().await;
        }));
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "as it was")]
    async fn a_panic_is_passed_on() {
        beside(async { panic!("as it was") }).await;
    }
}
