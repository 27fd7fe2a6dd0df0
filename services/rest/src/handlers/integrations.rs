//! What users let the platform use in their name: credentials for services of others (rest.md §1 area 9, §2.8). Secrets are
//! sealed by the vault before they are stored.

use axum::Json;
use axum::extract::{FromRef, Path, State};
use http::StatusCode;
use model::UserId;
use model::credentials::{CredentialSecret, OpenCredential, PutCredential};
use runtime::Settings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Credential, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vault::Credentials;

use super::sharing::frontend;
use crate::oauth::OAuth;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape, check};
use crate::wire::{ApiError, ApiResult, JsonBody, Parameters, id};

/// Providers for which blocks of the contract take credentials.
const PROVIDERS: [&str; 55] = [
    "aiml_api",
    "airtable",
    "anthropic",
    "apollo",
    "baas",
    "bannerbear",
    "d_id",
    "dataforseo",
    "deepseek",
    "discord",
    "e2b",
    "enrichlayer",
    "exa",
    "fal",
    "firecrawl",
    "github",
    "google",
    "google_maps",
    "groq",
    "http",
    "hubspot",
    "ideogram",
    "jina",
    "linear",
    "llama_api",
    "medium",
    "mem0",
    "moonshot",
    "notion",
    "nvidia",
    "ollama",
    "open_router",
    "openai",
    "openweathermap",
    "pinecone",
    "qwen",
    "reddit",
    "replicate",
    "revid",
    "screenshotone",
    "slant3d",
    "smartlead",
    "smtp",
    "stagehand_provider",
    "todoist",
    "twitter",
    "unreal_speech",
    "v0",
    "webshare_proxy",
    "wolfram",
    "wordpress",
    "zerobounce",
    "zhipuai",
    "ayrshare",
    "generic_webhook",
];
/// The page of the frontend to which a login elsewhere leads back.
const CALLBACK_PAGE: &str = "/auth/integrations/oauth_callback";
/// Characters of a provider's name.
const LONGEST_PROVIDER: usize = 100;

const API_KEY: Shape = Shape::Model(&[
    Field::required("provider", Shape::Text),
    Field::optional("title", Shape::Nullable(&Shape::Text)),
    Field::required("api_key", Shape::Text),
    Field::optional("expires_at", Shape::Nullable(&Shape::Long)),
]);
const USER_PASSWORD: Shape = Shape::Model(&[
    Field::required("provider", Shape::Text),
    Field::optional("title", Shape::Nullable(&Shape::Text)),
    Field::required("username", Shape::Text),
    Field::required("password", Shape::Text),
]);
const HOST_SCOPED: Shape = Shape::Model(&[
    Field::required("provider", Shape::Text),
    Field::optional("title", Shape::Nullable(&Shape::Text)),
    Field::required("host", Shape::Text),
    Field::optional("headers", Shape::MapOf(&Shape::Text)),
]);
const OAUTH2: Shape = Shape::Model(&[
    Field::required("provider", Shape::Text),
    Field::optional("title", Shape::Nullable(&Shape::Text)),
    Field::optional("username", Shape::Nullable(&Shape::Text)),
    Field::required("access_token", Shape::Text),
    Field::optional("access_token_expires_at", Shape::Nullable(&Shape::Long)),
    Field::optional("refresh_token", Shape::Nullable(&Shape::Text)),
    Field::optional("refresh_token_expires_at", Shape::Nullable(&Shape::Long)),
    Field::required("scopes", Shape::List(&Shape::Text)),
    Field::optional("metadata", Shape::Object),
]);

/// Any of the kinds; which one, `type` tells.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Given(model::Map);

impl Shaped for Given {
    const SHAPE: Shape = Shape::Object;
    const STORED: bool = true;
}

/// What lists show: nothing secret.
#[derive(Debug, Serialize)]
pub struct CredentialsMeta {
    id: String,
    provider: String,
    #[serde(rename = "type")]
    kind: String,
    title: Option<String>,
    scopes: Option<Vec<String>>,
    username: Option<String>,
    host: Option<String>,
}

impl From<Credential> for CredentialsMeta {
    fn from(stored: Credential) -> Self {
        Self {
            id: stored.id.to_string(),
            provider: stored.provider,
            kind: stored.kind,
            title: stored.title,
            scopes: stored.scopes,
            username: stored.username,
            host: stored.host,
        }
    }
}

impl From<OpenCredential> for CredentialsMeta {
    fn from(open: OpenCredential) -> Self {
        Self {
            kind: open.secret.kind().to_owned(),
            scopes: open.secret.scopes().map(<[String]>::to_vec),
            username: open.secret.username().map(str::to_owned),
            host: open.secret.host().map(str::to_owned),
            id: open.id,
            provider: open.provider,
            title: open.title,
        }
    }
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(providers))
        .routes(routes!(provider_names))
        .routes(routes!(provider_constants))
        .routes(routes!(provider_example))
        .routes(routes!(list))
        .routes(routes!(list_of_provider, create))
        .routes(routes!(get, delete))
        .routes(routes!(login))
        .routes(routes!(callback))
}

#[utoipa::path(
    get, path = "/api/integrations/providers",
    operation_id = "getV1ListProviders", tags = ["v1", "integrations"],
    security(()),
    responses((status = 200, body = Vec<String>)),
)]
pub async fn providers() -> Json<Vec<&'static str>> {
    let mut names = PROVIDERS.to_vec();
    names.sort_unstable();
    Json(names)
}

#[utoipa::path(
    get, path = "/api/integrations/providers/names",
    operation_id = "getV1GetProviderNames", tags = ["v1", "integrations"],
    security(()),
    responses((status = 200, body = schemas::ProviderNamesResponse)),
)]
pub async fn provider_names() -> Json<Value> {
    let Json(names) = providers().await;
    Json(json!({ "providers": names }))
}

#[utoipa::path(
    get, path = "/api/integrations/providers/constants",
    operation_id = "getV1GetProviderConstants", tags = ["v1", "integrations"],
    security(()),
    responses((status = 200, body = schemas::ProviderConstants)),
)]
pub async fn provider_constants() -> Json<Value> {
    let constants = PROVIDERS.iter().map(|name| (name.to_uppercase().replace('-', "_"), Value::from(*name)));
    Json(json!({ "PROVIDER_NAMES": constants.collect::<model::Map>() }))
}

#[utoipa::path(
    get, path = "/api/integrations/providers/enum-example",
    operation_id = "getV1GetProviderEnumExample", tags = ["v1", "integrations"],
    security(()),
    responses((status = 200, body = schemas::ProviderEnumResponse)),
)]
pub async fn provider_example() -> Json<Value> {
    Json(json!({ "provider": "openai" }))
}

#[utoipa::path(
    get, path = "/api/integrations/credentials",
    operation_id = "getV1List credentials", tags = ["v1", "integrations"],
    responses((status = 200, body = Vec<schemas::CredentialsMetaResponse>)),
)]
pub async fn list(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Vec<CredentialsMeta>>> {
    metas(&store, user.id, None).await.map(Json)
}

#[utoipa::path(
    get, path = "/api/integrations/{provider}/credentials",
    operation_id = "getV1ListCredentialsByProvider", tags = ["v1", "integrations"],
    params(("provider" = String, Path)),
    responses((status = 200, body = Vec<schemas::CredentialsMetaResponse>)),
)]
pub async fn list_of_provider(user: CurrentUser, State(store): State<Store>, Path(provider): Path<String>) -> ApiResult<Json<Vec<CredentialsMeta>>> {
    metas(&store, user.id, Some(&provider)).await.map(Json)
}

/// What a user has, for the platform's own interface and the external one.
pub async fn metas(store: &Store, user_id: UserId, provider: Option<&str>) -> ApiResult<Vec<CredentialsMeta>> {
    let found = store.list_credentials(user_id, provider).await?;
    Ok(found.into_iter().map(CredentialsMeta::from).collect())
}

/// Keeps a credential; the answer repeats what was given, with its id.
#[utoipa::path(
    post, path = "/api/integrations/{provider}/credentials",
    operation_id = "postV1Create credentials", tags = ["v1", "integrations"],
    params(("provider" = String, Path)),
    request_body = inline(schemas::AnyCredentialsInput),
    responses((status = 201, body = inline(schemas::AnyCredentials))),
)]
pub async fn create(
    user: CurrentUser,
    State(credentials): State<Credentials>,
    Path(provider): Path<String>,
    JsonBody(Given(body)): JsonBody<Given>,
) -> ApiResult<(StatusCode, Json<Value>)> {
    keep(&credentials, user.id, provider, body)
        .await
        .map(|kept| (StatusCode::CREATED, Json(kept)))
}

/// Seals and stores; for the platform's own interface and the external one.
pub async fn keep(credentials: &Credentials, user_id: UserId, provider: String, body: model::Map) -> ApiResult<Value> {
    if provider.is_empty() || provider.chars().count() > LONGEST_PROVIDER {
        let message = format!("String should have between 1 and {LONGEST_PROVIDER} characters");
        return Err(Problem::new("string_too_long", &["path", "provider"], message, json!("…")).into());
    }
    let (secret, title) = secret_of(body)?;
    let given = PutCredential {
        origin: fresh_origin(),
        provider,
        title,
        secret,
    };
    let kept = credentials.put(user_id, &given).await?;
    Ok(shown(OpenCredential {
        id: kept.id,
        provider: kept.provider,
        title: kept.title,
        secret: given.secret,
    }))
}

/// The origin of what a person gives: each time a credential of its own.
pub fn fresh_origin() -> String {
    format!("user/{}", Uuid::new_v4())
}

/// The secret and its title, read as its `type` says.
fn secret_of(body: model::Map) -> ApiResult<(CredentialSecret, Option<String>)> {
    const KINDS: &str = "Input should be 'api_key', 'user_password', 'host_scoped' or 'oauth2'";
    let kind = match body.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(other) => return Err(Problem::new("union_tag_invalid", &["body", "type"], KINDS, other.clone()).into()),
        None => {
            return Err(Problem::new(
                "union_tag_not_found",
                &["body"],
                "Unable to extract tag using discriminator 'type'",
                Value::Null,
            )
            .into());
        }
    };
    let shape = match kind.as_str() {
        "api_key" => &API_KEY,
        "user_password" => &USER_PASSWORD,
        "host_scoped" => &HOST_SCOPED,
        "oauth2" => &OAUTH2,
        other => return Err(Problem::new("union_tag_invalid", &["body", "type"], KINDS, Value::from(other)).into()),
    };
    let checked = check(shape, Value::Object(body), &["body"]).map_err(ApiError::Invalid)?;
    let text = |name: &str| checked[name].as_str().unwrap_or_default().to_owned();
    let secret = match kind.as_str() {
        "api_key" => CredentialSecret::ApiKey {
            api_key: text("api_key"),
            expires_at: checked["expires_at"].as_i64(),
        },
        "user_password" => CredentialSecret::UserPassword {
            username: text("username"),
            password: text("password"),
        },
        "oauth2" => CredentialSecret::OAuth2(serde_json::from_value(checked.clone()).map_err(ApiError::internal)?),
        _ => CredentialSecret::HostScoped {
            host: text("host"),
            headers: serde_json::from_value(checked["headers"].clone()).unwrap_or_default(),
        },
    };
    Ok((secret, checked["title"].as_str().map(str::to_owned)))
}

/// A credential with its secret, as its owner may see it.
fn shown(credential: OpenCredential) -> Value {
    let mut value = json!({ "id": credential.id, "provider": credential.provider, "title": credential.title, "type": credential.secret.kind() });
    match credential.secret {
        CredentialSecret::ApiKey { api_key, expires_at } => {
            value["api_key"] = json!(api_key);
            value["expires_at"] = json!(expires_at);
        }
        CredentialSecret::UserPassword { username, password } => {
            value["username"] = json!(username);
            value["password"] = json!(password);
        }
        CredentialSecret::HostScoped { host, headers } => {
            value["host"] = json!(host);
            value["headers"] = json!(headers);
        }
        CredentialSecret::OAuth2(tokens) => {
            let tokens = json!(tokens);
            value
                .as_object_mut()
                .into_iter()
                .for_each(|value| value.extend(tokens.as_object().cloned().unwrap_or_default()));
        }
    }
    value
}

/// With its secret; the token of a login is refreshed when it is about to end.
#[utoipa::path(
    get, path = "/api/integrations/{provider}/credentials/{cred_id}",
    operation_id = "getV1Get specific credential by id", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ("cred_id" = String, Path)),
    responses((status = 200, body = inline(schemas::AnyCredentials))),
)]
pub async fn get(
    user: CurrentUser,
    State(credentials): State<Credentials>,
    State(oauth): State<OAuth>,
    Path((provider, cred_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let id = id(&cred_id).ok_or_else(missing)?;
    let found = credentials.open(user.id, id).await?.filter(|found| found.provider == provider);
    let found = oauth.fresh(user.id, found.ok_or_else(missing)?).await?;
    Ok(Json(shown(found)))
}

/// The query of a deletion, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ForceQuery {
    #[param(default = false)]
    force: Option<bool>,
}

#[utoipa::path(
    delete, path = "/api/integrations/{provider}/credentials/{cred_id}",
    operation_id = "deleteV1DeleteCredentials", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ("cred_id" = String, Path), ForceQuery),
    responses((status = 200, body = inline(schemas::CredentialsDeletion))),
)]
pub async fn delete(
    user: CurrentUser,
    State(removal): State<Removal>,
    Path((provider, cred_id)): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    parameters.flag("force")?;
    removal.carry_out(user.id, &provider, &cred_id).await.map(Json)
}

/// Deletes credentials, for the platform's own interface and the external one.
pub struct Removal {
    store: Store,
    credentials: Credentials,
    oauth: OAuth,
}

impl FromRef<AppState> for Removal {
    fn from_ref(state: &AppState) -> Self {
        Self {
            store: state.store.clone(),
            credentials: state.credentials.clone(),
            oauth: state.oauth.clone(),
        }
    }
}

impl Removal {
    /// Deletes a credential here, and tells its provider where that is possible: `revoked` says what came of that.
    pub async fn carry_out(&self, user_id: UserId, provider: &str, cred_id: &str) -> ApiResult<Value> {
        let id = id(cred_id).ok_or_else(missing)?;
        // One that does not open is deleted all the same.
        let opened = self.credentials.open(user_id, id).await.ok().flatten();
        if !self.store.delete_credential(user_id, provider, id).await? {
            return Err(missing());
        }
        let revoked = match opened.map(|opened| opened.secret) {
            Some(CredentialSecret::OAuth2(tokens)) => self.oauth.revoke(provider, &tokens).await,
            _ => None,
        };
        Ok(json!({ "deleted": true, "revoked": revoked }))
    }
}

/// The query of a login, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ScopesQuery {
    #[param(default = "")]
    scopes: Option<String>,
}

/// Where to send the user, and what the frontend gives back when he returns to [`CALLBACK_PAGE`].
#[utoipa::path(
    get, path = "/api/integrations/{provider}/login",
    operation_id = "getV1Initiate oauth flow", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ScopesQuery),
    responses((status = 200, body = schemas::LoginResponse), (status = 501)),
)]
pub async fn login(
    user: CurrentUser,
    State(oauth): State<OAuth>,
    State(settings): State<Settings>,
    Path(provider): Path<String>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let scopes = parameters.text("scopes").unwrap_or_default().split(',').map(str::trim);
    let scopes = scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let back = format!("{}{CALLBACK_PAGE}", frontend(&settings));
    let begun = oauth.begin(user.id, &provider, scopes, back, Value::Null).await?;
    Ok(Json(json!({ "login_url": begun.login_url, "state_token": begun.state_token })))
}

/// What comes back from a provider.
#[derive(Debug, Deserialize)]
pub struct Exchange {
    pub code: String,
    pub state_token: String,
}

impl Shaped for Exchange {
    const SHAPE: Shape = Shape::Model(&[Field::required("code", Shape::Text), Field::required("state_token", Shape::Text)]);
}

/// Keeps what the provider gives for the code.
#[utoipa::path(
    post, path = "/api/integrations/{provider}/callback",
    operation_id = "postV1Exchange oauth code for tokens", tags = ["v1", "integrations"],
    params(("provider" = String, Path)),
    request_body = schemas::Body_postV1Exchange_oauth_code_for_tokens,
    responses((status = 200, body = schemas::CredentialsMetaResponse), (status = 501)),
)]
pub async fn callback(
    user: CurrentUser,
    State(oauth): State<OAuth>,
    Path(provider): Path<String>,
    JsonBody(exchange): JsonBody<Exchange>,
) -> ApiResult<Json<CredentialsMeta>> {
    let done = oauth.finish(user.id, &provider, &exchange.code, &exchange.state_token).await?;
    Ok(Json(done.credential.into()))
}

fn missing() -> ApiError {
    ApiError::not_found("Credentials not found")
}

impl From<vault::Error> for ApiError {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::Key(_) => Self::Generic(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            vault::Error::Store(error) => error.into(),
            // Told loudly: somebody changed the key, or the row.
            other => Self::internal(other),
        }
    }
}
