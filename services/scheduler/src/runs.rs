//! Starting and stopping runs on behalf of the operator and the REST server.

use std::sync::Arc;

use crds::conditions::reason::GRAPH_NOT_FOUND;
use model::progress::{GraphSource, SubmitRequest, Submitted};
use model::{ExecutionStatus, GraphExecId, UserId};
use rpc::RpcError;
use store::{Accepted, Schedule, Store};
use submit::{Origin, RetryCommand, SubmitCommand, SubmitError, Submitter};
use uuid::Uuid;

use crate::error::{of_store, of_submit};
use crate::hints::CancelHints;
use crate::metrics::SchedulerMetrics;
use crate::reaction::Reaction;
use crate::schedules::{Removal, ScheduleStore};

/// Bytes that the column of idempotency keys takes.
const LONGEST_KEY: usize = 1024;

pub struct Runs {
    pub store: Store,
    pub submitter: Submitter,
    pub schedules: Arc<dyn ScheduleStore>,
    pub hints: CancelHints,
    /// Owner of runs that name none.
    pub service_user: UserId,
    pub metrics: SchedulerMetrics,
}

impl Runs {
    /// The same key always answers with the same run, also when what it was made from is gone since.
    pub async fn submit(&self, request: SubmitRequest) -> Result<Submitted, RpcError> {
        let outcome = self.accept(request).await;
        match &outcome {
            Ok(run) if run.created => self.metrics.submitted.inc(),
            Ok(_) => 0,
            Err(_) => self.metrics.refused.inc(),
        };
        outcome
    }

    async fn accept(&self, request: SubmitRequest) -> Result<Submitted, RpcError> {
        if !(1..=LONGEST_KEY).contains(&request.idempotency_key.len()) {
            return Err(RpcError::value(format!("idempotency_key must have 1 to {LONGEST_KEY} bytes")));
        }
        let owner = self.owner(request.owner).await?;
        if let GraphSource::Retry { graph_exec_id } = request.graph {
            let command = RetryCommand {
                user_id: owner,
                of: graph_exec_id,
                idempotency_key: Some(request.idempotency_key),
                deadline: request.deadline,
                origin: Origin::Resource,
            };
            return self.submitter.retry(command).await.map(submitted).map_err(of_submit);
        }
        match request.inputs_from_schedule {
            Some(schedule_id) => self.submit_slot(request, owner, schedule_id).await,
            None => {
                let command = self.command(request, owner, None).await.map_err(of_submit)?;
                self.submitter.accept(command).await.map(submitted).map_err(of_submit)
            }
        }
    }

    /// A slot of a schedule that was made through REST: what cannot run any more is removed, as the contract has it.
    async fn submit_slot(&self, request: SubmitRequest, owner: UserId, schedule_id: Uuid) -> Result<Submitted, RpcError> {
        let key = request.idempotency_key.clone();
        let schedule = match self.schedules.get(schedule_id).await? {
            Some(schedule) if schedule.user_id == owner => schedule,
            Some(_) => return Err(RpcError::not_authorized(format!("Schedule #{schedule_id} belongs to another user"))),
            None => return self.submit_orphan(&key, owner, schedule_id).await,
        };
        let outcome = match self.command(request, owner, Some(&schedule)).await {
            Ok(command) => self.submitter.accept(command).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(accepted) => Ok(submitted(accepted)),
            Err(error) => {
                self.react(&schedule, &error).await;
                Err(of_submit(error))
            }
        }
    }

    /// The row is gone, and with it the inputs: somebody deleted the schedule or its graph while the object was about to fire.
    async fn submit_orphan(&self, key: &str, owner: UserId, schedule_id: Uuid) -> Result<Submitted, RpcError> {
        if let Some(execution) = self.store.find_by_idempotency_key(key).await.map_err(of_store)?
            && execution.user_id == owner
        {
            return Ok(submitted(Accepted { execution, created: false }));
        }
        let gone = format!("Schedule #{schedule_id} or its graph was deleted: it has no inputs any more");
        let why = Removal::hopeless(GRAPH_NOT_FOUND, &gone);
        self.schedules.delete(schedule_id, Some(&why)).await?;
        Err(RpcError::graph_not_found(gone))
    }

    async fn react(&self, schedule: &Schedule, error: &SubmitError) {
        let reaction = Reaction::to(error);
        tracing::warn!(schedule_id = %schedule.id, graph_id = %schedule.graph_id, %error, ?reaction, "a schedule could not start its run");
        let done = match &reaction {
            Reaction::DeleteAllOfGraph(why) => self.schedules.delete_of_graph(schedule.user_id, schedule.graph_id, why).await.map(drop),
            Reaction::DeleteThis(why) => self.schedules.delete(schedule.id, Some(why)).await,
            // The operator decides about slots.
            Reaction::GiveUpSlot | Reaction::TryAgain => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(schedule_id = %schedule.id, %error, "a schedule that cannot run any more could not be deleted");
        }
    }

    /// With a schedule, inputs and credentials are those of its row.
    async fn command(&self, request: SubmitRequest, owner: UserId, schedule: Option<&Schedule>) -> Result<SubmitCommand, SubmitError> {
        let (graph_id, graph_version) = match request.graph {
            GraphSource::Stored { id, version } => (id, version),
            GraphSource::Inline { graph } => {
                let (id, version) = self.submitter.ensure_inline_graph(&request.platform_uid, owner, *graph).await?;
                (id, Some(version))
            }
            GraphSource::Retry { .. } => return Err(SubmitError::Invalid("a run of a schedule is no retry".to_owned())),
        };
        let (inputs, credentials, origin) = match schedule {
            Some(schedule) => (schedule.inputs.clone(), schedule.credentials.clone(), Origin::Schedule),
            None => (request.inputs, request.credentials, Origin::Resource),
        };
        Ok(SubmitCommand {
            user_id: owner,
            graph_id,
            graph_version,
            inputs,
            credentials,
            idempotency_key: Some(request.idempotency_key),
            deadline: request.deadline,
            origin,
            ..SubmitCommand::default()
        })
    }

    /// Who owns what names no owner, made a user if need be.
    pub async fn owner(&self, named: Option<UserId>) -> Result<UserId, RpcError> {
        match named {
            Some(owner) if owner != self.service_user => Ok(owner),
            _ => {
                self.store.ensure_service_user(self.service_user).await.map_err(of_store)?;
                Ok(self.service_user)
            }
        }
    }

    /// Asks a run and all runs below it to end. What nobody works on is over at once.
    pub async fn stop(&self, graph_exec_id: GraphExecId) -> Result<ExecutionStatus, RpcError> {
        let unknown = || RpcError::not_found(format!("Graph execution #{graph_exec_id} not found."));
        self.store.get_status(graph_exec_id).await.map_err(of_store)?.ok_or_else(unknown)?;
        let requests = self.store.request_cancel(None, graph_exec_id).await.map_err(of_store)?;
        for request in requests.iter().filter(|request| request.held && !request.status.is_terminal()) {
            self.hints.send(request.graph_exec_id);
        }
        // The database manager tells about runs that ended right now.
        self.store.outbox_notifier().wake();
        requests.first().map(|request| request.status).ok_or_else(unknown)
    }
}

fn submitted(accepted: Accepted) -> Submitted {
    Submitted {
        graph_exec_id: accepted.execution.id,
        graph_id: accepted.execution.graph_id,
        graph_version: accepted.execution.graph_version,
        status: accepted.execution.status,
        created: accepted.created,
    }
}
