//! What is kept, and for whom.

use std::sync::Arc;

use model::credentials::{CredentialSecret, OpenCredential, PutCredential};
use model::{CredentialsMetaInput, UserId};
use store::{Credential, Store};
use uuid::Uuid;

use crate::{Cipher, KeyError, OpenError, SealError, Sealed};

/// Credentials sealed anew in one go.
const BATCH: i64 = 100;

/// The credentials of all users. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    store: Store,
    /// None while ENCRYPTION_KEY is not set: then nothing can be kept or opened.
    cipher: Option<Arc<Cipher>>,
}

/// Why a credential could not be kept or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("credentials cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error("credential {id} cannot be opened: {cause}")]
    Open { id: Uuid, cause: OpenError },
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{user_id} is no user of this platform")]
    UnknownUser { user_id: UserId },
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Credentials {
    /// `setting` is the value of ENCRYPTION_KEY. Without one everything answers [`KeyError::Missing`]; one that is no key is an error here.
    pub fn new(store: Store, setting: &str) -> Result<Self, KeyError> {
        let cipher = match Cipher::from_setting(setting) {
            Ok(cipher) => Some(Arc::new(cipher)),
            Err(KeyError::Missing) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { store, cipher })
    }

    fn cipher(&self) -> Result<&Cipher, KeyError> {
        self.cipher.as_deref().ok_or(KeyError::Missing)
    }

    /// Keeps a credential for a user. With the same origin it is the same one, with what is given now. The answer is what a run carries.
    pub async fn put(&self, user_id: UserId, given: &PutCredential) -> Result<CredentialsMetaInput, Error> {
        let id = Uuid::new_v5(&user_id, given.origin.as_bytes());
        let kind = given.secret.kind();
        // Nothing that can be put into words fails to serialise.
        let plain = serde_json::to_vec(&given.secret).unwrap_or_default();
        let sealed = self.cipher()?.seal(&plain, &context(user_id, id))?;
        let credential = Credential {
            id,
            user_id,
            provider: given.provider.clone(),
            kind: kind.to_owned(),
            title: given.title.clone(),
            username: given.secret.username().map(str::to_owned),
            host: given.secret.host().map(str::to_owned),
            scopes: given.secret.scopes().map(<[String]>::to_vec),
            origin: Some(given.origin.clone()),
            key_id: sealed.key_id,
            sealed: sealed.bytes,
        };
        self.store.put_credential(&credential).await.map_err(|error| match error.constraint() {
            Some("credentials_user_id_fkey") => Error::UnknownUser { user_id },
            _ => Error::Store(error),
        })?;
        Ok(CredentialsMetaInput {
            id: id.to_string(),
            title: given.title.clone(),
            provider: given.provider.clone(),
            kind: kind.to_owned(),
        })
    }

    /// Another secret of the same kind in place of the one that a credential has; false when the user has none with this id.
    pub async fn replace(&self, user_id: UserId, id: Uuid, secret: &CredentialSecret) -> Result<bool, Error> {
        let Some(stored) = self.store.get_credential(user_id, id).await? else {
            return Ok(false);
        };
        let plain = serde_json::to_vec(secret).unwrap_or_default();
        let sealed = self.cipher()?.seal(&plain, &context(user_id, id))?;
        let changed = Credential {
            username: secret.username().map(str::to_owned),
            host: secret.host().map(str::to_owned),
            scopes: secret.scopes().map(<[String]>::to_vec),
            key_id: sealed.key_id,
            sealed: sealed.bytes,
            ..stored
        };
        self.store.put_credential(&changed).await?;
        Ok(true)
    }

    /// A user's credential with its secret. None when he has none with this id.
    pub async fn open(&self, user_id: UserId, id: Uuid) -> Result<Option<OpenCredential>, Error> {
        let Some(stored) = self.store.get_credential(user_id, id).await? else {
            return Ok(None);
        };
        let plain = self.unseal(&stored)?;
        let secret: CredentialSecret = serde_json::from_slice(&plain).map_err(|_| Error::Open {
            id,
            cause: OpenError::Broken,
        })?;
        Ok(Some(OpenCredential {
            id: stored.id.to_string(),
            provider: stored.provider,
            title: stored.title,
            secret,
        }))
    }

    fn unseal(&self, stored: &Credential) -> Result<Vec<u8>, Error> {
        let sealed = Sealed {
            key_id: stored.key_id.clone(),
            bytes: stored.sealed.clone(),
        };
        let opened = self.cipher()?.open(&sealed, &context(stored.user_id, stored.id));
        opened.map_err(|cause| Error::Open { id: stored.id, cause })
    }

    /// Seals with the present key what an earlier one had sealed. Returns how many those were; what no key opens is told loudly and stays.
    pub async fn reseal(&self) -> Result<u64, Error> {
        let Some(cipher) = &self.cipher else { return Ok(0) };
        let (mut done, mut after) = (0, Uuid::nil());
        loop {
            let batch = self.store.credentials_of_other_keys(cipher.key_id(), after, BATCH).await?;
            let Some(last) = batch.last() else { return Ok(done) };
            after = last.id;
            for stored in &batch {
                match self.unseal(stored) {
                    Ok(plain) => {
                        let sealed = cipher.seal(&plain, &context(stored.user_id, stored.id))?;
                        done += u64::from(self.store.reseal_credential(stored, &sealed.key_id, &sealed.bytes).await?);
                    }
                    Err(error) => tracing::error!(user_id = %stored.user_id, %error, "a credential is lost unless its key comes back"),
                }
            }
        }
    }
}

/// What a sealed text is bound to.
fn context(user_id: UserId, id: Uuid) -> String {
    format!("credentials/{user_id}/{id}")
}
