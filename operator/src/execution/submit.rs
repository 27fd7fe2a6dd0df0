//! One submission: from the object to the platform's answer.

use std::time::Duration;

use chrono::Utc;
use crds::conditions::reason;
use crds::{AutoGPTPlatform, CredentialReferences, GraphExecution, LocalObjectReference};
use indexmap::IndexMap;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::{Client, ResourceExt};
use model::progress::{GraphSource, SubmitRequest, Submitted};
use model::{Timestamp, UserId};
use rpc::services::{Scheduler, SchedulerClient};
use rpc::{RpcError, RpcErrorKind};

use crate::execution::gate::{self, NotNow};
use crate::execution::{board, credentials, graph, retry};

/// A submission takes a transaction; a longer one is lost, and repeated with the same key.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Retries of retries that are followed back to the first execution.
const MOST_RETRIES: usize = 100;

/// What came of it.
pub enum Outcome {
    Accepted(Submitted, Option<String>),
    /// It may be accepted later.
    Pending(NotNow),
    /// It never will be.
    Refused {
        spec_valid: bool,
        reason: &'static str,
        message: String,
    },
}

/// Submits the run under its idempotency key: however often this is repeated, there is one run.
pub async fn submit(
    client: &Client,
    scheduler: &SchedulerClient,
    execution: &GraphExecution,
    platform: &AutoGPTPlatform,
) -> Result<Outcome, kube::Error> {
    let spec = &execution.spec;
    let meant = match &spec.retry_of {
        Some(reference) => retried(client, execution, reference, platform).await?,
        None => named(client, execution, platform).await?,
    };
    let Submission {
        owner,
        source,
        hash,
        credentials,
    } = match meant {
        Ok(meant) => meant,
        Err(not_now) if not_now.never => return Ok(refused(false, not_now.reason, not_now.message)),
        Err(not_now) => return Ok(Outcome::Pending(not_now)),
    };
    let secrets = match credentials::read_all(client, execution, &credentials).await? {
        Ok(secrets) => secrets,
        Err(not_now) if not_now.never => return Ok(refused(false, not_now.reason, not_now.message)),
        Err(not_now) => return Ok(Outcome::Pending(not_now)),
    };
    let inputs_from_schedule = match spec.inputs_ref.as_ref().map(|reference| reference.schedule_id.parse()).transpose() {
        Ok(id) => id,
        Err(error) => return Ok(refused(false, reason::INVALID, format!("spec.inputsRef.scheduleId is no UUID: {error}"))),
    };
    let Some(idempotency_key) = board::key(execution) else {
        return Ok(refused(false, reason::INVALID, "the object has no UID".to_owned()));
    };
    let mut credentials = IndexMap::new();
    for (input, secret) in secrets {
        let kept = tokio::time::timeout(TIMEOUT, scheduler.put_credential(owner, secret)).await;
        match kept {
            Ok(Ok(reference)) => credentials.insert(input, reference),
            Ok(Err(error)) => return Ok(judge(&error, platform)),
            Err(_) => return Ok(unreachable(platform, &silence())),
        };
    }
    let request = SubmitRequest {
        idempotency_key,
        platform_uid: platform.uid().unwrap_or_default(),
        owner,
        graph: source,
        inputs: spec.inputs.clone().unwrap_or_default(),
        inputs_from_schedule,
        credentials,
        // Of a repeated submission the first one's holds.
        deadline: spec.deadline().map(|time| Timestamp::from(Utc::now() + time)),
    };
    let answer = tokio::time::timeout(TIMEOUT, scheduler.submit_graph_execution(request)).await;
    Ok(match answer {
        Ok(Ok(submitted)) => Outcome::Accepted(submitted, hash),
        Ok(Err(error)) => judge(&error, platform),
        Err(_) => unreachable(platform, &silence()),
    })
}

/// In whose name which graph runs.
struct Submission {
    owner: Option<UserId>,
    source: GraphSource,
    hash: Option<String>,
    credentials: CredentialReferences,
}

/// The graph that the specification names, and its owner.
async fn named(client: &Client, execution: &GraphExecution, platform: &AutoGPTPlatform) -> Result<Result<Submission, NotNow>, kube::Error> {
    let owner = match gate::owner(execution, platform) {
        Ok(owner) => owner,
        Err(not_now) => return Ok(Err(not_now)),
    };
    let spec = &execution.spec;
    let text = match &spec.graph.config_map_ref {
        None => None,
        Some(reference) => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &execution.namespace().unwrap_or_default());
            let found = api.get_opt(&reference.name).await?;
            match found.and_then(|map| map.data).and_then(|mut data| data.remove(&reference.key)) {
                Some(text) => Some(text),
                None => {
                    return Ok(Err(NotNow {
                        reason: reason::CONFIG_MAP_MISSING,
                        message: format!(
                            "there is no ConfigMap {} with a key {}: create it, and the run starts by itself",
                            reference.name, reference.key
                        ),
                        never: false,
                    }));
                }
            }
        }
    };
    let meant = graph::read(&spec.graph, text.as_deref()).map_err(|error| NotNow {
        reason: reason::GRAPH_INVALID,
        message: error.to_string(),
        never: true,
    });
    Ok(meant.map(|meant| Submission {
        owner,
        source: meant.source,
        hash: meant.hash,
        credentials: spec.credentials.clone(),
    }))
}

/// The run that the specification retries, and its owner. The object is read live: a cache may not know yet that it is over.
async fn retried(
    client: &Client,
    execution: &GraphExecution,
    reference: &LocalObjectReference,
    platform: &AutoGPTPlatform,
) -> Result<Result<Submission, NotNow>, kube::Error> {
    let api: Api<GraphExecution> = Api::namespaced(client.clone(), &execution.namespace().unwrap_or_default());
    let found = api.get_opt(&reference.name).await?;
    let run = match retry::retried(execution, reference, found.as_ref()) {
        Ok(run) => run,
        Err(not_now) => return Ok(Err(not_now)),
    };
    // A retry has the owner and the Secrets of the execution that was the first.
    let mut first = found;
    for _ in 0..MOST_RETRIES {
        let Some(former) = first.as_ref().and_then(|first| first.spec.retry_of.as_ref()) else {
            break;
        };
        first = api.get_opt(&former.name).await?;
    }
    let submission = retry::first(reference, first.as_ref()).and_then(|spec| {
        Ok(Submission {
            owner: gate::allowed(spec.owner.as_deref(), platform)?,
            source: GraphSource::Retry { graph_exec_id: run },
            hash: None,
            credentials: spec.credentials.clone(),
        })
    });
    Ok(submission)
}

fn silence() -> String {
    format!("no answer within {} s", TIMEOUT.as_secs())
}

fn refused(spec_valid: bool, reason: &'static str, message: String) -> Outcome {
    Outcome::Refused { spec_valid, reason, message }
}

/// Errors of the contract's ValueError family are about the request and final; all others are about the way or the server.
fn judge(error: &RpcError, platform: &AutoGPTPlatform) -> Outcome {
    if !error.kind.status().is_client_error() {
        return unreachable(platform, &error.to_string());
    }
    match error.kind {
        // A graph of no sound structure, or inputs that it cannot begin with, have no kind of their own.
        RpcErrorKind::GraphValidation | RpcErrorKind::Value => refused(false, reason::GRAPH_INVALID, validation(error)),
        RpcErrorKind::GraphNotFound | RpcErrorKind::GraphNotInLibrary => {
            let remedy = "check graph.id and graph.version, and that the owner may run it";
            refused(true, reason::GRAPH_NOT_FOUND, format!("{}; {remedy}", error.message))
        }
        RpcErrorKind::GraphNotAccessible => {
            let remedy = "ask for access, or run one of the owner's graphs";
            refused(true, reason::GRAPH_NOT_ACCESSIBLE, format!("{}; {remedy}", error.message))
        }
        _ => refused(true, reason::REFUSED, error.message.clone()),
    }
}

/// The message with what is wrong at each node.
fn validation(error: &RpcError) -> String {
    let mut lines = vec![error.message.clone()];
    for (node, fields) in error.node_errors().and_then(serde_json::Value::as_object).into_iter().flatten() {
        for (field, problem) in fields.as_object().into_iter().flatten() {
            let problem = problem.as_str().map_or_else(|| problem.to_string(), str::to_owned);
            lines.push(format!("node {node}, {field}: {problem}"));
        }
    }
    lines.join("; ")
}

fn unreachable(platform: &AutoGPTPlatform, why: &str) -> Outcome {
    let (name, namespace) = (platform.name_any(), platform.namespace().unwrap_or_default());
    Outcome::Pending(NotNow {
        reason: reason::PLATFORM_UNREACHABLE,
        message: format!(
            "the scheduler service of AutoGPTPlatform {name} cannot be used ({why}); the run starts by itself when it can; see `kubectl -n {namespace} describe agp {name}`"
        ),
        never: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(error: &RpcError) -> Outcome {
        judge(error, &AutoGPTPlatform::default())
    }

    #[test]
    fn a_bad_graph_is_refused_with_what_is_wrong_at_each_node() {
        let error = RpcError::graph_validation("Graph validation failed", serde_json::json!({"n1": {"format": "This field is required"}}));
        let Outcome::Refused { spec_valid, reason, message } = outcome(&error) else {
            panic!("not refused")
        };
        assert_eq!((spec_valid, reason), (false, reason::GRAPH_INVALID));
        assert_eq!(message, "Graph validation failed; node n1, format: This field is required");
    }

    #[test]
    fn a_graph_of_no_sound_structure_is_invalid() {
        let outcome = outcome(&RpcError::new(RpcErrorKind::Value, "node n1 has an unknown block"));
        assert!(matches!(
            outcome,
            Outcome::Refused {
                spec_valid: false,
                reason: reason::GRAPH_INVALID,
                ..
            }
        ));
    }

    #[test]
    fn what_is_not_about_the_request_is_tried_again() {
        for kind in [
            RpcErrorKind::Connection,
            RpcErrorKind::Timeout,
            RpcErrorKind::Database,
            RpcErrorKind::HttpClient,
            RpcErrorKind::HttpServer,
            RpcErrorKind::UnhealthyService,
        ] {
            assert!(matches!(outcome(&RpcError::new(kind, "x")), Outcome::Pending(_)), "{kind:?}");
        }
        for kind in [
            RpcErrorKind::Value,
            RpcErrorKind::GraphNotFound,
            RpcErrorKind::InsufficientBalance,
            RpcErrorKind::NotAuthorized,
        ] {
            assert!(matches!(outcome(&RpcError::new(kind, "x")), Outcome::Refused { .. }), "{kind:?}");
        }
    }
}
