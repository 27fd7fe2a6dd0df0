//! API keys: made, and recognised (rest.md §3.3).
//!
//! A key has 256 random bits, so a fast hash is enough to keep it: HMAC-SHA-256 under a pepper, looked up by index. Keys of
//! the reference, whose rows hold scrypt or plain SHA-256, are recognised too.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use scrypt::Params;
use sha2::{Digest, Sha256};

const PREFIX: &str = "agpt_";
const RANDOM_BYTES: usize = 32;
/// Characters of a key: the prefix and 32 bytes in base64.
const LENGTH: usize = PREFIX.len() + 43;
/// Characters that are shown of a key's beginning and end.
const SHOWN: usize = 8;

/// Recognises keys. The first pepper is for new ones; the others still find what they were used for.
#[derive(Clone)]
pub struct ApiKeys {
    peppers: Vec<Vec<u8>>,
}

/// A key, to be shown once.
pub struct FreshKey {
    pub plain: String,
    pub head: String,
    pub tail: String,
    pub lookup: Vec<u8>,
}

impl ApiKeys {
    /// `secrets` is the value of ENCRYPTION_KEY: one key, or several separated by commas, the present one first. Without one, keys
    /// are kept as plain SHA-256 of 256 random bits.
    pub fn new(secrets: &str) -> Self {
        let given = secrets.split(',').map(str::trim).filter(|secret| !secret.is_empty());
        let mut peppers: Vec<Vec<u8>> = given
            .map(|secret| [b"autogpt api keys ".as_slice(), secret.as_bytes()].concat())
            .collect();
        if peppers.is_empty() {
            peppers.push(Vec::new());
        }
        Self { peppers }
    }

    pub fn generate(&self) -> FreshKey {
        let plain = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>()));
        FreshKey {
            head: head(&plain).to_owned(),
            tail: plain.get(LENGTH - SHOWN..).unwrap_or_default().to_owned(),
            lookup: self.lookup(&plain),
            plain,
        }
    }

    /// What the key is kept under now.
    pub fn lookup(&self, plain: &str) -> Vec<u8> {
        self.peppers.first().map(|pepper| lookup(pepper, plain)).unwrap_or_default()
    }

    /// What it may be kept under, the present one first.
    pub fn lookups(&self, plain: &str) -> Vec<Vec<u8>> {
        self.peppers.iter().map(|pepper| lookup(pepper, plain)).collect()
    }
}

/// Whether a text can be a key at all.
pub fn has_form(text: &str) -> bool {
    let random = text.strip_prefix(PREFIX).filter(|_| text.len() == LENGTH);
    random.is_some_and(|random| random.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'))
}

/// The part by which the reference looks its keys up.
pub fn head(plain: &str) -> &str {
    plain.get(..SHOWN).unwrap_or(plain)
}

/// Whether a row of the reference is this key's: scrypt (N = 2^14, r = 8, p = 1), or SHA-256 where there is no salt. Takes 40 ms.
pub fn is_of_foreign_row(plain: &str, hash: &str, salt: Option<&str>) -> bool {
    let computed = match salt {
        None => Some(Sha256::digest(plain.as_bytes()).to_vec()),
        Some(salt) => from_hex(salt).and_then(|salt| {
            let mut output = vec![0; 32];
            let params = Params::new(14, 8, 1, 32).ok()?;
            scrypt::scrypt(plain.as_bytes(), &salt, &params, &mut output).ok()?;
            Some(output)
        }),
    };
    match (computed, from_hex(hash)) {
        (Some(computed), Some(stored)) => same(&computed, &stored),
        _ => false,
    }
}

fn lookup(pepper: &[u8], plain: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    match Hmac::<Sha256>::new_from_slice(pepper) {
        Ok(mut mac) => {
            mac.update(plain.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(),
    }
}

/// Takes as long whatever the difference.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_contracts_form() {
        let key = ApiKeys::new("").generate();
        assert!(has_form(&key.plain), "{}", key.plain);
        assert_eq!((key.head.as_str(), key.tail.as_str()), (&key.plain[..8], &key.plain[40..]));
        for bad in [
            "",
            "agpt_",
            "agpt_short",
            &key.plain[..47],
            &format!("{}x", key.plain),
            &key.plain.replace("agpt", "AGPT"),
        ] {
            assert!(!has_form(bad), "{bad}");
        }
        assert!(!has_form(&format!("agpt_{}", "ü".repeat(21) + "x")));
    }

    #[test]
    fn a_new_pepper_in_front_still_finds_old_keys() {
        let (old, both) = (ApiKeys::new("one"), ApiKeys::new("other, one"));
        let key = old.generate();
        assert_eq!(both.lookups(&key.plain)[1], key.lookup);
        assert_ne!(both.lookup(&key.plain), key.lookup);
        assert!(!ApiKeys::new("other").lookups(&key.plain).contains(&key.lookup));
    }

    #[test]
    fn rows_of_the_reference_are_recognised() {
        let plain = "agpt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        // Python: hashlib.scrypt(plain, salt=bytes(range(32)), n=2**14, r=8, p=1, dklen=32).hex()
        let salt: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let hash = "809580738dd6e6fe8fba6f0c9b60b7dc9d2199c497647f6214b0772b6441bfe7";
        assert!(is_of_foreign_row(plain, hash, Some(&salt)));
        assert!(!is_of_foreign_row(&plain.replace('A', "B"), hash, Some(&salt)));
        // Python: hashlib.sha256(plain).hexdigest()
        let digest = "ba6f313c4e46fa7a2716a3a92b7d66def9b5aa037d3fddb51dbafe47913612f4";
        assert!(is_of_foreign_row(plain, digest, None));
        assert!(!is_of_foreign_row(plain, hash, None));
        for (hash, salt) in [("", None), ("zz", None), (hash, Some("no")), ("é", Some(""))] {
            assert!(!is_of_foreign_row(plain, hash, salt), "{hash}");
        }
    }
}
