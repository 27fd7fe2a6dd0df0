//! Submitting runs (internals §2.2–2.4).

use std::sync::Arc;

use engine::error::summary;
use engine::plan::Plan;
use engine::{start, validate};
use model::{ExecutionContext, GraphExecId, GraphExecutionMeta, GraphId, GraphModel, NodeInputMasks, Timestamp, UserId};
use runtime::spans::{About, Kind};
use runtime::trace::{self, Step};
use store::{Accepted, Access, NewRun, PackedRun, StartingNode};
use tracing::Instrument;
use uuid::Uuid;

use crate::graphs::Bundle;
use crate::{Origin, ReadyGraph, SubmitCommand, SubmitError, Submitter, masks};

/// Runs above a run, at most.
const MAX_NESTING: i64 = 16;

/// A graph that may be run as a command says.
pub(crate) struct Judged {
    pub version: i32,
    pub access: Access,
    pub ready: Arc<ReadyGraph>,
    /// Compiled: the command's credentials and masks, by node.
    pub masks: NodeInputMasks,
}

impl Submitter {
    /// Accepts a run: when this returns it is durable, and it will be run. QUEUED, or in any later state when the idempotency key had been
    /// used before.
    pub async fn submit(&self, command: SubmitCommand) -> Result<GraphExecutionMeta, SubmitError> {
        self.accept(command).await.map(|accepted| accepted.execution)
    }

    /// As [`Submitter::submit`], and tells whether the run is a new one.
    pub async fn accept(&self, command: SubmitCommand) -> Result<Accepted, SubmitError> {
        in_a_trace(command.origin, Box::pin(self.accept_here(command))).await
    }

    async fn accept_here(&self, command: SubmitCommand) -> Result<Accepted, SubmitError> {
        if let Some(known) = self.known(command.idempotency_key.as_deref(), command.user_id).await? {
            return Ok(known);
        }
        if let Origin::Agent { parent, .. } = command.origin {
            self.check_depth(parent).await?;
        }
        let run = self.prepare(&command).await?;
        self.accept_prepared(run, &command).await
    }

    /// The run of a key that has been used before.
    pub(crate) async fn known(&self, key: Option<&str>, user_id: UserId) -> Result<Option<Accepted>, SubmitError> {
        let Some(key) = key else { return Ok(None) };
        let found = self.store.find_by_idempotency_key(key).await?;
        found.map(|execution| own(Accepted { execution, created: false }, user_id)).transpose()
    }

    pub(crate) async fn accept_prepared(&self, run: NewRun, command: &SubmitCommand) -> Result<Accepted, SubmitError> {
        let accepted = match command.origin {
            Origin::Agent { parent, epoch } => self.accept_child(run, parent, epoch).await,
            Origin::User | Origin::Schedule | Origin::Resource | Origin::Redrive => self.accept_parentless(run).await,
        };
        let accepted = accepted.map_err(|error| match error.constraint() {
            Some("graph_executions_user_id_fkey") => SubmitError::Invalid(format!("{} is no user of this platform", command.user_id)),
            _ => SubmitError::Store(error),
        })?;
        if accepted.created {
            tracing::debug!(graph_exec_id = %accepted.execution.id, origin = ?command.origin, "run accepted");
        }
        own(accepted, command.user_id)
    }

    async fn accept_child(&self, run: NewRun, parent: GraphExecId, epoch: i64) -> Result<Accepted, store::Error> {
        let accepted = self.store.accept_child(run, parent, epoch).await?;
        if accepted.created {
            self.store.outbox_notifier().wake();
        }
        Ok(accepted)
    }

    async fn accept_parentless(&self, run: NewRun) -> Result<Accepted, store::Error> {
        self.intake.accept(PackedRun::new(run)?).await
    }

    /// Whether the command would be accepted now, as a schedule wants to know before it is created.
    pub async fn check(&self, command: &SubmitCommand) -> Result<(), SubmitError> {
        self.prepare(command).await.map(drop)
    }

    /// Whether the user may run the graph, and it is complete with what the command gives. The values that starting nodes begin with are not
    /// looked at.
    pub(crate) async fn judge(&self, command: &SubmitCommand) -> Result<Judged, SubmitError> {
        let version = self.resolve_version(command.graph_id, command.graph_version).await?;
        let access = self.check_access(command.user_id, command.graph_id, version, command.origin).await?;
        let ready = self.ready_graph(command.graph_id, version).await?;
        if command.origin == Origin::Resource {
            known_credentials(&ready.graph, command)?;
        }
        let masks = masks::compile(&ready.graph, &command.credentials, &command.masks, self.catalog.as_ref());
        let mut node_errors = validate::for_run(&ready.graph, self.catalog.as_ref(), &masks)?;
        for (node, fields) in self.credential_errors(command.user_id, &ready.graph, &masks).await? {
            node_errors.entry(node).or_default().extend(fields);
        }
        if !node_errors.is_empty() {
            return Err(SubmitError::Validation {
                message: summary(&node_errors),
                node_errors,
            });
        }
        Ok(Judged {
            version,
            access,
            ready,
            masks,
        })
    }

    pub(crate) async fn prepare(&self, command: &SubmitCommand) -> Result<NewRun, SubmitError> {
        let Judged {
            version,
            access,
            ready,
            masks: compiled_masks,
        } = self.judge(command).await?;
        let starting = start::starting_inputs(&ready.plan, &command.inputs, &compiled_masks)?;
        let deadline_at = self.deadline(command)?;
        let id = Uuid::now_v7();
        Ok(NewRun {
            id,
            user_id: command.user_id,
            graph_id: command.graph_id,
            graph_version: version,
            inputs: command.inputs.clone(),
            credential_inputs: command.credentials.clone(),
            nodes_input_masks: command.masks.clone(),
            compiled_masks,
            preset_id: preset(command)?,
            context: command.context.clone().unwrap_or_else(|| default_context(id, &access)),
            parent: parent(command.origin),
            idempotency_key: command.idempotency_key.clone(),
            traceparent: trace::current().map(|trace| trace.to_string()),
            deadline_at,
            taken_over: Vec::new(),
            starting_nodes: starting
                .into_iter()
                .map(|(node_id, input)| StartingNode {
                    node_exec_id: Uuid::now_v7(),
                    node_id,
                    input,
                })
                .collect(),
            queued: true,
        })
    }

    /// An agent that runs itself, directly or through others, comes to an end here.
    async fn check_depth(&self, parent: GraphExecId) -> Result<(), SubmitError> {
        if self.store.depth(parent).await? < MAX_NESTING {
            return Ok(());
        }
        Err(SubmitError::Invalid(format!(
            "agents run inside agents at most {MAX_NESTING} deep: does this one run itself?"
        )))
    }

    fn deadline(&self, command: &SubmitCommand) -> Result<Option<Timestamp>, SubmitError> {
        let now = Timestamp::now();
        match command.deadline {
            Some(deadline) if deadline <= now => Err(SubmitError::Invalid(format!(
                "the deadline {deadline} has passed: give a later one, or none"
            ))),
            Some(deadline) => Ok(Some(deadline)),
            None => Ok(self.run_deadline.map(|time| Timestamp::from(now.into_inner() + time))),
        }
    }

    async fn resolve_version(&self, graph_id: GraphId, version: Option<i32>) -> Result<i32, SubmitError> {
        match version {
            Some(version) => Ok(version),
            None => match self.store.get_graph_metadata(graph_id, None).await? {
                Some(graph) => Ok(graph.version),
                None => Err(SubmitError::GraphNotFound { graph_id, version }),
            },
        }
    }

    /// The rule of who may run what: owns that version, and has the graph in the library unless a run's node asks.
    pub async fn check_access(&self, user_id: UserId, graph_id: GraphId, version: i32, origin: Origin) -> Result<Access, SubmitError> {
        let access = self.store.graph_access(user_id, graph_id, version).await?;
        if !access.exists {
            return Err(SubmitError::GraphNotFound {
                graph_id,
                version: Some(version),
            });
        }
        if !access.readable {
            return Err(SubmitError::NotAccessible);
        }
        if !access.in_library && parent(origin).is_none() && origin != Origin::Redrive {
            return Err(SubmitError::NotInLibrary);
        }
        Ok(access)
    }

    pub(crate) async fn ready_graph(&self, graph_id: GraphId, version: i32) -> Result<Arc<ReadyGraph>, SubmitError> {
        let key = (graph_id, version);
        if let Some(ready) = self.ready.get(&key).await {
            return Ok(ready);
        }
        let bundle = self.bundle(graph_id, Some(version)).await?;
        let Bundle { graph, is_whole } = bundle.ok_or(SubmitError::GraphNotFound {
            graph_id,
            version: Some(version),
        })?;
        let plan = Arc::new(Plan::compile(&graph.nodes, &graph.links, self.catalog.as_ref())?);
        let ready = Arc::new(ReadyGraph { graph, plan });
        if is_whole {
            self.ready.insert(key, Arc::clone(&ready)).await;
        }
        Ok(ready)
    }
}

/// A run belongs to the trace of the request that asks for it. What no request asks for, a schedule for instance, begins a trace of its own.
pub(crate) async fn in_a_trace<T>(origin: Origin, submission: impl Future<Output = Result<T, SubmitError>>) -> Result<T, SubmitError> {
    if trace::current().is_some() {
        return submission.await;
    }
    let mut step = Step::first(|| About::new(Kind::Internal, "submit").with("origin", origin.name()));
    let span = tracing::info_span!("submit", trace_id = %step.trace().id());
    let outcome = trace::within(step.trace(), submission).instrument(span).await;
    if let Err(error) = &outcome {
        step.fail(error);
    }
    outcome
}

/// Whoever writes an object is told about a misspelt name at once; REST ignores what a graph does not take, as the contract has it.
fn known_credentials(graph: &GraphModel, command: &SubmitCommand) -> Result<(), SubmitError> {
    let taken = graph.credentials_input_schema.get("properties").and_then(serde_json::Value::as_object);
    let is_taken = |name: &&String| taken.is_some_and(|taken| taken.contains_key(*name));
    let Some(unknown) = command.credentials.keys().find(|name| !is_taken(name)) else {
        return Ok(());
    };
    let names: Vec<&str> = taken.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    Err(SubmitError::Invalid(if names.is_empty() {
        format!("the graph takes no credentials, but {unknown} was given: leave it out")
    } else {
        format!("the graph takes no credentials named {unknown}; it takes {}", names.join(", "))
    }))
}

/// A key that somebody else has used tells nothing about his run.
fn own(accepted: Accepted, user_id: UserId) -> Result<Accepted, SubmitError> {
    if accepted.execution.user_id == user_id {
        Ok(accepted)
    } else {
        Err(SubmitError::Invalid("the idempotency key has been used by another user".to_owned()))
    }
}

fn parent(origin: Origin) -> Option<GraphExecId> {
    match origin {
        Origin::Agent { parent, .. } => Some(parent),
        Origin::User | Origin::Schedule | Origin::Resource | Origin::Redrive => None,
    }
}

fn preset(command: &SubmitCommand) -> Result<Option<Uuid>, SubmitError> {
    let parse = |id: &String| id.parse().map_err(|_| SubmitError::Invalid(format!("Preset #{id} not found")));
    command.preset_id.as_ref().map(parse).transpose()
}

/// Internals §2.2 step 7.
fn default_context(id: GraphExecId, access: &Access) -> ExecutionContext {
    let zone = access.timezone.as_deref().filter(|zone| *zone != "not-set");
    ExecutionContext {
        safe_mode: access.safe_mode.unwrap_or(true),
        user_timezone: zone.unwrap_or("UTC").to_owned(),
        root_execution_id: Some(id),
        parent_execution_id: None,
    }
}
