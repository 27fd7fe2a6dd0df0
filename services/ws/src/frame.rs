//! The frames of the WebSocket protocol (internals §3.2): what a client may send, and what it is answered.

use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The methods that exist. A text that is none of them makes the whole frame invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    SubscribeGraphExecution,
    SubscribeGraphExecutions,
    Unsubscribe,
    GraphExecutionEvent,
    NodeExecutionEvent,
    Notification,
    Error,
    Heartbeat,
    /// Ours: events were lost, the present state follows. Only for clients that said `last_event_id`, or when not all of the state does.
    Resync,
}

/// What a client asks for. Ids are the client's texts: a foreign or malformed one names a channel on which nothing comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    SubscribeExecution {
        graph_exec_id: String,
        /// Ours: the `event_id` of the last frame that the client has seen of this run, 0 for none. Its frames are numbered then.
        last_event_id: Option<i64>,
    },
    SubscribeGraph {
        graph_id: String,
    },
    Unsubscribe {
        graph_exec_id: String,
    },
    Heartbeat,
    /// A client's `error` frame: for the log only.
    ClientError(String),
}

/// Why a frame is refused. The texts are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Invalid message format. Review the schema and retry")]
    Format,
    #[error("Subscription data missing")]
    DataMissing,
    #[error("Invalid message data. Refer to the API schema")]
    Data,
    #[error("Message type is not processed by the server")]
    NotProcessed,
}

#[derive(Deserialize)]
struct Incoming {
    method: Method,
    #[serde(default)]
    data: Value,
    #[serde(default, rename = "success")]
    _success: Option<bool>,
    #[serde(default, rename = "channel")]
    _channel: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// Reads a client's frame.
pub fn parse(text: &str) -> Result<Request, Refusal> {
    let incoming: Incoming = serde_json::from_str(text).map_err(|_| Refusal::Format)?;
    if incoming.data.is_number() || incoming.data.is_boolean() {
        return Err(Refusal::Format);
    }
    match incoming.method {
        Method::SubscribeGraphExecution => {
            let graph_exec_id = id(&incoming.data, "graph_exec_id")?;
            let last_event_id = event_id(incoming.data.get("last_event_id"))?;
            Ok(Request::SubscribeExecution {
                graph_exec_id,
                last_event_id,
            })
        }
        Method::SubscribeGraphExecutions => id(&incoming.data, "graph_id").map(|graph_id| Request::SubscribeGraph { graph_id }),
        Method::Unsubscribe => id(&incoming.data, "graph_exec_id").map(|graph_exec_id| Request::Unsubscribe { graph_exec_id }),
        Method::Heartbeat => Ok(Request::Heartbeat),
        Method::Error => Ok(Request::ClientError(incoming.error.unwrap_or_default())),
        Method::GraphExecutionEvent | Method::NodeExecutionEvent | Method::Notification | Method::Resync => Err(Refusal::NotProcessed),
    }
}

/// A number, or the same as text.
fn event_id(given: Option<&Value>) -> Result<Option<i64>, Refusal> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_i64().map(Some).ok_or(Refusal::Data),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| Refusal::Data),
        Some(_) => Err(Refusal::Data),
    }
}

fn id(data: &Value, name: &str) -> Result<String, Refusal> {
    let empty = match data {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if empty {
        return Err(Refusal::DataMissing);
    }
    data.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::Data)
}

/// A server frame: all five keys, nulls included.
#[derive(Serialize)]
struct Outgoing<'a, Data: Serialize> {
    method: Method,
    data: Option<Data>,
    success: Option<bool>,
    channel: Option<&'a str>,
    error: Option<&'a str>,
    /// The outer option tells whether the frame has the key at all, which the contract does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Option<i64>>,
}

/// The reply to every heartbeat.
pub const PONG: Utf8Bytes = Utf8Bytes::from_static(r#"{"method":"heartbeat","data":"pong","success":true}"#);

/// The reply to a request that was carried out.
pub fn done(method: Method, channel: Option<&str>) -> Utf8Bytes {
    text(&Outgoing {
        method,
        data: None::<()>,
        success: Some(true),
        channel,
        error: None,
        event_id: None,
    })
}

/// The reply to a request that was not.
pub fn refused(reason: &str) -> Utf8Bytes {
    text(&Outgoing {
        method: Method::Error,
        data: None::<()>,
        success: Some(false),
        channel: None,
        error: Some(reason),
        event_id: None,
    })
}

/// Something that happened.
pub fn event(method: Method, data: impl Serialize, channel: Option<&str>) -> Utf8Bytes {
    text(&Outgoing {
        method,
        data: Some(data),
        success: None,
        channel,
        error: None,
        event_id: None,
    })
}

/// Something that happened, with its place in the run's journal where it has one.
pub fn numbered(method: Method, data: impl Serialize, channel: &str, event_id: Option<i64>) -> Utf8Bytes {
    text(&Outgoing {
        method,
        data: Some(data),
        success: None,
        channel: Some(channel),
        error: None,
        event_id: Some(event_id),
    })
}

fn text<Data: Serialize>(frame: &Outgoing<'_, Data>) -> Utf8Bytes {
    // Texts, options and JSON values always serialise.
    serde_json::to_string(frame).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_by_method() {
        let execution = Request::SubscribeExecution {
            graph_exec_id: "e".to_owned(),
            last_event_id: None,
        };
        for (given, last_event_id) in [("7", Some(7)), ("\"7\"", Some(7)), ("null", None)] {
            let asked = format!(r#"{{"method":"subscribe_graph_execution","data":{{"graph_exec_id":"e","last_event_id":{given}}}}}"#);
            let graph_exec_id = "e".to_owned();
            assert_eq!(
                parse(&asked),
                Ok(Request::SubscribeExecution {
                    graph_exec_id,
                    last_event_id
                })
            );
        }
        assert_eq!(
            parse(r#"{"method":"subscribe_graph_execution","data":{"graph_exec_id":"e"}}"#),
            Ok(execution)
        );
        let graph = Request::SubscribeGraph { graph_id: "g".to_owned() };
        assert_eq!(
            parse(r#"{"method":"subscribe_graph_executions","data":{"graph_id":"g","more":1},"success":null}"#),
            Ok(graph)
        );
        let unsubscribe = Request::Unsubscribe {
            graph_exec_id: "e".to_owned(),
        };
        assert_eq!(parse(r#"{"method":"unsubscribe","data":{"graph_exec_id":"e"}}"#), Ok(unsubscribe));
        for heartbeat in [r#"{"method":"heartbeat","data":"ping"}"#, r#"{"method":"heartbeat"}"#] {
            assert_eq!(parse(heartbeat), Ok(Request::Heartbeat));
        }
        assert_eq!(parse(r#"{"method":"error","error":"oh"}"#), Ok(Request::ClientError("oh".to_owned())));
    }

    #[test]
    fn bad_frames_are_refused_in_the_contracts_words() {
        let refusals = [
            ("", Refusal::Format),
            ("ping", Refusal::Format),
            ("[]", Refusal::Format),
            (r#"{"data":{}}"#, Refusal::Format),
            (r#"{"method":"subscribe"}"#, Refusal::Format),
            (r#"{"method":"heartbeat","data":1}"#, Refusal::Format),
            (r#"{"method":"unsubscribe","success":"maybe"}"#, Refusal::Format),
            (r#"{"method":"subscribe_graph_execution"}"#, Refusal::DataMissing),
            (r#"{"method":"subscribe_graph_execution","data":null}"#, Refusal::DataMissing),
            (r#"{"method":"unsubscribe","data":{}}"#, Refusal::DataMissing),
            (r#"{"method":"unsubscribe","data":""}"#, Refusal::DataMissing),
            (r#"{"method":"subscribe_graph_execution","data":{"graph_id":"g"}}"#, Refusal::Data),
            (r#"{"method":"subscribe_graph_execution","data":{"graph_exec_id":7}}"#, Refusal::Data),
            (r#"{"method":"subscribe_graph_executions","data":"g"}"#, Refusal::Data),
            (r#"{"method":"notification","data":{"x":1}}"#, Refusal::NotProcessed),
            (r#"{"method":"graph_execution_event"}"#, Refusal::NotProcessed),
            (r#"{"method":"resync"}"#, Refusal::NotProcessed),
            (
                r#"{"method":"subscribe_graph_execution","data":{"graph_exec_id":"e","last_event_id":[]}}"#,
                Refusal::Data,
            ),
        ];
        for (text, refusal) in refusals {
            assert_eq!(parse(text), Err(refusal), "{text}");
        }
    }

    #[test]
    fn server_frames_hold_all_five_keys() {
        assert_eq!(
            done(Method::SubscribeGraphExecution, Some("u|graph_exec#e")).as_str(),
            r#"{"method":"subscribe_graph_execution","data":null,"success":true,"channel":"u|graph_exec#e","error":null}"#
        );
        assert_eq!(
            refused("Subscription data missing").as_str(),
            r#"{"method":"error","data":null,"success":false,"channel":null,"error":"Subscription data missing"}"#
        );
        assert_eq!(
            event(Method::Notification, serde_json::json!({"type": "onboarding"}), None).as_str(),
            r#"{"method":"notification","data":{"type":"onboarding"},"success":null,"channel":null,"error":null}"#
        );
    }
}
