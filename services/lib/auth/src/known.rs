//! Tokens that were checked a moment ago: a signature says nothing new when it is checked again, only the time and the keys can change.

use std::time::Duration;

use moka::future::Cache;

use crate::token::Claims;

/// Bytes of tokens and of what they say that are kept, about.
const MOST_BYTES: u64 = 8 << 20;
/// What an entry takes beside its token.
const OVERHEAD: usize = 512;
/// From time to time a token is checked as if it were new, which also asks for keys that have become old.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// What good tokens say.
pub(crate) struct Known(Cache<Box<str>, Entry>);

#[derive(Clone)]
struct Entry {
    claims: Claims,
    /// Which keys it was checked with.
    keys: u64,
}

impl Known {
    pub fn new() -> Self {
        let builder = Cache::<Box<str>, Entry>::builder().max_capacity(MOST_BYTES).time_to_live(KEPT_FOR);
        let weighed = builder.weigher(|token, _| u32::try_from(token.len() + OVERHEAD).unwrap_or(u32::MAX));
        Self(weighed.build())
    }

    /// What `token` says when it was found good with the same keys and has not expired at `now` (Unix seconds).
    pub async fn find(&self, token: &str, keys: u64, now: f64) -> Option<Claims> {
        let entry = self.0.get(token).await?;
        let expired = entry.claims.expires_at.is_some_and(|exp| exp as f64 <= now);
        (entry.keys == keys && !expired).then_some(entry.claims)
    }

    /// `token` was found good with these keys.
    pub async fn keep(&self, token: &str, keys: u64, claims: Claims) {
        self.0.insert(token.into(), Entry { claims, keys }).await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_token_is_known_until_it_expires_or_the_keys_change() {
        let known = Known::new();
        let claims = Claims {
            user_id: Uuid::new_v4(),
            email: None,
            name: None,
            role: None,
            session_id: None,
            expires_at: Some(100),
        };
        known.keep("a.b.c", 1, claims.clone()).await;
        assert_eq!(known.find("a.b.c", 1, 99.9).await, Some(claims));
        assert_eq!(known.find("a.b.c", 1, 100.0).await, None, "expired");
        assert_eq!(known.find("a.b.c", 2, 99.9).await, None, "the keys have changed");
        assert_eq!(known.find("a.b.d", 1, 99.9).await, None, "another signature");
    }
}
