//! Builders: a database with users and graphs, and runs on them.

use model::claim::ClaimedRun;
use model::{
    AppendOutcome, BlockId, ExecutionContext, ExecutionStatus, GraphExecId, GraphId, GraphModel, JournalBatch, JournalEntry, Map, NodeId,
    NodeInputMasks, NodeModel, Timestamp, UserId,
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use store::{Accepted, ClaimLimits, IoBlocks, NewRun, StartingNode, Store};
use uuid::Uuid;

pub const INPUT_BLOCK: BlockId = Uuid::from_u128(0x1);
pub const OUTPUT_BLOCK: BlockId = Uuid::from_u128(0x2);
pub const OTHER_BLOCK: BlockId = Uuid::from_u128(0x3);

pub struct World {
    pub store: Store,
    pub url: String,
}

/// A stored graph with one input node, one other node and one output node.
#[derive(Debug, Clone, Copy)]
pub struct TestGraph {
    pub id: GraphId,
    pub user_id: UserId,
    pub input_node: NodeId,
    pub other_node: NodeId,
    pub output_node: NodeId,
}

impl World {
    pub async fn new() -> Self {
        let url = devservices::testing::database().await;
        let store = Store::connect(&url, 8).unwrap();
        store.migrate().await.unwrap();
        Self { store, url }
    }

    pub async fn user(&self) -> UserId {
        let id = Uuid::new_v4();
        self.store
            .get_or_create_user(id, &format!("{id}@example.com"), Some("Somebody"))
            .await
            .unwrap();
        id
    }

    pub async fn graph(&self, user_id: UserId) -> TestGraph {
        let graph = TestGraph {
            id: Uuid::new_v4(),
            user_id,
            input_node: Uuid::new_v4(),
            other_node: Uuid::new_v4(),
            output_node: Uuid::new_v4(),
        };
        self.store.insert_graph(&graph.model(1)).await.unwrap();
        graph
    }

    pub async fn user_with_graph(&self) -> TestGraph {
        let user = self.user().await;
        self.graph(user).await
    }

    pub async fn run(&self, graph: TestGraph) -> GraphExecId {
        self.store.accept_run(graph.new_run()).await.unwrap().execution.id
    }

    pub async fn keyed_run(&self, graph: TestGraph, key: &str) -> Accepted {
        let mut run = graph.new_run();
        run.idempotency_key = Some(key.to_owned());
        self.store.accept_run(run).await.unwrap()
    }

    pub async fn claim(&self, owner: Uuid, free_slots: u32) -> Vec<ClaimedRun> {
        self.store.claim(owner, "test", limits(free_slots)).await.unwrap()
    }

    /// Accepts a run and claims it; the only waiting run must be this one.
    pub async fn claimed_run(&self, graph: TestGraph, owner: Uuid) -> ClaimedRun {
        self.run(graph).await;
        self.claim(owner, 1).await.pop().unwrap()
    }

    pub async fn append(&self, owner: Uuid, run: &ClaimedRun, first_seq: i64, entries: Vec<JournalEntry>) -> AppendOutcome {
        let batch = batch(run, first_seq, entries);
        self.store.append_journal(owner, vec![batch]).await.unwrap().pop().unwrap()
    }

    pub async fn status(&self, id: GraphExecId) -> ExecutionStatus {
        self.store.get_status(id).await.unwrap().unwrap()
    }

    /// For what no API offers: changing the clock's witnesses, looking at lease columns.
    pub async fn sql(&self, statement: &'static str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    pub async fn number(&self, query: &'static str) -> i64 {
        let mut connection = self.connection().await;
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    }

    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

pub fn limits(free_slots: u32) -> ClaimLimits {
    ClaimLimits {
        free_slots,
        per_user_and_graph: 25,
    }
}

pub fn io_blocks() -> IoBlocks {
    IoBlocks {
        input: vec![INPUT_BLOCK],
        output: vec![OUTPUT_BLOCK],
        webhook: Vec::new(),
    }
}

pub fn map(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

pub fn batch(run: &ClaimedRun, first_seq: i64, entries: Vec<JournalEntry>) -> JournalBatch {
    JournalBatch {
        graph_exec_id: run.graph_exec_id,
        epoch: run.epoch,
        first_seq,
        news_seen: run.news,
        entries,
    }
}

pub fn run_status(status: ExecutionStatus) -> JournalEntry {
    JournalEntry::RunStatus {
        status,
        stats: None,
        at: Timestamp::now(),
    }
}

pub fn created(node_exec_id: Uuid, node_id: NodeId) -> JournalEntry {
    JournalEntry::NodeCreated {
        node_exec_id,
        node_id,
        at: Timestamp::now(),
    }
}

pub fn node_status(node_exec_id: Uuid, status: ExecutionStatus, execution_data: Option<Value>) -> JournalEntry {
    JournalEntry::NodeStatus {
        node_exec_id,
        status,
        execution_data: execution_data.map(map),
        stats: None,
        at: Timestamp::now(),
    }
}

pub fn input(node_exec_id: Uuid, name: &str, value: Value) -> JournalEntry {
    JournalEntry::NodeInput {
        node_exec_id,
        name: name.to_owned(),
        value,
        at: Timestamp::now(),
    }
}

pub fn output(node_exec_id: Uuid, name: &str, value: Value) -> JournalEntry {
    JournalEntry::NodeOutput {
        node_exec_id,
        name: name.to_owned(),
        value,
        at: Timestamp::now(),
    }
}

pub fn applied(next_seq: i64) -> AppendOutcome {
    AppendOutcome::Applied {
        next_seq,
        cancel_requested: false,
        news: 0,
    }
}

impl TestGraph {
    pub fn model(self, version: i32) -> GraphModel {
        let node = |id, block_id, name: &str| NodeModel {
            id,
            block_id,
            input_default: map(json!({ "name": name })),
            metadata: map(json!({"position": {"x": 40.25, "y": 1e21}})),
            input_links: Vec::new(),
            output_links: Vec::new(),
            graph_id: self.id,
            graph_version: version,
            webhook_id: None,
            webhook: None,
        };
        GraphModel {
            id: self.id,
            version,
            is_active: true,
            name: "graph".to_owned(),
            description: "described".to_owned(),
            instructions: None,
            recommended_schedule_cron: None,
            nodes: vec![
                node(self.input_node, INPUT_BLOCK, "in"),
                node(self.other_node, OTHER_BLOCK, "other"),
                node(self.output_node, OUTPUT_BLOCK, "out"),
            ],
            links: Vec::new(),
            forked_from_id: None,
            forked_from_version: None,
            sub_graphs: Vec::new(),
            user_id: self.user_id,
            created_at: Timestamp::now(),
            input_schema: Value::Null,
            output_schema: Value::Null,
            has_external_trigger: false,
            has_human_in_the_loop: false,
            trigger_setup_info: None,
            credentials_input_schema: Value::Null,
        }
    }

    pub fn new_run(self) -> NewRun {
        NewRun {
            id: Uuid::now_v7(),
            user_id: self.user_id,
            graph_id: self.id,
            graph_version: 1,
            inputs: map(json!({"in": "given"})),
            credential_inputs: Default::default(),
            nodes_input_masks: NodeInputMasks::new(),
            compiled_masks: NodeInputMasks::new(),
            preset_id: None,
            context: ExecutionContext::default(),
            parent: None,
            idempotency_key: None,
            traceparent: None,
            deadline_at: None,
            taken_over: Vec::new(),
            starting_nodes: vec![StartingNode {
                node_exec_id: Uuid::now_v7(),
                node_id: self.input_node,
                input: map(json!({"name": "in", "value": "given"})),
            }],
            queued: true,
        }
    }
}
