//! Logins at services of others, whose tokens are then kept as a user's credentials (rest.md §1 area 9): authorization code with PKCE
//! (RFC 6749, RFC 7636).
//!
//! A login is begun with a state token that is good for one exchange, by the same user, at the same provider, for ten minutes; the table
//! keeps a digest of it.

mod providers;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use model::credentials::{CredentialSecret, OAuth2Tokens, OpenCredential, PutCredential};
use model::{Timestamp, UserId};
use reqwest::RequestBuilder;
use runtime::{Secret, Settings};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{OAuthLogin, Store};
use url::Url;
use uuid::Uuid;
use vault::Credentials;

use crate::handlers::integrations;
use crate::partner::Partner;
use crate::wire::{ApiError, ApiResult};
use providers::{Encoding, PROVIDERS, Proof, Provider};

/// Random bytes of state tokens and code verifiers.
const RANDOM_BYTES: usize = 32;
const STATE_LIVES: Duration = Duration::from_secs(600);
/// Logins that a user may have begun; the oldest go.
const MOST_LOGINS: i64 = 20;
/// A token that ends within so many seconds is refreshed.
const REFRESH_BEFORE: i64 = 300;
/// Characters of what a provider says about an error.
const REASON: usize = 200;

/// The providers at which this platform is known. Cheap to clone.
#[derive(Clone)]
pub struct OAuth(Arc<Inner>);

struct Inner {
    clients: Vec<Client>,
    store: Store,
    credentials: Credentials,
    partner: Partner,
}

/// This platform as one provider knows it.
struct Client {
    provider: &'static Provider,
    id: String,
    secret: Secret,
    /// Scheme, host and port in place of the provider's own.
    host: Option<Url>,
}

/// A login that has begun.
pub struct Begun {
    pub login_url: String,
    pub state_token: String,
    pub expires_at: Timestamp,
}

/// A login that is done.
pub struct Done {
    pub credential: OpenCredential,
    /// What was given when it began.
    pub metadata: Value,
}

impl OAuth {
    pub fn new(settings: &Settings, store: Store, credentials: Credentials, partner: Partner) -> Self {
        let configured = settings.oauth.clients().zip(PROVIDERS);
        let clients = configured.filter(|((_, id, secret), _)| !id.is_empty() && !secret.is_empty());
        let clients = clients.map(|((name, id, secret), provider)| Client {
            provider,
            id: id.to_owned(),
            secret: secret.clone(),
            host: settings.oauth.host_of(name),
        });
        Self(Arc::new(Inner {
            clients: clients.collect(),
            store,
            credentials,
            partner,
        }))
    }

    /// 404 for a provider that has no logins, 501 for one at which this platform is not known.
    fn client(&self, provider: &str) -> ApiResult<&Client> {
        if let Some(client) = self.0.clients.iter().find(|client| client.provider.name == provider) {
            return Ok(client);
        }
        if PROVIDERS.iter().any(|known| known.name == provider) {
            let name = provider.to_uppercase();
            let text = format!("No OAuth client is configured for provider '{provider}': set {name}_CLIENT_ID and {name}_CLIENT_SECRET");
            return Err(ApiError::detail(StatusCode::NOT_IMPLEMENTED, text));
        }
        Err(ApiError::not_found(format!("Provider '{provider}' does not support OAuth")))
    }

    /// Where to send the user; `redirect_uri` is where he comes back.
    pub async fn begin(&self, user_id: UserId, provider: &str, scopes: Vec<String>, redirect_uri: String, metadata: Value) -> ApiResult<Begun> {
        let client = self.client(provider)?;
        let scopes = if scopes.is_empty() {
            client.provider.scopes.iter().map(|scope| (*scope).to_owned()).collect()
        } else {
            scopes
        };
        let (state_token, code_verifier) = (random(), random());
        let mut login_url = client.address(client.provider.login)?;
        login_url
            .query_pairs_mut()
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("response_type", "code")
            .append_pair("state", &state_token)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&code_verifier)))
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(client.provider.parameters);
        if !scopes.is_empty() {
            login_url.query_pairs_mut().append_pair("scope", &scopes.join(client.provider.separator));
        }
        let login = OAuthLogin {
            state_hash: Sha256::digest(&state_token).to_vec(),
            user_id,
            provider: provider.to_owned(),
            scopes,
            code_verifier,
            redirect_uri,
            metadata,
        };
        let expires_at = self.0.store.begin_oauth_login(&login, STATE_LIVES, MOST_LOGINS).await?;
        Ok(Begun {
            login_url: login_url.into(),
            state_token,
            expires_at,
        })
    }

    /// Makes a credential of what the provider gave the user.
    pub async fn finish(&self, user_id: UserId, provider: &str, code: &str, state_token: &str) -> ApiResult<Done> {
        let client = self.client(provider)?;
        let login = self.0.store.end_oauth_login(user_id, provider, &Sha256::digest(state_token)).await?;
        let login = login.ok_or_else(|| ApiError::detail(StatusCode::BAD_REQUEST, "Invalid or expired state token"))?;
        let asked = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &login.redirect_uri),
            ("code_verifier", &login.code_verifier),
        ];
        let mut tokens = self.tokens(client, &asked, &login.scopes).await.map_err(|reason| {
            tracing::warn!(provider, reason, "a login elsewhere failed");
            ApiError::detail(StatusCode::BAD_REQUEST, format!("The code could not be exchanged for tokens: {reason}"))
        })?;
        tokens.username = self.identity(client, &tokens.access_token).await;
        let given = PutCredential {
            origin: integrations::fresh_origin(),
            provider: provider.to_owned(),
            title: None,
            secret: CredentialSecret::OAuth2(tokens),
        };
        let kept = self.0.credentials.put(user_id, &given).await?;
        Ok(Done {
            credential: OpenCredential {
                id: kept.id,
                provider: kept.provider,
                title: kept.title,
                secret: given.secret,
            },
            metadata: login.metadata,
        })
    }

    /// The credential with a token that is still good, as far as its provider lets it be had.
    pub async fn fresh(&self, user_id: UserId, credential: OpenCredential) -> ApiResult<OpenCredential> {
        let Some((client, tokens, refresh_token)) = self.stale(&credential) else {
            return Ok(credential);
        };
        let Some(id) = Uuid::try_parse(&credential.id).ok() else {
            return Ok(credential);
        };
        let asked = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        match self.tokens(client, &asked, &tokens.scopes).await {
            Ok(renewed) => {
                let renewed = OAuth2Tokens {
                    refresh_token: renewed.refresh_token.or_else(|| tokens.refresh_token.clone()),
                    username: tokens.username.clone(),
                    metadata: tokens.metadata.clone(),
                    ..renewed
                };
                let secret = CredentialSecret::OAuth2(renewed);
                self.0.credentials.replace(user_id, id, &secret).await?;
                Ok(OpenCredential { secret, ..credential })
            }
            Err(reason) => {
                tracing::warn!(provider = client.provider.name, %id, reason, "a token could not be refreshed");
                // Somebody else may have done it: a refresh token is often good for once.
                Ok(self.0.credentials.open(user_id, id).await?.unwrap_or(credential))
            }
        }
    }

    /// What is needed to refresh the token of a credential that is about to end.
    fn stale<'a>(&'a self, credential: &'a OpenCredential) -> Option<(&'a Client, &'a OAuth2Tokens, &'a str)> {
        let CredentialSecret::OAuth2(tokens) = &credential.secret else {
            return None;
        };
        let ends = tokens.access_token_expires_at?;
        let client = self.0.clients.iter().find(|client| client.provider.name == credential.provider)?;
        (ends < now() + REFRESH_BEFORE).then_some((client, tokens, tokens.refresh_token.as_deref()?))
    }

    /// Tells the provider that the tokens are not wanted any more; none when it cannot be told.
    pub async fn revoke(&self, provider: &str, tokens: &OAuth2Tokens) -> Option<bool> {
        let client = self.0.clients.iter().find(|client| client.provider.name == provider)?;
        let address = client.address(client.provider.revocation?).ok()?;
        let token = tokens.refresh_token.as_ref().unwrap_or(&tokens.access_token);
        let request = client.proven(self.0.partner.client().post(address), &[("token", token)]);
        let answer = self.0.partner.ask(request).await;
        Some(answer.is_ok_and(|(status, _)| status.is_success()))
    }

    async fn tokens(&self, client: &Client, asked: &[(&str, &str)], scopes: &[String]) -> Result<OAuth2Tokens, String> {
        let address = client.address(client.provider.tokens).map_err(|error| format!("{error:?}"))?;
        let request = client.proven(self.0.partner.client().post(address), asked);
        let (status, answer) = self.0.partner.ask(request).await.map_err(|error| error.to_string())?;
        read_tokens(status, answer, scopes)
    }

    /// What the user is called there. A name that cannot be had is no reason to refuse the tokens.
    async fn identity(&self, client: &Client, access_token: &str) -> Option<String> {
        let identity = client.provider.identity?;
        let address = client.address(identity.address).ok()?;
        let request = self.0.partner.client().get(address).bearer_auth(access_token);
        // Some refuse a client without a name.
        let request = request.header("user-agent", "autogpt-platform").header("accept", "application/json");
        let (_, answer) = self.0.partner.ask(request).await.ok()?;
        answer.pointer(identity.name)?.as_str().map(str::to_owned)
    }
}

impl Client {
    /// An address of the provider, at the host where it really is.
    fn address(&self, address: &str) -> ApiResult<Url> {
        let mut url = Url::parse(address).map_err(ApiError::internal)?;
        if let Some(host) = &self.host {
            let mut moved = host.clone();
            moved.set_path(url.path());
            moved.set_query(url.query());
            url = moved;
        }
        Ok(url)
    }

    /// A request with these fields, and with what proves who asks.
    fn proven(&self, request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut fields = fields.to_vec();
        let mut request = request.header("accept", "application/json").header("user-agent", "autogpt-platform");
        match self.provider.proof {
            Proof::Header => request = request.basic_auth(&self.id, Some(self.secret.expose())),
            Proof::Body => fields.extend([("client_id", self.id.as_str()), ("client_secret", self.secret.expose())]),
        }
        match self.provider.encoding {
            Encoding::Form => {
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
                request.header("content-type", "application/x-www-form-urlencoded").body(body)
            }
            Encoding::Json => {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
                request.json(&Value::Object(fields.collect()))
            }
        }
    }
}

/// The tokens of an answer, or why there are none. Some providers tell errors with status 200.
fn read_tokens(status: StatusCode, answer: Value, scopes: &[String]) -> Result<OAuth2Tokens, String> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let Some(access_token) = text("access_token").filter(|_| status.is_success()) else {
        let said = text("error_description").or_else(|| text("error")).or_else(|| text("message"));
        let said: String = said.unwrap_or("its answer holds no token").chars().take(REASON).collect();
        return Err(format!("the provider answered {}: {said}", status.as_u16()));
    };
    let until = |name: &str| answer.get(name).and_then(Value::as_i64).map(|seconds| now().saturating_add(seconds));
    let granted = text("scope").map(|scope| scope.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect());
    Ok(OAuth2Tokens {
        access_token: access_token.to_owned(),
        access_token_expires_at: until("expires_in"),
        refresh_token: text("refresh_token").map(str::to_owned),
        refresh_token_expires_at: until("refresh_token_expires_in"),
        username: None,
        scopes: granted.unwrap_or_else(|| scopes.to_vec()),
        metadata: model::Map::new(),
    })
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>())
}

/// Seconds since 1970.
fn now() -> i64 {
    Timestamp::now().into_inner().timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_without_a_token_says_why() {
        let read = |status: u16, answer| read_tokens(StatusCode::from_u16(status).unwrap(), answer, &["a".to_owned()]);
        let refused = read(200, json!({"error": "bad_code", "error_description": "It ended."})).unwrap_err();
        assert_eq!(refused, "the provider answered 200: It ended.");
        assert_eq!(
            read(500, json!({"access_token": "x"})).unwrap_err(),
            "the provider answered 500: its answer holds no token"
        );
        assert_eq!(
            read(502, Value::Null).unwrap_err(),
            "the provider answered 502: its answer holds no token"
        );
        let tokens = read(200, json!({"access_token": "x", "scope": "b,c d"})).unwrap();
        assert_eq!(
            (tokens.scopes, tokens.access_token_expires_at),
            (vec!["b".to_owned(), "c".to_owned(), "d".to_owned()], None)
        );
        assert_eq!(read(200, json!({"access_token": "x", "expires_in": "soon"})).unwrap().scopes, ["a"]);
    }
}
