//! What users let the platform use in their name: credentials for services of others (rest.md §1 area 9, §2.8). Secrets are
//! sealed by the vault before they are stored.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use model::UserId;
use model::credentials::{CredentialSecret, OpenCredential, PutCredential};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Credential, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use vault::Credentials;

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
            scopes: None,
            username: stored.username,
            host: stored.host,
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
    responses((status = 201, body = inline(schemas::AnyCredentials)), (status = 501)),
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
        // Each creation is a credential of its own.
        origin: format!("user/{}", Uuid::new_v4()),
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
        "oauth2" => {
            let text = "OAuth2 credentials cannot be given directly: no OAuth client is configured on this platform";
            return Err(ApiError::detail(StatusCode::NOT_IMPLEMENTED, text));
        }
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
    }
    value
}

/// With its secret.
#[utoipa::path(
    get, path = "/api/integrations/{provider}/credentials/{cred_id}",
    operation_id = "getV1Get specific credential by id", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ("cred_id" = String, Path)),
    responses((status = 200, body = inline(schemas::AnyCredentials))),
)]
pub async fn get(
    user: CurrentUser,
    State(credentials): State<Credentials>,
    Path((provider, cred_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let id = id(&cred_id).ok_or_else(missing)?;
    let found = credentials.open(user.id, id).await?.filter(|found| found.provider == provider);
    found.map(|found| Json(shown(found))).ok_or_else(missing)
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
    State(store): State<Store>,
    Path((provider, cred_id)): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    parameters.flag("force")?;
    remove(&store, user.id, &provider, &cred_id).await.map(Json)
}

/// For the platform's own interface and the external one.
pub async fn remove(store: &Store, user_id: UserId, provider: &str, cred_id: &str) -> ApiResult<Value> {
    let id = id(cred_id).ok_or_else(missing)?;
    if !store.delete_credential(user_id, provider, id).await? {
        return Err(missing());
    }
    // Nothing that is kept here can be revoked at its provider.
    Ok(json!({ "deleted": true, "revoked": null }))
}

/// The query of a login, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ScopesQuery {
    #[param(default = "")]
    scopes: Option<String>,
}

#[utoipa::path(
    get, path = "/api/integrations/{provider}/login",
    operation_id = "getV1Initiate oauth flow", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ScopesQuery),
    responses((status = 200, body = schemas::LoginResponse), (status = 501)),
)]
pub async fn login(_user: CurrentUser, Path(provider): Path<String>) -> ApiResult<Json<Value>> {
    Err(no_oauth(&provider))
}

/// What comes back from a provider.
#[derive(Debug, Deserialize)]
#[allow(dead_code)] // checked, and not used while there is no OAuth client
pub struct Exchange {
    code: String,
    state_token: String,
}

impl Shaped for Exchange {
    const SHAPE: Shape = Shape::Model(&[Field::required("code", Shape::Text), Field::required("state_token", Shape::Text)]);
}

#[utoipa::path(
    post, path = "/api/integrations/{provider}/callback",
    operation_id = "postV1Exchange oauth code for tokens", tags = ["v1", "integrations"],
    params(("provider" = String, Path)),
    request_body = schemas::Body_postV1Exchange_oauth_code_for_tokens,
    responses((status = 200, body = schemas::CredentialsMetaResponse), (status = 501)),
)]
pub async fn callback(_user: CurrentUser, Path(provider): Path<String>, JsonBody(_): JsonBody<Exchange>) -> ApiResult<Json<Value>> {
    Err(no_oauth(&provider))
}

/// 404 for a provider that nobody knows, 501 for one without an OAuth client.
pub fn no_oauth(provider: &str) -> ApiError {
    if PROVIDERS.contains(&provider) {
        let text = format!("No OAuth client is configured for provider '{provider}' on this platform: use an API key");
        ApiError::detail(StatusCode::NOT_IMPLEMENTED, text)
    } else {
        ApiError::not_found(format!("Provider '{provider}' does not support OAuth"))
    }
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
