//! What the API server refuses, in words for the object that it is about: what it said, and what to do.

use crds::conditions::{reason, truncate};
use kube::core::Status;

/// Room for the server's own words.
const WORDS: usize = 1024;

/// A request that was answered with no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the condition, and of the event.
    pub reason: &'static str,
    /// The server's words and the remedy.
    pub message: String,
}

impl Refusal {
    /// A sentence that begins with what was refused.
    pub fn of(&self, what: &str) -> String {
        format!("{what}: {}", self.message)
    }
}

/// The refusal in an error. None when there was no answer, or one that only asks to come back: what was read is out of date, too many ask,
/// or the server is not ready.
pub fn refusal(error: &kube::Error) -> Option<Refusal> {
    let kube::Error::Api(status) = error else { return None };
    let (reason, remedy) = judge(status)?;
    let mut words = status.message.trim().trim_end_matches('.').to_owned();
    if words.is_empty() {
        words = format!("the API server answered {} {}", status.code, status.reason).trim_end().to_owned();
    }
    truncate(&mut words, WORDS);
    Some(Refusal {
        reason,
        message: format!("{words}; {remedy}"),
    })
}

/// Whose no it is, and what helps.
fn judge(status: &Status) -> Option<(&'static str, &'static str)> {
    let says = |words: &str| status.message.contains(words);
    Some(match status.code {
        409 | 429 | 502..=504 => return None,
        // Whatever code a webhook or a policy gives its no, the server puts the same words before it.
        _ if says("denied the request") || says("denied request:") => (
            reason::ADMISSION_DENIED,
            "an admission policy of the cluster says no: change what it complains about, or the policy",
        ),
        403 if says("exceeded quota") => (reason::QUOTA_EXCEEDED, "raise the ResourceQuota, or delete what is no longer needed"),
        403 if says("is being terminated") => (reason::FORBIDDEN, "the namespace is being deleted: nothing new can be made in it"),
        401 | 403 => (
            reason::FORBIDDEN,
            "give the operator's ServiceAccount this right: the chart's roles have it (helm upgrade)",
        ),
        404 => (reason::NOT_FOUND, "install the definitions of this release (helm upgrade)"),
        413 => (
            reason::INVALID,
            "make the graph and its inputs smaller, or put the graph into a ConfigMap",
        ),
        500 if says("failed calling webhook") => (
            reason::ADMISSION_UNAVAILABLE,
            "an admission webhook of the cluster does not answer: see to the service behind it",
        ),
        500.. => (reason::SERVER_ERROR, "see the API server's log"),
        _ => (reason::INVALID, "correct the specification"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> kube::Error {
        let status: Status = serde_json::from_value(serde_json::json!({"code": code, "message": message})).unwrap();
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn each_no_has_its_reason_and_a_remedy() {
        for (code, message, expected, words) in [
            (
                403,
                "graphexecutions.autogpt.dev \"s-1\" is forbidden: exceeded quota: q, requested: 1, used: 0, limited: 0",
                reason::QUOTA_EXCEEDED,
                "raise the ResourceQuota",
            ),
            (
                422,
                "x is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not at night",
                reason::ADMISSION_DENIED,
                "not at night; an admission policy",
            ),
            (
                403,
                "admission webhook \"w.example.com\" denied the request: no.",
                reason::ADMISSION_DENIED,
                "denied the request: no; ",
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"w\": connection refused",
                reason::ADMISSION_UNAVAILABLE,
                "see to the service",
            ),
            (
                403,
                "User \"u\" cannot create resource \"graphexecutions\"",
                reason::FORBIDDEN,
                "helm upgrade",
            ),
            (422, "spec.x: Invalid value", reason::INVALID, "correct the specification"),
            (500, "", reason::SERVER_ERROR, "the API server answered 500;"),
        ] {
            let refusal = refusal(&answer(code, message)).unwrap();
            assert_eq!(refusal.reason, expected, "{message}");
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }

    #[test]
    fn who_is_asked_to_come_back_is_not_refused() {
        for code in [409, 429, 503, 504] {
            assert_eq!(refusal(&answer(code, "later")), None, "{code}");
        }
        let silence = kube::Error::Service("no connection".into());
        assert_eq!(refusal(&silence), None);
    }

    #[test]
    fn a_long_answer_leaves_room_for_the_remedy() {
        let refusal = refusal(&answer(422, &"x".repeat(100_000))).unwrap();
        assert!(refusal.message.len() < 2 * WORDS && refusal.message.ends_with("correct the specification"));
    }
}
