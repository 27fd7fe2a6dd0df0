//! Waiting for what becomes true in its own time.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Looks until the look yields something, for at most a minute. The last reason why not is shown otherwise.
pub async fn eventually<T, E: Debug, Fut: Future<Output = Result<T, E>>>(what: &str, look: impl FnMut() -> Fut) -> T {
    within(Duration::from_secs(60), what, look).await
}

/// As [`eventually`], with another limit.
pub async fn within<T, E: Debug, Fut: Future<Output = Result<T, E>>>(limit: Duration, what: &str, mut look: impl FnMut() -> Fut) -> T {
    let began = Instant::now();
    loop {
        let why = match look().await {
            Ok(found) => return found,
            Err(why) => why,
        };
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}; at last: {why:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
