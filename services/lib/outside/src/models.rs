//! Chat completions over any service that speaks OpenAI's protocol.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use runtime::Settings;
use runtime::retry::Backoff;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::reply::{self, BodyError};
use crate::web::{Web, WebError, WebRequest, read_url};

/// Requests for one completion, the first included.
const ATTEMPTS: u32 = 5;
/// The longest wait that a service may ask for before its next answer.
const MAX_WAIT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which a stream counts as broken. A model may think for long before its first word.
const IDLE: Duration = Duration::from_secs(300);
/// Bytes of what is kept of a refusal.
const MAX_COMPLAINT: usize = 64 << 10;

/// The provider of the model that the platform itself asks, if there is one. No model that users can choose has this provider.
pub const ASSISTANT: &str = "assistant";

/// The services that answer for models, by provider.
#[derive(Debug, Clone)]
pub struct Models {
    http: reqwest::Client,
    bases: HashMap<String, Url>,
    max_reply: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
}

/// What is asked of a model.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub provider: &'a str,
    pub model: &'a str,
    pub api_key: &'a str,
    pub messages: &'a [Message],
    pub max_tokens: Option<i64>,
    /// The answer must be one JSON object.
    pub json_object: bool,
    /// `host:port` of the user's own server, for the provider `ollama`.
    pub ollama_host: &'a str,
}

/// Tokens, as the service counts them; zero when it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    #[serde(default)]
    pub prompt_tokens: i64,
    #[serde(default)]
    pub completion_tokens: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    pub text: String,
    pub usage: Usage,
    /// Requests that were made for it beyond the first.
    pub retries: u32,
}

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("there is no base URL for models of {0}")]
    NoBase(String),
    #[error("the API key cannot be sent in a header")]
    Key,
    #[error("the model service answered {status}: {complaint}")]
    Refused { status: u16, complaint: String },
    #[error("the answer of the model service cannot be read: {0}")]
    Unreadable(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the connection to the model service broke: {0}")]
    Broken(String),
    #[error(transparent)]
    Web(#[from] WebError),
}

/// One attempt that failed, and whether another may do better.
struct Attempt {
    error: ModelError,
    again: bool,
    wait: Option<Duration>,
}

impl From<ModelError> for Attempt {
    fn from(error: ModelError) -> Self {
        Self {
            again: matches!(error, ModelError::Broken(_)),
            error,
            wait: None,
        }
    }
}

impl Models {
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let assistant = std::iter::once((ASSISTANT, settings.assistant.base_url.as_str()));
        let bases = settings.models.base_urls().chain(assistant);
        let parsed = bases.filter_map(|(provider, base)| Some((provider.to_owned(), Url::parse(base).ok()?)));
        Ok(Self {
            http: reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(IDLE)
                // A redirect would carry the key to somebody else.
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
            bases: parsed.collect(),
            max_reply: settings.blocks.web_max_reply_bytes,
        })
    }

    /// Asks until there is an answer, at most [`ATTEMPTS`] times: again after 429, 5xx and broken connections, no sooner than the service
    /// says in Retry-After.
    pub async fn complete(&self, asked: &Asked<'_>, web: &Web) -> Result<Completion, ModelError> {
        let mut backoff = Backoff::default();
        for attempt in 0.. {
            let Attempt { error, again, wait } = match self.attempt(asked, web).await {
                Ok(completion) => {
                    return Ok(Completion {
                        retries: attempt,
                        ..completion
                    });
                }
                Err(failed) => failed,
            };
            if !again || attempt + 1 >= ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "a model is asked again");
            tokio::time::sleep(wait.unwrap_or_default().max(backoff.next_delay()).min(MAX_WAIT)).await;
        }
        Err(ModelError::Broken("there was no attempt".to_owned()))
    }

    async fn attempt(&self, asked: &Asked<'_>, web: &Web) -> Result<Completion, Attempt> {
        if asked.provider == "ollama" {
            return self.of_user_server(asked, web).await;
        }
        let mut speech = self.begin(asked).await?;
        while speech.next().await?.is_some() {}
        Ok(speech.said)
    }

    /// Asks once, for an answer that is to be heard while it is given.
    pub async fn stream(&self, asked: &Asked<'_>) -> Result<Speech, ModelError> {
        self.begin(asked).await.map_err(|attempt| attempt.error)
    }

    async fn begin(&self, asked: &Asked<'_>) -> Result<Speech, Attempt> {
        let base = self
            .bases
            .get(asked.provider)
            .ok_or_else(|| ModelError::NoBase(asked.provider.to_owned()))?;
        let reply = self
            .http
            .post(endpoint(base))
            .headers(headers(asked)?)
            .body(body(asked, true))
            .send()
            .await
            .map_err(|error| ModelError::Broken(error.without_url().to_string()))?;
        let status = reply.status();
        if !status.is_success() {
            let wait = retry_after(reply.headers());
            let complaint = reply::whole(reply, MAX_COMPLAINT).await.unwrap_or_default();
            return Err(refused(status, wait, &complaint));
        }
        let streams = reply
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut speech = Speech {
            reply: None,
            limit: self.max_reply,
            taken: 0,
            bytes: Vec::new(),
            ready: VecDeque::new(),
            said: Completion::default(),
        };
        if streams {
            speech.reply = Some(reply);
        } else {
            let whole = reply::whole(reply, self.max_reply).await.map_err(|error| match error {
                BodyError::TooLarge(limit) => ModelError::TooLarge(limit),
                BodyError::Broken(error) => ModelError::Broken(error.without_url().to_string()),
            })?;
            speech.said = answer(&whole)?;
            speech.ready.push_back(speech.said.text.clone());
        }
        Ok(speech)
    }

    /// The host is the user's choice, so the request goes the way of all such requests.
    async fn of_user_server(&self, asked: &Asked<'_>, web: &Web) -> Result<Completion, Attempt> {
        let base = read_url(&format!("{}/v1", asked.ollama_host.trim_end_matches('/'))).map_err(ModelError::from)?;
        let request = WebRequest {
            method: Method::POST,
            url: endpoint(&base),
            headers: headers(asked)?,
            secret_headers: HeaderMap::new(),
            body: Some(body(asked, false).into()),
        };
        let reply = web.send(request).await.map_err(|error| match error {
            WebError::Failed(cause) => ModelError::Broken(cause),
            other => ModelError::Web(other),
        })?;
        if !reply.status.is_success() {
            return Err(refused(reply.status, retry_after(&reply.headers), &reply.body));
        }
        Ok(answer(&reply.body)?)
    }
}

/// An answer while it is given.
#[derive(Debug)]
pub struct Speech {
    /// What is still to come; none of an answer that came as a whole, or has ended.
    reply: Option<reqwest::Response>,
    limit: usize,
    taken: usize,
    /// The beginning of a line.
    bytes: Vec<u8>,
    /// Pieces that nobody has taken yet.
    ready: VecDeque<String>,
    said: Completion,
}

impl Speech {
    /// The next piece, never an empty one; none at the end.
    pub async fn next(&mut self) -> Result<Option<String>, ModelError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let Some(reply) = &mut self.reply else { return Ok(None) };
            let chunk = reply.chunk().await.map_err(|error| ModelError::Broken(error.without_url().to_string()))?;
            let Some(chunk) = chunk else {
                return Err(ModelError::Broken("the stream ended before the answer did".to_owned()));
            };
            self.taken += chunk.len();
            if self.taken > self.limit {
                return Err(ModelError::TooLarge(self.limit));
            }
            let before = self.said.text.len();
            for byte in chunk {
                if byte != b'\n' {
                    self.bytes.push(byte);
                } else if take_line(&std::mem::take(&mut self.bytes), &mut self.said)? {
                    self.reply = None;
                    break;
                }
            }
            let piece = self.said.text.get(before..).unwrap_or_default();
            if !piece.is_empty() {
                self.ready.push_back(piece.to_owned());
            }
        }
    }

    /// All that was said so far.
    pub fn said(&self) -> &Completion {
        &self.said
    }
}

/// Takes one line of a stream in. True at its end.
fn take_line(line: &[u8], completion: &mut Completion) -> Result<bool, ModelError> {
    let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
        return Ok(false);
    };
    if data == b"[DONE]" {
        return Ok(true);
    }
    let piece: Piece = read(data)?;
    piece.check()?;
    if let Some(usage) = piece.usage {
        completion.usage = usage;
    }
    for text in piece.choices.into_iter().take(1).filter_map(|choice| choice.delta?.content) {
        completion.text.push_str(&text);
    }
    Ok(false)
}

/// An answer, or a piece of one.
#[derive(Debug, Deserialize)]
struct Piece {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Content>,
    #[serde(default)]
    message: Option<Content>,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

impl Piece {
    /// Some services report a failure inside a reply that began well.
    fn check(&self) -> Result<(), ModelError> {
        match &self.error {
            Some(error) if !error.is_null() => Err(ModelError::Refused {
                status: StatusCode::OK.as_u16(),
                complaint: complaint_of(error),
            }),
            _ => Ok(()),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Piece, ModelError> {
    serde_json::from_slice(bytes).map_err(|error| ModelError::Unreadable(error.to_string()))
}

fn answer(body: &[u8]) -> Result<Completion, ModelError> {
    let piece = read(body)?;
    piece.check()?;
    let text = piece.choices.into_iter().next().and_then(|choice| choice.message?.content);
    Ok(Completion {
        text: text.ok_or_else(|| ModelError::Unreadable("it holds no message".to_owned()))?,
        usage: piece.usage.unwrap_or_default(),
        retries: 0,
    })
}

fn refused(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Attempt {
    let complaint = match serde_json::from_slice::<Value>(body) {
        Ok(parsed) => complaint_of(parsed.get("error").unwrap_or(&parsed)),
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(500).collect(),
    };
    Attempt {
        again: status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
        error: ModelError::Refused {
            status: status.as_u16(),
            complaint,
        },
        wait,
    }
}

fn complaint_of(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

/// Seconds, which is what these services send.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn endpoint(base: &Url) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/chat/completions", base.path().trim_end_matches('/')));
    url
}

fn headers(asked: &Asked<'_>) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !asked.api_key.is_empty() {
        let mut key = HeaderValue::from_str(&format!("Bearer {}", asked.api_key)).map_err(|_| ModelError::Key)?;
        key.set_sensitive(true);
        headers.insert(AUTHORIZATION, key);
    }
    Ok(headers)
}

fn body(asked: &Asked<'_>, stream: bool) -> Vec<u8> {
    let mut body = json!({ "model": asked.model, "messages": asked.messages, "stream": stream });
    if let Value::Object(fields) = &mut body {
        if stream {
            fields.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        }
        if let Some(limit) = asked.max_tokens {
            fields.insert("max_tokens".to_owned(), json!(limit));
        }
        if asked.json_object {
            fields.insert("response_format".to_owned(), json!({ "type": "json_object" }));
        }
    }
    Bytes::from(body.to_string()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::{Completion, Usage, answer, endpoint, take_line};

    #[test]
    fn a_stream_is_put_together() {
        let mut completion = Completion::default();
        for line in [
            &b": keep-alive"[..],
            b"",
            br#"data: {"choices":[{"delta":{"role":"assistant"}}]}"#,
            br#"data: {"choices":[{"delta":{"content":"Hel"}}]}"#,
            br#"data:{"choices":[{"delta":{"content":"lo"}}]}"#,
            br#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        ] {
            assert!(!take_line(line, &mut completion).unwrap());
        }
        assert!(take_line(b"data: [DONE]\r", &mut completion).unwrap());
        let usage = Usage {
            prompt_tokens: 3,
            completion_tokens: 2,
        };
        assert_eq!((completion.text.as_str(), completion.usage), ("Hello", usage));
        assert!(take_line(br#"data: {"error":{"message":"overloaded"}}"#, &mut completion).is_err());
    }

    #[test]
    fn an_answer_without_a_message_is_an_error() {
        assert!(answer(b"{}").is_err() && answer(b"no").is_err());
        assert_eq!(answer(br#"{"choices":[{"message":{"content":"x"}}]}"#).unwrap().text, "x");
    }

    #[test]
    fn the_endpoint_is_below_the_base() {
        for base in ["http://h/v1", "http://h/v1/"] {
            assert_eq!(endpoint(&base.parse().unwrap()).as_str(), "http://h/v1/chat/completions");
        }
    }
}
