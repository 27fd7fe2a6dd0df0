//! Sends an HTTP request to an address of the user's choice, with or without credentials.

use engine::block::Effects;
use engine::types::PinType;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::Map;
use model::credentials::CredentialSecret;
use outside::{WebReply, WebRequest, read_url};
use serde_json::{Value, json};
use url::Url;
use uuid::uuid;

use super::body;
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::catalog::{credentials, files};
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"];

pub(crate) fn plain() -> Acting {
    let described = Describe::new(
        uuid!("6595ae1f-b924-42cb-9a41-551a0611c4b4"),
        "SendWebRequestBlock",
        "Sends a request to a web server.",
    );
    Acting::new(with_pins(described, Vec::new()).build(), |input, context, out| send(input, context, out)).with_effects(effects)
}

pub(crate) fn authenticated() -> Acting {
    let described = Describe::new(
        uuid!("fff86bcd-e001-4bad-a7f6-2eae4720c8dc"),
        "SendAuthenticatedWebRequestBlock",
        "Sends a request to a web server with the headers of your credentials for its host.",
    );
    let pin = credentials::pin(&["http"], "host_scoped").extra("discriminator", "url");
    Acting::new(with_pins(described, vec![pin]).build(), |input, context, out| send(input, context, out)).with_effects(effects)
}

fn with_pins(described: Describe, credentials: Vec<PinSpec>) -> Describe {
    let text_map = PinType::dict(PinType::Str, PinType::Str);
    described
        .categories(&["OUTPUT"])
        .effects(Effects::Once)
        .input(required("url", PinType::Str).about("The address.").placeholder("https://api.example.com"))
        .input(optional("method", PinType::literal(METHODS), json!("POST")).about("The method."))
        .input(optional("headers", text_map, json!({})).about("Headers of the request."))
        .input(optional("json_format", PinType::Bool, json!(true)).about("Whether to send the body as JSON; otherwise as a form."))
        .input(optional("body", PinType::optional(PinType::object()), Value::Null).about("The fields of the body."))
        .input(optional("files_name", PinType::Str, json!("file")).about("The name under which files are sent."))
        .input(optional("files", PinType::list(PinType::File), json!([])).about("Files to send; needs a form."))
        .inputs(credentials)
        .output(output("response", PinType::Any).about("The answer, when it is a success."))
        .output(output("client_error", PinType::Any).about("The answer, when the server blames the request."))
        .output(output("server_error", PinType::Any).about("The answer, when the server failed."))
}

/// Reading may be repeated, everything else must not happen twice.
fn effects(input: &Map) -> Effects {
    match input.get("method").and_then(Value::as_str) {
        Some("GET" | "HEAD" | "OPTIONS") => Effects::Idempotent,
        _ => Effects::Once,
    }
}

fn send<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let url = read_url(&input.text("url")).map_err(|error| Failure::raised(error.to_string()))?;
        let secret_headers = match input.0.contains_key("credentials") {
            true => headers_for(&url, credentials::open(&mut input, context).await?.secret)?,
            false => HeaderMap::new(),
        };
        let method = Method::from_bytes(input.text("method").as_bytes()).map_err(|error| Failure::raised(error.to_string()))?;
        let mut headers = header_map(
            input
                .map("headers")
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
        )?;
        let sent = content(&mut input, context).await?;
        let media_type = match &sent {
            Some(body) => Some(body.media_type.clone()),
            // As the reference's client does for these methods without a body.
            None if matches!(method, Method::POST | Method::PUT | Method::PATCH) => Some("application/octet-stream".to_owned()),
            None => None,
        };
        if let Some(media_type) = media_type.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.entry(CONTENT_TYPE).or_insert(media_type);
        }
        let request = WebRequest {
            method,
            url,
            headers,
            secret_headers,
            body: sent.map(|body| body.content.into()),
        };
        let reply = context
            .outside
            .web()
            .send(request)
            .await
            .map_err(|error| Failure::raised(error.to_string()))?;
        let pin = match reply.status {
            status if status.is_success() => "response",
            status if status.is_client_error() => "client_error",
            _ => "server_error",
        };
        out.emit(pin, read(&reply)?).await
    })
}

async fn content(input: &mut Inputs, context: &BlockContext) -> Result<Option<body::Body>, Failure> {
    let as_json = input.flag("json_format");
    let names = input.list("files");
    let fields = match input.optional("body") {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    if names.is_empty() {
        return Ok(fields.map(|fields| if as_json { body::json(&fields) } else { body::form(&fields) }));
    }
    if as_json {
        return Err(Failure::raised(
            "json_format=True cannot be combined with files: set it to false to send a form",
        ));
    }
    let mut taken = Vec::new();
    for name in &names {
        taken.push(files::take_in(context, name.as_str().unwrap_or_default()).await?);
    }
    Ok(Some(body::multipart(&fields.unwrap_or_default(), &input.text("files_name"), &taken)))
}

/// The answer as a value: parsed when it says that it is JSON, otherwise text.
fn read(reply: &WebReply) -> Result<Value, Failure> {
    if reply.status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    if reply.content_type().starts_with("application/json") {
        return serde_json::from_slice(&reply.body).map_err(|error| Failure::raised(format!("the answer is no JSON, although it says so: {error}")));
    }
    Ok(Value::from(String::from_utf8_lossy(&reply.body).into_owned()))
}

/// The headers of a credential, if it is meant for the host of the address.
fn headers_for(url: &Url, secret: CredentialSecret) -> Result<HeaderMap, Failure> {
    match secret {
        CredentialSecret::HostScoped { host, headers } if is_for(&host, url) => {
            let mut headers = header_map(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
            headers.values_mut().for_each(|value| value.set_sensitive(true));
            Ok(headers)
        }
        _ => Ok(HeaderMap::new()),
    }
}

/// A host with or without port, or `*.domain` for all hosts below a domain.
fn is_for(scope: &str, url: &Url) -> bool {
    let scope = scope.trim().to_ascii_lowercase();
    let Some(host) = url.host_str() else { return false };
    let port = url.port_or_known_default().unwrap_or_default();
    let (name, wanted) = match scope.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(wanted))) => (name, Some(wanted)),
        _ => (scope.as_str(), None),
    };
    let fits = match name.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.ends_with('.')),
        None => host == name,
    };
    fits && wanted.is_none_or(|wanted| wanted == port)
}

fn header_map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let refused = || Failure::raised(format!("{name:?} cannot be sent as a header"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        headers.insert(header, HeaderValue::from_str(value).map_err(|_| refused())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn credentials_are_for_their_host_only() {
        let fits = |scope: &str, url: &str| is_for(scope, &url.parse().unwrap());
        assert!(fits("api.example.com", "https://API.example.com/x") && fits("*.example.com", "https://a.b.example.com"));
        assert!(fits("example.com:8443", "https://example.com:8443") && fits("example.com", "https://example.com:8443"));
        for (scope, url) in [
            ("example.com", "https://api.example.com"),
            ("*.example.com", "https://example.com"),
            ("*.example.com", "https://evilexample.com"),
            ("example.com:8443", "https://example.com"),
            ("example.com", "https://example.com.evil.test"),
        ] {
            assert!(!fits(scope, url), "{scope} {url}");
        }
    }
}
