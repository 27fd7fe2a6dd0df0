//! How many connections a user and the whole process may have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use model::UserId;
use runtime::settings::WebSocketSettings;

/// Counts connections. Clones share the count.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    per_user: usize,
    in_all: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    in_all: usize,
    of_user: HashMap<UserId, usize>,
}

/// A connection's place; dropping it gives it back.
pub struct Place {
    shared: Arc<Shared>,
    user_id: UserId,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("You have too many open connections: close one and connect again")]
    User,
    #[error("This server has too many open connections: connect again in a moment")]
    Process,
}

impl Full {
    pub fn status(self) -> StatusCode {
        match self {
            Self::User => StatusCode::TOO_MANY_REQUESTS,
            Self::Process => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Places {
    pub fn new(settings: &WebSocketSettings) -> Self {
        Self(Arc::new(Shared {
            per_user: settings.max_connections_per_user,
            in_all: settings.max_connections,
            taken: Mutex::default(),
        }))
    }

    pub fn take(&self, user_id: UserId) -> Result<Place, Full> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.in_all >= self.0.in_all {
            return Err(Full::Process);
        }
        if taken.of_user.get(&user_id).is_some_and(|count| *count >= self.0.per_user) {
            return Err(Full::User);
        }
        taken.in_all += 1;
        *taken.of_user.entry(user_id).or_default() += 1;
        Ok(Place {
            shared: self.0.clone(),
            user_id,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        if let Some(count) = taken.of_user.get_mut(&self.user_id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.of_user.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::UserId;
    use runtime::settings::WebSocketSettings;

    use super::{Full, Places};

    #[test]
    fn places_are_counted_by_user_and_in_all_and_given_back() {
        let places = Places::new(&WebSocketSettings {
            max_connections: 3,
            max_connections_per_user: 2,
        });
        let (one, other) = (UserId::from_u128(1), UserId::from_u128(2));
        let first = places.take(one).ok();
        let _second = places.take(one).ok();
        assert_eq!(places.take(one).err(), Some(Full::User));
        let _third = places.take(other).ok();
        assert_eq!(places.take(other).err(), Some(Full::Process));
        drop(first);
        assert!(places.take(one).is_ok());
    }
}
