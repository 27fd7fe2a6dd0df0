//! The caller as a platform user. The row is made on the first authenticated call, because signing up happens elsewhere
//! (rest.md trap 4).

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuthenticatedUser, Verifier};
use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::{Method, StatusCode};
use model::UserId;
use model::user::User;
use moka::future::Cache;
use store::Store;

use crate::wire::{ApiError, ApiResult};

/// How many users this process remembers as existing, and for how long.
const REMEMBERED: u64 = 100_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// Finds users, and makes those that have only a token yet. Clones share the memory.
#[derive(Clone)]
pub struct Users {
    store: Store,
    existing: Cache<UserId, ()>,
}

impl Users {
    pub fn new(store: Store) -> Self {
        let existing = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { store, existing }
    }

    /// How many users are remembered.
    pub async fn remembered(&self) -> u64 {
        self.existing.run_pending_tasks().await;
        self.existing.entry_count()
    }

    /// The user's row, made from the token when there is none.
    pub async fn get_or_create(&self, caller: &AuthenticatedUser) -> ApiResult<User> {
        let user = match self.store.get_user(caller.id).await? {
            Some(user) => user,
            None => self.create(caller).await?,
        };
        self.existing.insert(caller.id, ()).await;
        Ok(user)
    }

    async fn create(&self, caller: &AuthenticatedUser) -> ApiResult<User> {
        if caller.impersonated_by.is_some() {
            return Err(ApiError::not_found(format!("User #{} not found", caller.id)));
        }
        let email = caller.email.as_deref().ok_or_else(|| ApiError::value("Email not found in token"))?;
        self.store
            .get_or_create_user(caller.id, email, caller.name.as_deref())
            .await
            .map_err(|error| match error.constraint() {
                Some("users_email_key") => ApiError::value(format!("Another user has the e-mail address {email}")),
                _ => error.into(),
            })
    }

    async fn ensure(&self, caller: &AuthenticatedUser) -> ApiResult<()> {
        if self.existing.contains_key(&caller.id) {
            return Ok(());
        }
        self.get_or_create(caller).await.map(drop)
    }
}

/// The user on whose behalf a request is answered; the row exists.
#[derive(Debug, Clone)]
pub struct CurrentUser(pub AuthenticatedUser);

impl Deref for CurrentUser {
    type Target = AuthenticatedUser;
    fn deref(&self) -> &AuthenticatedUser {
        &self.0
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
    Users: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let caller = AuthenticatedUser::from_request_parts(parts, state).await?;
        match Users::from_ref(state).ensure(&caller).await {
            // A token without an e-mail address makes no user, but there is nothing to read then, and that may be said.
            Err(ApiError::Generic(StatusCode::BAD_REQUEST, _)) if caller.email.is_none() && parts.method == Method::GET => {}
            outcome => outcome?,
        }
        Ok(Self(caller))
    }
}
