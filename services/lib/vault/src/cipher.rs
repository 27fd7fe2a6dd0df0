//! Secrets at rest: sealed with AEAD under a key that has an id, so that keys can be changed.
//!
//! `ENCRYPTION_KEY` holds one key, or several separated by commas: the first one seals, the others only open what was sealed with them.
//! Changing the key is putting the new one in front. Whatever is sealed carries the id of its key: a key that is missing is named, and never
//! mistaken for damage.
//!
//! A sealed text is bound to its *context* (whose it is, and which one): moved to another row it does not open.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a key, as the contract has them (a Fernet key).
const KEY_BYTES: usize = 32;
/// Bytes of a key's id.
const ID_BYTES: usize = 8;
/// First byte of everything sealed: the format that this module writes.
const FORMAT: u8 = 1;

/// Seals and opens. Shows nothing of its keys.
pub struct Cipher {
    /// The first one seals.
    keys: Vec<Key>,
    random: SystemRandom,
}

struct Key {
    id: String,
    aead: LessSafeKey,
}

/// A text that only the owner of the key can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    pub bytes: Vec<u8>,
}

/// Why `ENCRYPTION_KEY` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("ENCRYPTION_KEY is not set: set it to 32 random bytes in base64, for example from `openssl rand -base64 32`")]
    Missing,
    #[error(
        "key number {0} of ENCRYPTION_KEY is not 32 bytes in base64 or hexadecimal: make one with `openssl rand -base64 32`; several are separated by commas"
    )]
    Malformed(usize),
}

/// Why something sealed does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("it was sealed with the key {wanted}, and ENCRYPTION_KEY has {}: put the old key behind the new one, separated by a comma", known.join(", "))]
    UnknownKey { wanted: String, known: Vec<String> },
    #[error("what is stored was damaged, or belongs to somebody else: store the credential again")]
    Broken,
}

/// There is no randomness: nothing is sealed without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct SealError;

impl Cipher {
    /// From the value of `ENCRYPTION_KEY`.
    pub fn from_setting(text: &str) -> Result<Self, KeyError> {
        let given: Vec<&str> = text.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        if given.is_empty() {
            return Err(KeyError::Missing);
        }
        let keys = given
            .iter()
            .enumerate()
            .map(|(place, text)| Key::parse(text).ok_or(KeyError::Malformed(place + 1)));
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            random: SystemRandom::new(),
        })
    }

    /// Id of the key that seals.
    pub fn key_id(&self) -> &str {
        self.keys.first().map_or("", |key| key.id.as_str())
    }

    /// Seals with the first key.
    pub fn seal(&self, plain: &[u8], context: &str) -> Result<Sealed, SealError> {
        let key = self.keys.first().ok_or(SealError)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError)?;
        let mut text = plain.to_vec();
        key.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context.as_bytes()), &mut text)
            .map_err(|_| SealError)?;
        let mut bytes = vec![FORMAT];
        bytes.extend(nonce);
        bytes.append(&mut text);
        Ok(Sealed {
            key_id: key.id.clone(),
            bytes,
        })
    }

    /// Opens with the key that it names; `context` as it was when it was sealed.
    pub fn open(&self, sealed: &Sealed, context: &str) -> Result<Vec<u8>, OpenError> {
        let key = self
            .keys
            .iter()
            .find(|key| key.id == sealed.key_id)
            .ok_or_else(|| OpenError::UnknownKey {
                wanted: sealed.key_id.clone(),
                known: self.keys.iter().map(|key| key.id.clone()).collect(),
            })?;
        let (format, rest) = sealed.bytes.split_first().ok_or(OpenError::Broken)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Broken)?;
        if *format != FORMAT {
            return Err(OpenError::Broken);
        }
        let mut text = text.to_vec();
        let plain = key
            .aead
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context.as_bytes()), &mut text)
            .map_err(|_| OpenError::Broken)?;
        Ok(plain.to_vec())
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("Cipher").field("keys", &ids).finish_non_exhaustive()
    }
}

impl Key {
    /// The key that works and its id are derived, so that neither tells anything about the other, or about other uses of the setting.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('=');
        let base64 = || URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok();
        let bytes = hexadecimal(text).or_else(base64)?;
        if bytes.len() != KEY_BYTES {
            return None;
        }
        let aead = UnboundKey::new(&CHACHA20_POLY1305, &derive::<KEY_BYTES>(&bytes, b"autogpt credentials")?).ok()?;
        let id = derive::<ID_BYTES>(&bytes, b"autogpt key id")?;
        Some(Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            aead: LessSafeKey::new(aead),
        })
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let is_key = text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = || (0..KEY_BYTES).map(|place| text.get(2 * place..2 * place + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    if is_key { bytes().collect() } else { None }
}

fn derive<const N: usize>(key: &[u8], purpose: &[u8]) -> Option<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut derived = [0; N];
    let random = Salt::new(HKDF_SHA256, &[]).extract(key);
    random
        .expand(&[purpose], Length(N))
        .and_then(|material| material.fill(&mut derived))
        .ok()?;
    Some(derived)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

    fn cipher(keys: &str) -> Cipher {
        Cipher::from_setting(keys).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_and_never_looks_the_same() {
        let cipher = cipher(ONE);
        let (one, other) = (cipher.seal(b"secret", "a").unwrap(), cipher.seal(b"secret", "a").unwrap());
        assert_eq!(cipher.open(&one, "a").unwrap(), b"secret");
        assert_ne!(one.bytes, other.bytes);
        assert_eq!((one.key_id.as_str(), one.key_id.len()), (cipher.key_id(), 2 * ID_BYTES));
        assert!(!one.bytes.windows(6).any(|bytes| bytes == b"secret"));
    }

    #[test]
    fn a_new_key_in_front_seals_and_the_old_one_still_opens() {
        let old = cipher(ONE).seal(b"secret", "a").unwrap();
        let both = cipher(&format!("{OTHER}, {ONE}"));
        assert_eq!(both.open(&old, "a").unwrap(), b"secret");
        assert_eq!(both.seal(b"", "a").unwrap().key_id, cipher(OTHER).key_id());
        let error = cipher(OTHER).open(&old, "a").unwrap_err();
        assert!(matches!(&error, OpenError::UnknownKey { wanted, .. } if *wanted == old.key_id));
        assert!(error.to_string().contains("separated by a comma"), "{error}");
    }

    #[test]
    fn nothing_changed_or_moved_opens() {
        let cipher = cipher(ONE);
        let sealed = cipher.seal(b"secret", "a").unwrap();
        assert_eq!(cipher.open(&sealed, "b"), Err(OpenError::Broken));
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert_eq!(cipher.open(&changed, "a"), Err(OpenError::Broken), "byte {place}");
            changed.bytes.truncate(place);
            assert_eq!(cipher.open(&changed, "a"), Err(OpenError::Broken), "{place} bytes");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_by_place_and_never_shown() {
        assert_eq!(Cipher::from_setting(" ,").unwrap_err(), KeyError::Missing);
        assert_eq!(Cipher::from_setting("short").unwrap_err(), KeyError::Malformed(1));
        assert_eq!(Cipher::from_setting(&format!("{ONE},{ONE}x")).unwrap_err(), KeyError::Malformed(2));
        let standard = "//////////////////////////////////////////8=";
        assert_eq!(cipher(standard).key_id(), cipher(&standard.replace('/', "_")).key_id());
        let hexadecimal: String = (0..32).map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(cipher(ONE).key_id(), cipher(&hexadecimal).key_id());
        assert!(!format!("{:?}", cipher(ONE)).contains("AAEC"));
    }
}
