//! The services at which a user can log in, and what each of them wants otherwise than the others.

/// Where the client says who it is when it asks for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// In the header `Authorization: Basic`.
    Header,
    /// As `client_id` and `client_secret` in the body.
    Body,
}

/// How the token endpoint reads a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Form,
    Json,
}

/// Who logged in: an address that answers to the token, and the place of the name in that answer.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    pub address: &'static str,
    /// A JSON pointer.
    pub name: &'static str,
}

#[derive(Debug)]
pub struct Provider {
    pub name: &'static str,
    /// Where the user is sent.
    pub login: &'static str,
    /// Beside what every login has.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Where codes and refresh tokens become tokens.
    pub tokens: &'static str,
    /// Where tokens are revoked (RFC 7009).
    pub revocation: Option<&'static str>,
    pub proof: Proof,
    pub encoding: Encoding,
    /// Between scopes.
    pub separator: &'static str,
    /// When the login names none.
    pub scopes: &'static [&'static str],
    pub identity: Option<Identity>,
}

/// What most of them want.
const USUAL: Provider = Provider {
    name: "",
    login: "",
    parameters: &[],
    tokens: "",
    revocation: None,
    proof: Proof::Body,
    encoding: Encoding::Form,
    separator: " ",
    scopes: &[],
    identity: None,
};

/// Those for which the contract has client ids (internals §6).
pub const PROVIDERS: &[Provider] = &[
    Provider {
        name: "github",
        login: "https://github.com/login/oauth/authorize",
        tokens: "https://github.com/login/oauth/access_token",
        identity: Some(Identity {
            address: "https://api.github.com/user",
            name: "/login",
        }),
        ..USUAL
    },
    Provider {
        name: "google",
        login: "https://accounts.google.com/o/oauth2/v2/auth",
        parameters: &[("access_type", "offline"), ("prompt", "consent"), ("include_granted_scopes", "true")],
        tokens: "https://oauth2.googleapis.com/token",
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        scopes: &["openid", "https://www.googleapis.com/auth/userinfo.email"],
        identity: Some(Identity {
            address: "https://openidconnect.googleapis.com/v1/userinfo",
            name: "/email",
        }),
        ..USUAL
    },
    Provider {
        name: "notion",
        login: "https://api.notion.com/v1/oauth/authorize",
        parameters: &[("owner", "user")],
        tokens: "https://api.notion.com/v1/oauth/token",
        proof: Proof::Header,
        encoding: Encoding::Json,
        ..USUAL
    },
    Provider {
        name: "twitter",
        login: "https://x.com/i/oauth2/authorize",
        tokens: "https://api.x.com/2/oauth2/token",
        revocation: Some("https://api.x.com/2/oauth2/revoke"),
        proof: Proof::Header,
        scopes: &["tweet.read", "users.read", "offline.access"],
        identity: Some(Identity {
            address: "https://api.x.com/2/users/me",
            name: "/data/username",
        }),
        ..USUAL
    },
    Provider {
        name: "discord",
        login: "https://discord.com/oauth2/authorize",
        tokens: "https://discord.com/api/oauth2/token",
        revocation: Some("https://discord.com/api/oauth2/token/revoke"),
        scopes: &["identify"],
        identity: Some(Identity {
            address: "https://discord.com/api/oauth2/@me",
            name: "/user/username",
        }),
        ..USUAL
    },
    Provider {
        name: "linear",
        login: "https://linear.app/oauth/authorize",
        tokens: "https://api.linear.app/oauth/token",
        revocation: Some("https://api.linear.app/oauth/revoke"),
        separator: ",",
        scopes: &["read"],
        ..USUAL
    },
    Provider {
        name: "todoist",
        login: "https://todoist.com/oauth/authorize",
        tokens: "https://todoist.com/oauth/access_token",
        separator: ",",
        scopes: &["data:read_write"],
        ..USUAL
    },
    Provider {
        name: "reddit",
        login: "https://www.reddit.com/api/v1/authorize",
        parameters: &[("duration", "permanent")],
        tokens: "https://www.reddit.com/api/v1/access_token",
        revocation: Some("https://www.reddit.com/api/v1/revoke_token"),
        proof: Proof::Header,
        scopes: &["identity"],
        identity: Some(Identity {
            address: "https://oauth.reddit.com/api/v1/me",
            name: "/name",
        }),
        ..USUAL
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Settings;
    use url::Url;

    #[test]
    fn addresses_can_be_read_and_every_client_of_the_settings_has_a_provider() {
        for provider in PROVIDERS {
            let more = provider.revocation.into_iter().chain(provider.identity.map(|identity| identity.address));
            for address in [provider.login, provider.tokens].into_iter().chain(more) {
                assert_eq!(Url::parse(address).unwrap().scheme(), "https", "{address}");
            }
        }
        let settings = Settings::for_test();
        let configured: Vec<&str> = settings.oauth.clients().map(|(name, ..)| name).collect();
        let known: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        assert_eq!(configured, known);
    }
}
