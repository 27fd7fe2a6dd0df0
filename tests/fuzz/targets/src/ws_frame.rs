use ws::frame::{self, Request};

/// A frame that a client sends. It is understood or refused in words, and what it names is what it said.
pub fn ws_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let named = match frame::parse(text) {
        Err(refusal) => return drop(frame::refused(&refusal.to_string())),
        Ok(Request::Heartbeat | Request::ClientError(_)) => return,
        Ok(Request::SubscribeExecution { graph_exec_id, .. } | Request::Unsubscribe { graph_exec_id }) => graph_exec_id,
        Ok(Request::SubscribeGraph { graph_id }) => graph_id,
    };
    let reply = frame::done(frame::Method::Unsubscribe, Some(&named));
    let reply: Result<serde_json::Value, _> = serde_json::from_str(&reply);
    assert!(reply.is_ok_and(|reply| reply["channel"] == named), "{named:?} is not answered as it is");
}
