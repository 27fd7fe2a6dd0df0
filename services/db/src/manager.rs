//! The methods of the contract, each a line or two over the store.

use std::sync::Arc;

use async_trait::async_trait;
use blocks::{BlockKind, Registry};
use indexmap::IndexMap;
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::graph::GraphSettings;
use model::library::{LibraryAgent, LibraryAgents, LibrarySort};
use model::notification::{
    DueSummary, NotificationEvent, NotificationPreference, NotificationType, UserExecutionSummary, UserNotificationBatch, UserNotificationEvent,
};
use model::review::{RepeatAnswer, ReviewResult};
use model::user::{UsageTransactionMetadata, User};
use model::{
    AgentRequest, AgentRun, AppendOutcome, BlockId, ClaimedRun, CredentialsMetaInput, CreditCheck, CreditReservation, DeadRun, ExecutionContext,
    ExecutionStatus, GivenUpRun, Graph, GraphExecId, GraphExecution, GraphExecutionMeta, GraphExecutionWithNodes, GraphId, GraphModel, HeldRun,
    JournalBatch, Link, Map, NodeExecId, NodeExecutionResult, NodeId, NodeInputMasks, NodeModel, NodeStats, RenewOutcome, ReserveOutcome,
    StoredStats, Timestamp, UserId,
};
use rpc::RpcError;
use rpc::services::DatabaseManager;
use runtime::Settings;
use serde_json::Value;
use store::{
    ClaimLimits, ExecutionFilter, IoBlocks, NewRun, NodeExecutionFilter, NodeExecutionUpdate, OutboxNotifier, ReviewQuestion, StartingNode, Store,
};
use submit::{Origin, SubmitError, Submitter};
use uuid::Uuid;
use vault::Credentials;

use crate::agents;
use crate::doorbell::Doorbell;
use crate::errors::{from_store, from_submit};
use crate::instruments::Instruments;
use crate::reviews::Reviews;

type Reply<T> = Result<T, RpcError>;

/// Longest answer about dead runs.
const MOST_DEAD_RUNS: u32 = 1000;

/// Serves the database to the other services.
pub struct Manager {
    settings: Settings,
    store: Store,
    submitter: Submitter,
    notifier: OutboxNotifier,
    io: IoBlocks,
    reviews: Reviews,
    credentials: Credentials,
    instruments: Instruments,
    doorbell: Doorbell,
}

impl Manager {
    pub fn new(
        settings: Settings,
        store: Store,
        registry: Arc<Registry>,
        credentials: Credentials,
        instruments: Instruments,
        doorbell: Doorbell,
    ) -> Self {
        Self {
            credentials,
            io: io_blocks(&registry),
            submitter: Submitter::new(store.clone(), registry).with_run_deadline(settings.executor.run_deadline()),
            notifier: store.outbox_notifier(),
            reviews: Reviews::new(store.clone(), &settings),
            settings,
            store,
            instruments,
            doorbell,
        }
    }

    async fn node_execution(&self, id: NodeExecId) -> Reply<NodeExecutionResult> {
        let found = self.store.get_node_execution(id).await.map_err(from_store)?;
        found.ok_or_else(|| RpcError::not_found(format!("Node execution #{id} not found")))
    }
}

/// The blocks that carry a run's inputs and outputs.
pub fn io_blocks(registry: &Registry) -> IoBlocks {
    let of_kind = |kinds: &[BlockKind]| {
        let descriptors = registry.iter().map(blocks::Block::descriptor);
        descriptors.filter(|block| kinds.contains(&block.kind)).map(|block| block.id).collect()
    };
    IoBlocks {
        input: of_kind(&[BlockKind::Input]),
        output: of_kind(&[BlockKind::Output]),
        webhook: of_kind(&[BlockKind::Webhook, BlockKind::WebhookManual]),
    }
}

#[async_trait]
impl DatabaseManager for Manager {
    async fn get_child_graph_executions(&self, parent_exec_id: GraphExecId) -> Reply<Vec<GraphExecutionMeta>> {
        self.store.get_child_executions(parent_exec_id).await.map_err(from_store)
    }

    async fn get_graph_executions(
        &self,
        graph_exec_id: Option<GraphExecId>,
        graph_id: Option<GraphId>,
        graph_version: Option<i32>,
        user_id: Option<UserId>,
        statuses: Option<Vec<ExecutionStatus>>,
        created_time_gte: Option<Timestamp>,
        created_time_lte: Option<Timestamp>,
        limit: Option<i64>,
    ) -> Reply<Vec<GraphExecutionMeta>> {
        let filter = ExecutionFilter {
            graph_exec_id,
            graph_id,
            graph_version,
            user_id,
            statuses,
            created_after: created_time_gte,
            created_before: created_time_lte,
            limit,
        };
        self.store.list_executions(&filter).await.map_err(from_store)
    }

    async fn get_graph_executions_count(
        &self,
        user_id: Option<UserId>,
        graph_id: Option<GraphId>,
        statuses: Option<Vec<ExecutionStatus>>,
        created_time_gte: Option<Timestamp>,
        created_time_lte: Option<Timestamp>,
    ) -> Reply<i64> {
        let filter = ExecutionFilter {
            user_id,
            graph_id,
            statuses,
            created_after: created_time_gte,
            created_before: created_time_lte,
            ..ExecutionFilter::default()
        };
        self.store.count_executions(&filter).await.map_err(from_store)
    }

    async fn get_graph_execution_meta(&self, user_id: UserId, execution_id: GraphExecId) -> Reply<Option<GraphExecutionMeta>> {
        self.store.get_execution_meta(user_id, execution_id).await.map_err(from_store)
    }

    async fn get_graph_execution(&self, user_id: Option<UserId>, execution_id: GraphExecId) -> Reply<Option<GraphExecutionWithNodes>> {
        let mut found = self
            .store
            .get_execution_with_nodes(user_id, execution_id, &self.io)
            .await
            .map_err(from_store)?;
        if let Some(found) = &mut found {
            let limit = self.settings.executor.max_concurrent_graph_executions_per_user;
            found.waiting = self.store.waiting(execution_id, limit).await.map_err(from_store)?;
        }
        Ok(found)
    }

    async fn create_graph_execution(
        &self,
        graph_id: GraphId,
        graph_version: i32,
        starting_nodes_input: Vec<(NodeId, Map)>,
        inputs: Map,
        user_id: UserId,
        preset_id: Option<String>,
        credential_inputs: Option<IndexMap<String, CredentialsMetaInput>>,
        nodes_input_masks: Option<NodeInputMasks>,
        parent_graph_exec_id: Option<GraphExecId>,
    ) -> Reply<GraphExecutionWithNodes> {
        let preset_id = preset_id.map(|id| id.parse().map_err(|_| RpcError::value(format!("Preset #{id} not found"))));
        let masks = nodes_input_masks.unwrap_or_default();
        let id = Uuid::now_v7();
        let starting = |(node_id, input)| StartingNode {
            node_exec_id: Uuid::now_v7(),
            node_id,
            input,
        };
        let run = NewRun {
            id,
            user_id,
            graph_id,
            graph_version,
            inputs,
            credential_inputs: credential_inputs.unwrap_or_default(),
            compiled_masks: masks.clone(),
            nodes_input_masks: masks,
            preset_id: preset_id.transpose()?,
            context: ExecutionContext {
                root_execution_id: Some(id),
                parent_execution_id: parent_graph_exec_id,
                ..ExecutionContext::default()
            },
            parent: parent_graph_exec_id,
            idempotency_key: None,
            traceparent: runtime::trace::current().map(|trace| trace.to_string()),
            deadline_at: None,
            taken_over: Vec::new(),
            starting_nodes: starting_nodes_input.into_iter().map(starting).collect(),
            queued: false,
        };
        self.store.accept_run(run).await.map_err(from_store)?;
        let created = self
            .store
            .get_execution_with_nodes(Some(user_id), id, &self.io)
            .await
            .map_err(from_store)?;
        created.ok_or_else(|| RpcError::not_found(format!("Graph execution #{id} not found")))
    }

    async fn get_node_execution(&self, node_exec_id: NodeExecId) -> Reply<Option<NodeExecutionResult>> {
        self.store.get_node_execution(node_exec_id).await.map_err(from_store)
    }

    async fn get_node_executions(
        &self,
        graph_exec_id: Option<GraphExecId>,
        node_id: Option<NodeId>,
        block_ids: Option<Vec<BlockId>>,
        statuses: Option<Vec<ExecutionStatus>>,
        limit: Option<i64>,
        created_time_gte: Option<Timestamp>,
        created_time_lte: Option<Timestamp>,
        include_exec_data: bool,
    ) -> Reply<Vec<NodeExecutionResult>> {
        let filter = NodeExecutionFilter {
            graph_exec_id,
            node_id,
            block_ids,
            statuses,
            limit,
            added_after: created_time_gte,
            added_before: created_time_lte,
            with_data: include_exec_data,
        };
        self.store.get_node_executions(&filter).await.map_err(from_store)
    }

    async fn get_latest_node_execution(&self, node_id: NodeId, graph_eid: GraphExecId) -> Reply<Option<NodeExecutionResult>> {
        self.store.get_latest_node_execution(node_id, graph_eid).await.map_err(from_store)
    }

    async fn update_node_execution_status(
        &self,
        node_exec_id: NodeExecId,
        status: ExecutionStatus,
        execution_data: Option<Map>,
        stats: Option<NodeStats>,
    ) -> Reply<NodeExecutionResult> {
        if status == ExecutionStatus::Queued && execution_data.is_none() {
            return Err(RpcError::value("Execution data must be provided when queuing an execution."));
        }
        let update = NodeExecutionUpdate {
            status,
            execution_data,
            stats,
        };
        self.store.update_node_executions(&[node_exec_id], update).await.map_err(from_store)?;
        self.node_execution(node_exec_id).await
    }

    async fn update_node_execution_status_batch(
        &self,
        node_exec_ids: Vec<NodeExecId>,
        status: ExecutionStatus,
        stats: Option<NodeStats>,
    ) -> Reply<i64> {
        let update = NodeExecutionUpdate {
            status,
            execution_data: None,
            stats,
        };
        let changed = self.store.update_node_executions(&node_exec_ids, update).await.map_err(from_store)?;
        Ok(i64::try_from(changed).unwrap_or(i64::MAX))
    }

    async fn update_graph_execution_start_time(&self, graph_exec_id: GraphExecId) -> Reply<Option<GraphExecution>> {
        let running = Some(ExecutionStatus::Running);
        self.store
            .update_execution(graph_exec_id, running, None, &self.io)
            .await
            .map_err(from_store)
    }

    async fn update_graph_execution_stats(
        &self,
        graph_exec_id: GraphExecId,
        status: Option<ExecutionStatus>,
        stats: Option<StoredStats>,
    ) -> Reply<Option<GraphExecution>> {
        if status.is_none() && stats.is_none() {
            return Err(RpcError::value("Must provide either status or stats to update."));
        }
        let updated = self
            .store
            .update_execution(graph_exec_id, status, stats, &self.io)
            .await
            .map_err(from_store)?;
        self.notifier.wake();
        Ok(updated)
    }

    async fn upsert_execution_input(
        &self,
        node_id: NodeId,
        graph_exec_id: GraphExecId,
        input_name: String,
        input_data: Value,
        node_exec_id: Option<NodeExecId>,
    ) -> Reply<(NodeExecutionResult, Map)> {
        let added = self.store.upsert_input(node_id, graph_exec_id, &input_name, input_data, node_exec_id);
        added.await.map_err(from_store)
    }

    async fn upsert_execution_output(&self, node_exec_id: NodeExecId, output_name: String, output_data: Option<Value>) -> Reply<()> {
        let added = self.store.add_output(node_exec_id, &output_name, output_data.unwrap_or_default());
        added.await.map_err(from_store)
    }

    async fn get_execution_kv_data(&self, user_id: UserId, key: String) -> Reply<Option<Value>> {
        self.store.get_kv(user_id, &key).await.map_err(from_store)
    }

    async fn set_execution_kv_data(&self, user_id: UserId, node_exec_id: NodeExecId, key: String, data: Option<Value>) -> Reply<Option<Value>> {
        self.store.set_kv(user_id, node_exec_id, &key, data).await.map_err(from_store)
    }

    async fn claim(&self, owner: Uuid, owner_name: String, free_slots: u32) -> Reply<Vec<ClaimedRun>> {
        let limits = ClaimLimits {
            free_slots,
            per_user_and_graph: self.settings.executor.max_concurrent_graph_executions_per_user,
        };
        let runs = self.store.claim(owner, &owner_name, limits).await.map_err(from_store)?;
        self.instruments.runs_claimed.inc_by(u64::try_from(runs.len()).unwrap_or(u64::MAX));
        Ok(runs)
    }

    async fn await_work(&self, _owner: Uuid) -> Reply<bool> {
        Ok(self.doorbell.rung().await)
    }

    async fn append_journal(&self, owner: Uuid, batches: Vec<JournalBatch>) -> Reply<Vec<AppendOutcome>> {
        let started = tokio::time::Instant::now();
        self.instruments.journal_batches.inc_by(u64::try_from(batches.len()).unwrap_or(u64::MAX));
        let outcomes = self.store.append_journal(owner, batches).await.map_err(from_store)?;
        self.instruments.journal_seconds.observe(started.elapsed().as_secs_f64());
        Ok(outcomes)
    }

    async fn run_agent(&self, request: AgentRequest) -> Reply<AgentRun> {
        agents::run(&self.store, &self.submitter, &self.io, request).await
    }

    async fn renew_lease(&self, owner: Uuid) -> Reply<RenewOutcome> {
        self.store.renew_lease(owner).await.map_err(from_store)
    }

    async fn release_runs(&self, owner: Uuid, runs: Vec<HeldRun>) -> Reply<u64> {
        let swept = self.store.release_runs(owner, &runs).await.map_err(from_store)?;
        self.notifier.wake();
        Ok(swept.requeued + swept.cancelled)
    }

    async fn give_up_runs(&self, owner: Uuid, runs: Vec<GivenUpRun>) -> Reply<()> {
        for run in &runs {
            tracing::warn!(graph_exec_id = %run.held.graph_exec_id, reason = run.reason, "an executor gave up on a run");
        }
        let swept = self.store.give_up_runs(owner, &runs).await.map_err(from_store)?;
        self.instruments.runs_dead.inc_by(swept.dead);
        self.notifier.wake();
        Ok(())
    }

    async fn list_dead_runs(&self, user_id: Option<UserId>, only_undriven: bool, limit: u32) -> Reply<Vec<DeadRun>> {
        let limit = i64::from(limit.min(MOST_DEAD_RUNS));
        self.store.list_dead_runs(user_id, only_undriven, limit).await.map_err(from_store)
    }

    async fn redrive_run(&self, graph_exec_id: GraphExecId) -> Reply<GraphExecId> {
        let redriven = self.submitter.redrive(graph_exec_id).await.map_err(from_submit)?;
        Ok(redriven.graph_exec_id)
    }

    async fn release_lease(&self, owner: Uuid) -> Reply<()> {
        self.store.release_lease(owner).await.map_err(from_store)?;
        self.notifier.wake();
        Ok(())
    }

    async fn get_execution_snapshot(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Reply<Option<GraphExecutionWithNodes>> {
        self.get_graph_execution(Some(user_id), graph_exec_id).await
    }

    async fn get_execution_position(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Reply<Option<i64>> {
        self.store.journal_position(user_id, graph_exec_id).await.map_err(from_store)
    }

    async fn get_node(&self, node_id: NodeId) -> Reply<NodeModel> {
        let found = self.submitter.load_node(node_id).await.map_err(from_submit)?;
        found.ok_or_else(|| RpcError::not_found(format!("Node #{node_id} not found")))
    }

    async fn get_graph(
        &self,
        graph_id: GraphId,
        version: Option<i32>,
        user_id: Option<UserId>,
        for_export: bool,
        include_subgraphs: bool,
        skip_access_check: bool,
    ) -> Reply<Option<GraphModel>> {
        if for_export {
            return Err(RpcError::value(
                "Graphs are exported by the REST service: GET /api/graphs/{id}?for_export=true",
            ));
        }
        let found = match user_id {
            _ if skip_access_check && include_subgraphs => self.submitter.load_bundle(graph_id, version).await,
            _ if skip_access_check => self.submitter.load_graph(graph_id, version).await,
            Some(user_id) => self.submitter.get_graph(user_id, graph_id, version).await,
            None => Ok(None),
        };
        found.map_err(from_submit)
    }

    async fn get_connected_output_nodes(&self, node_id: NodeId) -> Reply<Vec<(Link, NodeModel)>> {
        let graph = self.store.get_graph_of_node(node_id).await.map_err(from_store)?;
        let Some(graph) = graph else { return Ok(Vec::new()) };
        let graph = self.submitter.load_graph(graph.id, Some(graph.version)).await.map_err(from_submit)?;
        let nodes: IndexMap<String, NodeModel> = graph
            .into_iter()
            .flat_map(|graph| graph.nodes)
            .map(|node| (node.id.to_string(), node))
            .collect();
        let links = nodes.get(&node_id.to_string()).map(|node| node.output_links.clone()).unwrap_or_default();
        Ok(links
            .into_iter()
            .filter_map(|link| nodes.get(&link.sink_id).cloned().map(|sink| (link, sink)))
            .collect())
    }

    async fn get_graph_metadata(&self, graph_id: GraphId, version: Option<i32>) -> Reply<Option<Graph>> {
        let found = self.store.get_graph_metadata(graph_id, version).await.map_err(from_store)?;
        Ok(found.map(|graph| Graph {
            id: graph.id.to_string(),
            version: graph.version,
            is_active: graph.is_active,
            name: graph.name,
            description: graph.description,
            instructions: graph.instructions,
            recommended_schedule_cron: graph.recommended_schedule_cron,
            nodes: Vec::new(),
            links: Vec::new(),
            forked_from_id: graph.forked_from_id.map(|id| id.to_string()),
            forked_from_version: graph.forked_from_version,
            sub_graphs: Vec::new(),
        }))
    }

    async fn get_graph_settings(&self, user_id: UserId, graph_id: GraphId) -> Reply<GraphSettings> {
        let access = self.store.graph_access(user_id, graph_id, 1).await.map_err(from_store)?;
        Ok(GraphSettings {
            human_in_the_loop_safe_mode: access.safe_mode,
        })
    }

    async fn validate_graph_execution_permissions(&self, user_id: UserId, graph_id: GraphId, graph_version: i32, is_sub_graph: bool) -> Reply<()> {
        let origin = if is_sub_graph {
            Origin::Agent {
                parent: Uuid::nil(),
                epoch: 0,
            }
        } else {
            Origin::User
        };
        let access = self.submitter.check_access(user_id, graph_id, graph_version, origin).await;
        let refused = |error| match error {
            // The contract's word for a version that the user does not have, there or not.
            SubmitError::GraphNotFound { .. } => SubmitError::NotAccessible,
            other => other,
        };
        access.map(drop).map_err(|error| from_submit(refused(error)))
    }

    async fn spend_credits(&self, user_id: UserId, cost: i64, metadata: UsageTransactionMetadata) -> Reply<i64> {
        if !self.settings.credits.enable_credit {
            return Ok(0);
        }
        let amount = i32::try_from(cost).map_err(|_| RpcError::value(format!("{cost} credits are too many")))?;
        // One charge per node execution and reason, whatever is repeated (design §6).
        let reason = metadata.reason.as_deref().unwrap_or("usage");
        let key = match &metadata.node_exec_id {
            Some(node_exec_id) => format!("USAGE-{node_exec_id}-{reason}"),
            None => format!("USAGE-{}", Uuid::now_v7()),
        };
        let metadata = serde_json::to_value(&metadata).unwrap_or_default();
        // The first look in a month fills the balance up.
        let balance = self.store.get_credits(user_id).await.map_err(from_store)?;
        let booked = self
            .store
            .book_credits(user_id, &key, "USAGE", -amount, &metadata)
            .await
            .map_err(from_store)?;
        match booked {
            Some(balance) => Ok(balance),
            None => {
                let message = model::credits::insufficient_balance(balance, cost);
                Err(RpcError::insufficient_balance(message, user_id, balance, cost))
            }
        }
    }

    async fn get_credits(&self, user_id: UserId) -> Reply<i64> {
        self.store.get_credits(user_id).await.map_err(from_store)
    }

    async fn check_credits(&self, user_id: UserId) -> Reply<CreditCheck> {
        self.store.check_credits(user_id).await.map_err(from_store)
    }

    async fn reserve_credits(&self, reservation: CreditReservation) -> Reply<ReserveOutcome> {
        self.store.reserve_credits(&reservation).await.map_err(from_store)
    }

    async fn get_active_user_ids_in_timerange(&self, start_time: Timestamp, end_time: Timestamp) -> Reply<Vec<UserId>> {
        self.store.get_active_user_ids(start_time, end_time).await.map_err(from_store)
    }

    async fn get_user_by_id(&self, user_id: UserId) -> Reply<User> {
        let found = self.store.get_user(user_id).await.map_err(from_store)?;
        found.ok_or_else(|| RpcError::value(format!("User not found with ID: {user_id}")))
    }

    async fn get_user_email_by_id(&self, user_id: UserId) -> Reply<Option<String>> {
        self.store.get_user_email(user_id).await.map_err(from_store)
    }

    async fn get_user_email_verification(&self, user_id: UserId) -> Reply<bool> {
        self.store.get_user_email_verified(user_id).await.map_err(from_store)
    }

    async fn get_user_notification_preference(&self, user_id: UserId) -> Reply<NotificationPreference> {
        let preference = self.store.get_notification_preference(user_id).await.map_err(from_store)?;
        preference.ok_or_else(|| RpcError::not_found(format!("User {user_id} not found")))
    }

    async fn get_user_execution_summary_data(&self, user_id: UserId, start_time: Timestamp, end_time: Timestamp) -> Reply<UserExecutionSummary> {
        self.store.execution_summary(user_id, start_time, end_time).await.map_err(from_store)
    }

    async fn claim_weekly_summaries(&self, limit: i64) -> Reply<Vec<DueSummary>> {
        self.store.claim_weekly_summaries(limit.clamp(0, 1000)).await.map_err(from_store)
    }

    async fn weekly_summary_queued(&self, user_id: UserId, end_time: Timestamp) -> Reply<()> {
        self.store.weekly_summary_queued(user_id, end_time).await.map_err(from_store)
    }

    async fn open_credential(&self, user_id: UserId, credential_id: String) -> Reply<OpenCredential> {
        let unknown = || RpcError::value(format!("Unknown credentials #{credential_id}"));
        let id = credential_id.parse().map_err(|_| unknown())?;
        match self.credentials.open(user_id, id).await {
            Ok(found) => found.ok_or_else(unknown),
            Err(vault::Error::Store(error)) => Err(from_store(error)),
            // The block's failure says it: waiting does not bring a key back.
            Err(error) => Err(RpcError::value(error.to_string())),
        }
    }

    async fn list_library_agents(
        &self,
        user_id: UserId,
        search_term: Option<String>,
        sort_by: LibrarySort,
        page: i64,
        page_size: i64,
    ) -> Reply<LibraryAgents> {
        let found = self.store.library_page(user_id, search_term.as_deref(), sort_by, page, page_size).await;
        found.map_err(from_store)
    }

    async fn add_store_agent_to_library(&self, store_listing_version_id: String, user_id: UserId) -> Reply<LibraryAgent> {
        let added = match store_listing_version_id.parse() {
            Ok(id) => self.submitter.add_offer(user_id, id).await.map_err(from_submit)?,
            Err(_) => None,
        };
        let missing = || RpcError::not_found(format!("Store listing version {store_listing_version_id} not found or not available"));
        added.ok_or_else(missing)
    }

    async fn get_store_agents(
        &self,
        sorted_by: Option<String>,
        search_query: Option<String>,
        category: Option<String>,
        page: i64,
        page_size: i64,
    ) -> Reply<StoreAgents> {
        let sorted_by = sorted_by.unwrap_or_default();
        let found = self
            .store
            .search_store(search_query.as_deref(), category.as_deref(), &sorted_by, page, page_size)
            .await;
        found.map_err(from_store)
    }

    async fn get_store_agent_details(&self, username: String, agent_name: String) -> Reply<StoreAgentDetails> {
        let found = self.store.get_store_agent(&username, &agent_name).await.map_err(from_store)?;
        found.ok_or_else(|| RpcError::not_found(format!("Agent {username}/{agent_name} not found")))
    }

    async fn get_or_create_human_review(
        &self,
        user_id: UserId,
        node_exec_id: NodeExecId,
        graph_exec_id: GraphExecId,
        // The run's row knows them.
        _graph_id: GraphId,
        _graph_version: i32,
        input_data: Value,
        message: Option<String>,
        editable: bool,
    ) -> Reply<Option<ReviewResult>> {
        let question = ReviewQuestion {
            user_id,
            graph_exec_id,
            node_exec_id,
            payload: input_data,
            instructions: message,
            editable,
        };
        self.reviews.ask(question).await
    }

    async fn has_pending_reviews_for_graph_exec(&self, graph_exec_id: GraphExecId) -> Reply<bool> {
        self.reviews.any_waiting(graph_exec_id).await
    }

    async fn update_review_processed_status(&self, node_exec_id: NodeExecId, processed: bool) -> Reply<()> {
        self.reviews.set_processed(node_exec_id, processed).await
    }

    async fn ask_to_repeat(
        &self,
        user_id: UserId,
        graph_exec_id: GraphExecId,
        node_exec_id: NodeExecId,
        epoch: i64,
        input_data: Map,
        message: String,
    ) -> Reply<RepeatAnswer> {
        let question = ReviewQuestion {
            user_id,
            graph_exec_id,
            node_exec_id,
            payload: Value::Object(input_data),
            instructions: Some(message),
            editable: false,
        };
        self.reviews.ask_to_repeat(question, epoch).await
    }

    async fn clear_all_user_notification_batches(&self, user_id: UserId) -> Reply<()> {
        self.store.clear_notification_batches(user_id, None).await.map_err(from_store)
    }

    async fn create_or_add_to_user_notification_batch(
        &self,
        user_id: UserId,
        notification_type: NotificationType,
        notification_data: NotificationEvent,
    ) -> Reply<UserNotificationBatch> {
        let added = self.store.add_to_notification_batch(user_id, notification_type, &notification_data);
        added.await.map_err(from_store)
    }

    async fn empty_user_notification_batch(&self, user_id: UserId, notification_type: NotificationType) -> Reply<()> {
        self.store
            .clear_notification_batches(user_id, Some(notification_type))
            .await
            .map_err(from_store)
    }

    async fn remove_notifications_from_batch(
        &self,
        user_id: UserId,
        notification_type: NotificationType,
        notification_ids: Vec<String>,
    ) -> Reply<()> {
        // What is no id of ours is in no batch.
        let ids: Vec<Uuid> = notification_ids.iter().filter_map(|id| id.parse().ok()).collect();
        self.store
            .remove_from_notification_batch(user_id, notification_type, &ids)
            .await
            .map_err(from_store)
    }

    async fn get_all_batches_by_type(&self, notification_type: NotificationType) -> Reply<Vec<UserNotificationBatch>> {
        self.store.get_notification_batches(notification_type).await.map_err(from_store)
    }

    async fn get_user_notification_batch(&self, user_id: UserId, notification_type: NotificationType) -> Reply<Option<UserNotificationBatch>> {
        self.store.get_notification_batch(user_id, notification_type).await.map_err(from_store)
    }

    async fn get_user_notification_oldest_message_in_batch(
        &self,
        user_id: UserId,
        notification_type: NotificationType,
    ) -> Reply<Option<UserNotificationEvent>> {
        let batch = self.get_user_notification_batch(user_id, notification_type).await?;
        Ok(batch.and_then(|batch| batch.notifications.into_iter().next()))
    }
}
