//! Passwords: argon2id, computed on a bounded number of threads.
//!
//! One check takes tens of milliseconds and 19 MiB, on purpose. So only as many run at a time as there are cores to spare, a
//! limited number waits, and the rest is turned away: logging in never starves the other requests. Nor does what anybody may ask for
//! without end starve logging in, new passwords by signing up and logins of addresses that nobody has: each of the two waits elsewhere, and
//! only one at a time goes on to where logins wait. Who has an account can be told by that only as long as somebody floods the service, and
//! from signing up at any time.

use std::sync::Arc;

use argon2::password_hash::{Output, ParamsString, PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{ARGON2ID_IDENT, Argon2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Computed at the same time, at most.
const MOST_AT_ONCE: usize = 4;
/// Logins that wait for their turn, at most, those at work included.
const MOST_WAITING: usize = 64;
/// New passwords that wait for theirs, and logins of nobody.
const MOST_ASIDE: usize = 64;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes and checks passwords. Clones share the threads.
#[derive(Clone)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    new: Aside,
    nobodys: Aside,
    at_work: Arc<Semaphore>,
    /// Of nobody's password: checking it takes as long as checking somebody's.
    decoy: Arc<str>,
}

/// Where those wait of whom only one at a time joins the others.
#[derive(Clone)]
struct Aside {
    waiting: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Aside {
    fn new() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(MOST_ASIDE)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, PasswordError> {
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        Arc::clone(&self.turn).acquire_owned().await.map_err(|_| PasswordError::Busy)
    }
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
            new: Aside::new(),
            nobodys: Aside::new(),
            at_work: Arc::new(Semaphore::new(cores.div_ceil(2).clamp(1, MOST_AT_ONCE))),
            decoy: decoy().map_err(problem)?.into(),
        })
    }

    /// A PHC string that holds salt and parameters.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let password = password.to_owned();
        let turn = self.new.turn().await?;
        self.compute(Some(turn), move || hash(&password)).await?
    }

    /// Whether the password is the one of this hash. Without a hash it is wrong, and that takes as long.
    pub async fn verify(&self, password: &str, phc: Option<&str>) -> Result<bool, PasswordError> {
        let password = password.to_owned();
        let Some(phc) = phc.map(str::to_owned) else {
            let (decoy, turn) = (self.decoy.clone(), self.nobodys.turn().await?);
            self.compute(Some(turn), move || verify(&password, &decoy)).await?;
            return Ok(false);
        };
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        self.compute(None, move || verify(&password, &phc)).await
    }

    async fn compute<T: Send + 'static>(
        &self,
        turn_aside: Option<OwnedSemaphorePermit>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = Arc::clone(&self.at_work).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, also when nobody waits for the result any more.
            let _turns = (turn, turn_aside);
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
        let phc = passwords.hash("x").await.unwrap();
        let places: Vec<_> = (0..MOST_WAITING).map(|_| passwords.waiting.try_acquire().unwrap()).collect();
        assert_eq!(passwords.verify("x", Some(&phc)).await, Err(PasswordError::Busy));
        drop(places);
        assert_eq!(passwords.verify("x", Some(&phc)).await, Ok(true));
    }

    /// Logs somebody in while 200 others ask for something, of whom at least one has been turned away; how many went first.
    async fn went_first<F>(passwords: &Passwords, ask: impl Fn(Passwords) -> F) -> usize
    where
        F: Future<Output = Result<(), PasswordError>> + Send + 'static,
    {
        let phc = hash("x").unwrap();
        let mut others: tokio::task::JoinSet<_> = (0..200).map(|_| ask(passwords.clone())).collect();
        while others.join_next().await.unwrap().unwrap() != Err(PasswordError::Busy) {}
        assert_eq!(passwords.verify("x", Some(&phc)).await, Ok(true));
        let mut first = 0;
        while let Some(outcome) = others.try_join_next() {
            first += usize::from(outcome.unwrap().is_ok());
        }
        first
    }

    #[tokio::test]
    async fn many_new_passwords_and_logins_of_nobody_keep_nobody_from_logging_in() {
        let passwords = Passwords::new().unwrap();
        let new = went_first(&passwords, |passwords: Passwords| async move { passwords.hash("x").await.map(drop) }).await;
        let nobodys = went_first(
            &passwords,
            |passwords: Passwords| async move { passwords.verify("x", None).await.map(drop) },
        )
        .await;
        assert!(new <= 4 && nobodys <= 4, "{new} new passwords and {nobodys} logins of nobody went first");
    }
}
