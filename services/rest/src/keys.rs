//! Who calls with an API key (rest.md §3.3).

use std::sync::Arc;
use std::time::Duration;

use auth::api_key::{self, ApiKeys};
use http::{HeaderMap, StatusCode};
use model::api_key::ApiKeyPermission;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use store::{ApiKeyHolder, Store};
use tokio::sync::Semaphore;

use crate::wire::{ApiError, ApiResult};

const HEADER: &str = "x-api-key";
/// Keys that this process remembers, and for how long: a key that is revoked elsewhere works here for at most so long.
const REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// scrypt takes 40 ms and 16 MiB: one after the other.
const SLOW_CHECKS: usize = 1;

/// Recognises keys. Clones share the memory.
#[derive(Clone)]
pub struct KeyRing {
    store: Store,
    keys: ApiKeys,
    /// By the SHA-256 of the key: the key itself stays nowhere.
    known: Cache<[u8; 32], Arc<ApiKeyHolder>>,
    slow: Arc<Semaphore>,
}

impl KeyRing {
    pub fn new(store: Store, encryption_key: &str) -> Self {
        Self {
            store,
            keys: ApiKeys::new(encryption_key),
            known: Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build(),
            slow: Arc::new(Semaphore::new(SLOW_CHECKS)),
        }
    }

    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// How many keys are remembered.
    pub async fn remembered(&self) -> u64 {
        self.known.run_pending_tasks().await;
        self.known.entry_count()
    }

    /// After a change to a key: nothing of what is remembered holds any more.
    pub fn forget(&self) {
        self.known.invalidate_all();
    }

    /// The holder of the request's key, who must have the permission.
    pub async fn admit(&self, headers: &HeaderMap, permission: ApiKeyPermission) -> ApiResult<Arc<ApiKeyHolder>> {
        let refused = |text: &str| ApiError::detail(StatusCode::UNAUTHORIZED, text);
        let key = headers
            .get(HEADER)
            .filter(|key| !key.is_empty())
            .ok_or_else(|| refused("Missing API key"))?;
        let key = key
            .to_str()
            .ok()
            .filter(|key| api_key::has_form(key))
            .ok_or_else(|| refused("Invalid API key"))?;
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let holder = match self.known.get(&digest).await {
            Some(holder) => holder,
            None => {
                let holder = Arc::new(self.find(key).await?.ok_or_else(|| refused("Invalid API key"))?);
                self.store.touch_api_key(holder.key_id, &self.keys.lookup(key)).await?;
                self.known.insert(digest, holder.clone()).await;
                holder
            }
        };
        if holder.permissions.contains(&permission) {
            return Ok(holder);
        }
        let text = format!("API key lacks the required permission: {}", permission.as_str());
        Err(ApiError::detail(StatusCode::FORBIDDEN, text))
    }

    async fn find(&self, key: &str) -> ApiResult<Option<ApiKeyHolder>> {
        if let Some(holder) = self.store.holder_of_api_key(&self.keys.lookups(key)).await? {
            return Ok(Some(holder));
        }
        for row in self.store.foreign_api_keys(api_key::head(key)).await? {
            let _turn = self.slow.acquire().await.map_err(ApiError::internal)?;
            let (key, hash, salt) = (key.to_owned(), row.hash, row.salt);
            let check = tokio::task::spawn_blocking(move || api_key::is_of_foreign_row(&key, &hash, salt.as_deref()));
            if check.await.map_err(ApiError::internal)? {
                return Ok(Some(row.holder));
            }
        }
        Ok(None)
    }
}
