//! Requests to addresses that users choose (blocks-local.md, SendWebRequestBlock).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use runtime::settings::BlockSettings;
use url::{Host, Url};

use crate::address::is_public;
use crate::reply::{self, BodyError};
use crate::trust::Trusted;

/// Redirects that are followed.
pub const MAX_REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that connects to public addresses only. Cheap to clone.
///
/// Names are resolved inside the connector and every answer is looked at there, so that a name cannot answer differently between the check
/// and the connection. Redirects are followed here, each checked like the first request.
#[derive(Debug, Clone)]
pub struct Web {
    filtered: reqwest::Client,
    /// For hosts that are trusted by name.
    trusting: reqwest::Client,
    trusted: Trusted,
    timeout: Duration,
    max_reply: usize,
}

/// One request.
#[derive(Debug, Clone)]
pub struct WebRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Headers that only the origin of `url` may see, whatever their names.
    pub secret_headers: HeaderMap,
    pub body: Option<Bytes>,
}

impl WebRequest {
    /// A plain GET.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            secret_headers: HeaderMap::new(),
            body: None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct WebReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl WebReply {
    /// The media type as sent, parameters included; empty when there is none.
    pub fn content_type(&self) -> &str {
        let given = self.headers.get(http::header::CONTENT_TYPE);
        given.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("{url:?} is no URL: {reason}")]
    NoUrl { url: String, reason: String },
    #[error("Access to blocked or private address of {host} is not allowed. Name a public host, or ask the platform's operator to trust this one")]
    Refused { host: String },
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
    #[error("there was no complete reply within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the reply is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request failed: {0}")]
    Failed(String),
}

impl Web {
    pub fn new(settings: &BlockSettings) -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                // A proxy would connect to addresses that nobody has looked at.
                .no_proxy()
                .user_agent(concat!("autogpt/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            filtered: builder().dns_resolver(Arc::new(PublicOnly)).build()?,
            trusting: builder().build()?,
            trusted: Trusted::new(&settings.trusted_hosts),
            timeout: Duration::from_secs(settings.web_timeout_seconds),
            max_reply: settings.web_max_reply_bytes,
        })
    }

    /// Sends a request once and follows redirects, keeping method and body.
    pub async fn send(&self, request: WebRequest) -> Result<WebReply, WebError> {
        tokio::time::timeout(self.timeout, self.follow(request))
            .await
            .unwrap_or(Err(WebError::Timeout(self.timeout)))
    }

    /// An address of a host that a block may connect to by itself.
    pub async fn address(&self, host: &str, port: u16) -> Result<IpAddr, WebError> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| WebError::Failed(error.to_string()))?
            .collect();
        let url = Url::parse(&format!("http://{host}:{port}"));
        let trusted = url.is_ok_and(|url| self.trusted.holds(&url));
        match found.first() {
            Some(first) if trusted || found.iter().all(|address| is_public(address.ip())) => Ok(first.ip()),
            Some(_) => Err(WebError::Refused { host: host.to_owned() }),
            None => Err(WebError::Failed(format!("{host} has no address"))),
        }
    }

    async fn follow(&self, mut request: WebRequest) -> Result<WebReply, WebError> {
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.once(&request).await?;
            let Some(target) = redirect(&request.url, &reply)? else {
                let (status, headers) = (reply.status(), reply.headers().clone());
                let body = reply::whole(reply, self.max_reply).await.map_err(|error| match error {
                    BodyError::TooLarge(limit) => WebError::TooLarge(limit),
                    BodyError::Broken(error) => WebError::Failed(explain(&error)),
                })?;
                return Ok(WebReply { status, headers, body });
            };
            if target.origin() != request.url.origin() {
                for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                    request.headers.remove(name);
                }
                request.secret_headers.clear();
            }
            request.url = target;
        }
        Err(WebError::Redirects)
    }

    async fn once(&self, request: &WebRequest) -> Result<reqwest::Response, WebError> {
        let client = if self.trusted.holds(&request.url) {
            &self.trusting
        } else {
            refuse_literal(&request.url)?;
            &self.filtered
        };
        let mut headers = request.secret_headers.clone();
        for (name, value) in &request.headers {
            headers.insert(name, value.clone());
        }
        headers.remove(HeaderName::from_static("host"));
        let mut sending = client.request(request.method.clone(), request.url.clone()).headers(headers);
        if let Some(body) = &request.body {
            sending = sending.body(body.clone());
        }
        sending.send().await.map_err(|error| {
            if blocked(&error) {
                WebError::Refused {
                    host: request.url.host_str().unwrap_or_default().to_owned(),
                }
            } else {
                WebError::Failed(explain(&error))
            }
        })
    }
}

/// Reads an address as a person types it: blanks and slashes around it do not count, and without a scheme it is http.
pub fn read_url(text: &str) -> Result<Url, WebError> {
    let no_url = |reason: String| WebError::NoUrl {
        url: text.to_owned(),
        reason,
    };
    let trimmed = text.trim().trim_matches('/').trim();
    let with_scheme = if text.contains("://") {
        trimmed.to_owned()
    } else {
        format!("http://{trimmed}")
    };
    let url = Url::parse(&with_scheme).map_err(|error| no_url(error.to_string()))?;
    check(url).map_err(no_url)
}

/// Only http and https, only with a host that is a name or an IPv4 address (finding 29).
fn check(url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("scheme {:?} is not allowed, only http and https are", url.scheme()));
    }
    match url.host() {
        Some(Host::Ipv6(_)) => Err("an IPv6 address is no valid host name".to_owned()),
        Some(_) => Ok(url),
        None => Err("it has no host".to_owned()),
    }
}

/// Addresses that stand in the URL do not pass through the resolver.
fn refuse_literal(url: &Url) -> Result<(), WebError> {
    let public = match url.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    if public {
        Ok(())
    } else {
        Err(WebError::Refused {
            host: url.host_str().unwrap_or_default().to_owned(),
        })
    }
}

/// Where a reply sends the client, if it does.
fn redirect(from: &Url, reply: &reqwest::Response) -> Result<Option<Url>, WebError> {
    if !matches!(reply.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = reply.headers().get(LOCATION) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(location.as_bytes());
    let no_url = |reason: String| WebError::NoUrl {
        url: text.to_string(),
        reason,
    };
    let target = from.join(&text).map_err(|error| no_url(error.to_string()))?;
    check(target).map(Some).map_err(no_url)
}

/// Resolves names to public addresses; a name with any other address is refused as a whole.
struct PublicOnly;

/// A name leads to an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to an address that is not public")]
struct Blocked(String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().all(|address| is_public(address.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(Blocked(name.as_str().to_owned()).into())
            }
        })
    }
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
}

fn blocked(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| cause.downcast_ref::<Blocked>().is_some())
}

/// What went wrong, without the URL, which may hold secrets.
fn explain(error: &reqwest::Error) -> String {
    let causes: Vec<String> = chain(error).skip(1).map(ToString::to_string).collect();
    if causes.is_empty() {
        "the connection broke".to_owned()
    } else {
        causes.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::read_url;

    #[test]
    fn an_address_is_read_as_people_type_it() {
        let read = |text: &str| read_url(text).map(String::from).map_err(|error| error.to_string());
        assert_eq!(read(" example.com/a/ ").unwrap(), "http://example.com/a");
        assert_eq!(read("https://example.com/").unwrap(), "https://example.com/");
        for refused in [
            "",
            "http://",
            "ftp://example.com",
            "file:///etc/passwd",
            "http://[::1]/",
            "http://[::ffff:1.2.3.4]/",
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
        // Other spellings of loopback are addresses, not names.
        assert_eq!(read("http://0x7f.1/").unwrap(), "http://127.0.0.1/");
        assert_eq!(read("http://2130706433").unwrap(), "http://127.0.0.1/");
    }
}
