//! Passwords: argon2id, computed on a bounded number of threads.
//!
//! One check takes tens of milliseconds and 19 MiB, on purpose. So only as many run at a time as there are cores to spare, a
//! limited number waits, and the rest is turned away: logging in never starves the other requests. Nor do new passwords, which anybody may
//! set by signing up, starve logging in: they wait elsewhere, and only one at a time goes on to where logins wait.

use std::sync::Arc;

use argon2::password_hash::{Output, ParamsString, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{ARGON2ID_IDENT, Argon2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Computed at the same time, at most.
const MOST_AT_ONCE: usize = 4;
/// Logins that wait for their turn, at most, those at work included.
const MOST_WAITING: usize = 64;
/// New passwords that wait for theirs.
const MOST_NEW: usize = 64;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes and checks passwords. Clones share the threads.
#[derive(Clone)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    new: Arc<Semaphore>,
    new_turn: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
    /// Of nobody's password: checking it takes as long as checking somebody's.
    decoy: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("too many people are logging in or signing up at this moment: try again in a few seconds")]
    Busy,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

impl Passwords {
    pub fn new() -> Result<Self, PasswordError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            new: Arc::new(Semaphore::new(MOST_NEW)),
            new_turn: Arc::new(Semaphore::new(1)),
            at_work: Arc::new(Semaphore::new(cores.div_ceil(2).clamp(1, MOST_AT_ONCE))),
            decoy: decoy().map_err(problem)?.into(),
        })
    }

    /// A PHC string that holds salt and parameters.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = password.to_owned();
        let _place = self.new.try_acquire().map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.new_turn).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        self.compute(Some(turn), move || hash(&password)).await?
    }

    /// Whether the password is the one of this hash. Without a hash it is wrong, and that takes as long.
    pub async fn verify(&self, password: &str, phc: Option<&str>) -> Result<bool, PasswordError> {
        let (password, known) = (password.to_owned(), phc.is_some());
        let phc = phc.map_or_else(|| self.decoy.to_string(), str::to_owned);
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        let fits = self.compute(None, move || verify(&password, &phc)).await?;
        Ok(fits && known)
    }

    async fn compute<T: Send + 'static>(
        &self,
        new_turn: Option<OwnedSemaphorePermit>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.at_work).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, also when nobody waits for the result any more.
            let _turns = (turn, new_turn);
            work()
        });
        done.await.map_err(|error| PasswordError::Hash(error.to_string()))
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let salt = salt().map_err(problem)?;
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(problem)
}

/// What a hash looks like, by chance: to compute one would keep its memory for as long as nobody logs in.
fn decoy() -> argon2::password_hash::Result<String> {
    let argon2 = Argon2::default();
    let salt = salt()?;
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(argon2::Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(salt.as_salt()),
        hash: Some(Output::new(&rand::random::<[u8; HASH_BYTES]>())?),
    };
    Ok(hash.to_string())
}

fn salt() -> argon2::password_hash::Result<SaltString> {
    SaltString::encode_b64(&rand::random::<[u8; SALT_BYTES]>())
}

fn problem(error: argon2::password_hash::Error) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

fn verify(password: &str, phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_passes() {
        let passwords = Passwords::new().unwrap();
        let phc = passwords.hash("correct horse").await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_ne!(phc, passwords.hash("correct horse").await.unwrap());
        assert!(passwords.verify("correct horse", Some(&phc)).await.unwrap());
        assert!(!passwords.verify("correct horse ", Some(&phc)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(!passwords.verify("correct horse", Some("damaged")).await.unwrap());
    }

    #[test]
    fn a_decoy_costs_what_a_hash_costs() {
        let (decoy, hash) = (decoy().unwrap(), hash("x").unwrap());
        let of = |phc: &str| phc.rsplitn(3, '$').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of(&decoy)[2], of(&hash)[2], "algorithm and parameters");
        assert_eq!(decoy.len(), hash.len());
        assert!(PasswordHash::new(&decoy).is_ok());
    }

    #[tokio::test]
    async fn who_finds_no_place_to_wait_is_turned_away() {
        let passwords = Passwords::new().unwrap();
        let places: Vec<_> = (0..MOST_WAITING).map(|_| passwords.waiting.try_acquire().unwrap()).collect();
        assert_eq!(passwords.verify("x", None).await, Err(PasswordError::Busy));
        drop(places);
        assert_eq!(passwords.verify("x", None).await, Ok(false));
    }

    #[tokio::test]
    async fn many_new_passwords_keep_nobody_from_logging_in() {
        let passwords = Passwords::new().unwrap();
        let mut new = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let passwords = passwords.clone();
            new.spawn(async move { passwords.hash("x").await });
        }
        while new.join_next().await.unwrap().unwrap() != Err(PasswordError::Busy) {}
        assert_eq!(passwords.verify("x", None).await, Ok(false));
        let mut first = 0;
        while let Some(outcome) = new.try_join_next() {
            first += usize::from(outcome.unwrap().is_ok());
        }
        assert!(first <= 4, "{first} new passwords went first");
    }
}
