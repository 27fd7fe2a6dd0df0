//! Links in mails that switch a user's mails off without a login (internals §5.4). A link works for ever: all that it can do is to
//! stop mails.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use hmac::{Hmac, Mac};
use model::UserId;
use runtime::Settings;
use sha2::Sha256;

/// Writes padding, as the reference does, and reads without it, too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs links and recognises them.
#[derive(Debug, Clone)]
pub struct Unsubscriber(Hmac<Sha256>);

impl Unsubscriber {
    /// None without UNSUBSCRIBE_SECRET_KEY.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        let key = settings.auth.unsubscribe_secret_key.expose().as_bytes();
        if key.is_empty() {
            return None;
        }
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// `base64("{user id}:{HMAC-SHA-256 of it, in hex}")`.
    pub fn token(&self, user: UserId) -> String {
        let mac = self.mac(&user.to_string()).finalize().into_bytes();
        let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        BASE64.encode(format!("{user}:{mac}"))
    }

    /// The user that a token is for. None when we have not signed it.
    pub fn user_of(&self, token: &str) -> Option<UserId> {
        let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
        let (user, mac) = text.split_once(':')?;
        self.mac(user).verify_slice(&from_hex(mac)?).ok()?;
        user.parse().ok()
    }

    fn mac(&self, user: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(user.as_bytes());
        mac
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| match pair {
        [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    });
    digits.collect()
}

#[cfg(test)]
mod tests {
    use runtime::Settings;
    use uuid::uuid;

    use super::{BASE64, Unsubscriber};
    use base64::Engine;

    fn with(key: &str) -> Option<Unsubscriber> {
        Unsubscriber::from_settings(&Settings::from_pairs([("UNSUBSCRIBE_SECRET_KEY", key)]).unwrap())
    }

    #[test]
    fn a_token_names_its_user_and_nobody_else_can_make_one() {
        let user = uuid!("3e53486c-cf57-477e-ba2a-cb02dc828e1a");
        let ours = with("key").unwrap();
        let token = ours.token(user);
        assert_eq!(ours.user_of(&token), Some(user));
        assert_eq!(ours.user_of(token.trim_end_matches('=')), Some(user));
        assert_eq!(with("another").unwrap().user_of(&token), None);
        let readable = String::from_utf8(BASE64.decode(&token).unwrap()).unwrap();
        let (_, mac) = readable.split_once(':').unwrap();
        assert!(readable.starts_with(&user.to_string()) && mac.len() == 64, "{readable}");
        let forged = readable.replace("3e53486c", "3e53486d");
        for bad in [
            "",
            "x",
            "=",
            &BASE64.encode(forged),
            &BASE64.encode(format!("{user}:")),
            &BASE64.encode(user.to_string()),
        ] {
            assert_eq!(ours.user_of(bad), None, "{bad}");
        }
        assert!(with("").is_none());
    }
}
