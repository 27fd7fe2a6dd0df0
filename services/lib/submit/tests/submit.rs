//! Submission against a real PostgreSQL with the real blocks.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed step is a failed test

use std::collections::HashSet;
use std::time::Duration;

use blocks::Registry;
use engine::run::{NodeResult, Run};
use model::{ClaimedRun, CredentialsMetaInput, ExecutionStatus, Graph, GraphModel, Map, UserId};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use store::{IoBlocks, Store};
use submit::{Origin, RetryCommand, SubmitCommand, SubmitError, Submitter};
use uuid::Uuid;

const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";
const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";

struct World {
    url: String,
    submitter: Submitter,
    user: UserId,
}

impl World {
    async fn new() -> Self {
        let url = devservices::testing::database().await;
        let store = Store::connect(&url, 12).unwrap();
        store.migrate().await.unwrap();
        let user = user(&store).await;
        Self {
            url,
            submitter: Submitter::new(store, Registry::standard()),
            user,
        }
    }

    fn store(&self) -> &Store {
        self.submitter.store()
    }

    async fn graph(&self) -> GraphModel {
        self.submitter.create_graph(self.user, echo()).await.unwrap()
    }

    fn command(&self, graph: &GraphModel) -> SubmitCommand {
        SubmitCommand {
            user_id: self.user,
            graph_id: graph.id,
            graph_version: Some(graph.version),
            inputs: map(json!({"x": "hello"})),
            ..SubmitCommand::default()
        }
    }
}

async fn user(store: &Store) -> UserId {
    let id = Uuid::new_v4();
    store.get_or_create_user(id, &format!("{id}@example.com"), None).await.unwrap();
    id
}

fn map(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

fn graph(nodes: Value, links: Value) -> Graph {
    serde_json::from_value(json!({"name": "echo", "description": "", "nodes": nodes, "links": links})).unwrap()
}

/// Input `x` goes to output `y`.
fn echo() -> Graph {
    graph(
        json!([
            {"id": "1", "block_id": INPUT, "input_default": {"name": "x"}, "metadata": {"position": {"x": 40.25, "y": 0.1}}},
            {"id": "2", "block_id": OUTPUT, "input_default": {"name": "y"}},
        ]),
        json!([{"source_id": "1", "source_name": "result", "sink_id": "2", "sink_name": "value"}]),
    )
}

#[tokio::test]
async fn a_saved_graph_has_fresh_ids_and_reads_back_the_same() {
    let world = World::new().await;
    let saved = world.graph().await;
    let read = world.submitter.get_graph(world.user, saved.id, None).await.unwrap().unwrap();
    assert_eq!(read, saved);
    assert_eq!(read.nodes[0].output_links, read.nodes[1].input_links);
    assert_eq!(read.input_schema["properties"]["x"]["title"], "x");
    assert_eq!(read.nodes[0].metadata, map(json!({"position": {"x": 40.25, "y": 0.1}})));
    let again = world.graph().await;
    assert_ne!((again.id, again.nodes[0].id), (saved.id, saved.nodes[0].id));
    assert_eq!(world.submitter.list_graphs(world.user).await.unwrap().len(), 2);
    let stranger = user(world.store()).await;
    assert_eq!(world.submitter.get_graph(stranger, saved.id, None).await.unwrap(), None);
}

#[tokio::test]
async fn saves_at_the_same_time_take_a_version_each() {
    let world = World::new().await;
    let saved = world.graph().await;
    let saves = (0..4).map(|_| world.submitter.update_graph(world.user, saved.id, echo()));
    let versions: HashSet<i32> = futures::future::join_all(saves)
        .await
        .into_iter()
        .map(|saved| saved.unwrap().unwrap().version)
        .collect();
    assert_eq!(versions, HashSet::from([2, 3, 4, 5]));
    let listed = world.submitter.list_graph_versions(world.user, saved.id, 50).await.unwrap();
    assert_eq!(
        listed.iter().map(|graph| (graph.version, graph.is_active)).collect::<Vec<_>>(),
        [(5, true), (4, false), (3, false), (2, false), (1, false)]
    );
    let stranger = user(world.store()).await;
    assert!(world.submitter.update_graph(stranger, saved.id, echo()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_graph_that_cannot_be_saved_is_refused_with_the_reason() {
    let world = World::new().await;
    let mut unknown_block = echo();
    unknown_block.nodes[0].block_id = Uuid::nil().to_string();
    let mut dangling = echo();
    dangling.links[0].sink_id = "nowhere".to_owned();
    let mut no_such_pin = echo();
    no_such_pin.links[0].source_name = "nothing".to_owned();
    for (bad, word) in [(unknown_block, "block"), (dangling, "nowhere"), (no_such_pin, "nothing")] {
        let error = world.submitter.create_graph(world.user, bad).await.unwrap_err();
        assert!(matches!(&error, SubmitError::Invalid(text) if text.contains(word)), "{error:?}");
    }
    assert!(world.submitter.list_graphs(world.user).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_accepted_run_is_queued_with_resolved_inputs_and_the_users_context() {
    let world = World::new().await;
    let saved = world.graph().await;
    world.store().set_user_timezone(world.user, "Europe/Berlin").await.unwrap();
    let execution = world.submitter.submit(world.command(&saved)).await.unwrap();
    assert_eq!(execution.status, ExecutionStatus::Queued);
    assert_eq!(execution.inputs, Some(map(json!({"x": "hello"}))));
    let run = world.store().take_outbox().await.unwrap().unwrap().messages.remove(0);
    assert_eq!((run.graph_exec_id, run.user_id), (execution.id, world.user));
    assert_eq!(run.execution_context.user_timezone, "Europe/Berlin");
    assert_eq!(run.execution_context.root_execution_id, Some(execution.id));
    assert!(run.execution_context.safe_mode);
    let whole = world
        .store()
        .get_execution_with_nodes(Some(world.user), execution.id, &IoBlocks::default())
        .await;
    let nodes = whole.unwrap().unwrap().node_executions;
    assert_eq!(nodes.len(), 1, "the output node waits for its link");
    assert_eq!(nodes[0].input_data["value"], "hello");
}

#[tokio::test]
async fn the_same_key_at_the_same_time_is_one_run_and_nobody_elses() {
    let world = World::new().await;
    let saved = world.graph().await;
    let keyed = || SubmitCommand {
        idempotency_key: Some("uid/slot".to_owned()),
        origin: Origin::Resource,
        ..world.command(&saved)
    };
    let accepted = futures::future::join_all((0..8).map(|_| world.submitter.accept(keyed()))).await;
    let accepted: Vec<_> = accepted.into_iter().map(Result::unwrap).collect();
    assert_eq!(accepted.iter().filter(|accepted| accepted.created).count(), 1);
    assert!(accepted.iter().all(|one| one.execution.id == accepted[0].execution.id));
    // The key wins over everything else that the repetition says.
    let other_inputs = SubmitCommand {
        graph_id: Uuid::new_v4(),
        ..keyed()
    };
    assert_eq!(world.submitter.submit(other_inputs).await.unwrap().id, accepted[0].execution.id);
    let stranger = SubmitCommand {
        user_id: user(world.store()).await,
        ..keyed()
    };
    assert!(matches!(world.submitter.submit(stranger).await, Err(SubmitError::Invalid(_))));
}

#[tokio::test]
async fn who_may_run_what() {
    let world = World::new().await;
    let saved = world.graph().await;
    let missing = SubmitCommand {
        graph_version: Some(9),
        ..world.command(&saved)
    };
    assert!(matches!(
        world.submitter.submit(missing).await,
        Err(SubmitError::GraphNotFound { version: Some(9), .. })
    ));
    let unknown = SubmitCommand {
        graph_id: Uuid::new_v4(),
        graph_version: None,
        ..world.command(&saved)
    };
    assert!(matches!(world.submitter.submit(unknown).await, Err(SubmitError::GraphNotFound { .. })));
    let foreign = SubmitCommand {
        user_id: user(world.store()).await,
        ..world.command(&saved)
    };
    assert!(matches!(world.submitter.submit(foreign).await, Err(SubmitError::NotAccessible)));
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused_and_nothing_is_stored() {
    let world = World::new().await;
    let half = graph(
        json!([{"id": "1", "block_id": CALCULATOR, "input_default": {"operation": "Add", "a": 1}}]),
        json!([]),
    );
    let saved = world.submitter.create_graph(world.user, half).await.unwrap();
    let error = world.submitter.submit(world.command(&saved)).await.unwrap_err();
    let SubmitError::Validation { message, node_errors } = error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "Graph validation failed: 1 issues on 1 nodes");
    assert_eq!(node_errors[&saved.nodes[0].id]["b"], "This field is required");
    assert!(world.submitter.check(&world.command(&saved)).await.is_err());
    assert_eq!(world.store().outbox_length().await.unwrap(), 0);
    // The mask supplies what is missing.
    let masked = SubmitCommand {
        masks: [(saved.nodes[0].id, map(json!({"b": 1})))].into_iter().collect(),
        ..world.command(&saved)
    };
    world.submitter.check(&masked).await.unwrap();
    world.submitter.submit(masked).await.unwrap();
}

#[tokio::test]
async fn an_inline_graph_is_stored_once_for_each_platform_owner_and_content() {
    let world = World::new().await;
    let platform = Uuid::new_v4().to_string();
    let ensure = |owner, graph| world.submitter.ensure_inline_graph(&platform, owner, graph);
    let (first, second) = tokio::join!(ensure(world.user, echo()), ensure(world.user, echo()));
    let (id, version) = first.unwrap();
    assert_eq!((second.unwrap(), version), ((id, 1), 1));
    let mut changed = echo();
    changed.name = "other".to_owned();
    assert_ne!(ensure(world.user, changed).await.unwrap().0, id);
    assert_ne!(ensure(user(world.store()).await, echo()).await.unwrap().0, id);
    assert!(matches!(ensure(Uuid::new_v4(), echo()).await, Err(SubmitError::Invalid(_))));
    assert!(world.submitter.list_graphs(world.user).await.unwrap().is_empty());
    let run = SubmitCommand {
        user_id: world.user,
        graph_id: id,
        ..SubmitCommand::default()
    };
    assert_eq!(world.submitter.submit(run).await.unwrap().graph_version, 1);
}

#[tokio::test]
async fn what_a_node_says_wrongly_about_its_retries_is_refused_by_name() {
    let world = World::new().await;
    let mut graph = echo();
    graph.nodes[0].metadata = map(json!({"execution": {"retry": {"max_attempts": 0}}}));
    let refused = world.submitter.create_graph(world.user, graph.clone()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Invalid(_)));
    let text = refused.to_string();
    assert!(
        text.contains("metadata.execution.retry.max_attempts") && text.contains("from 1 to 20"),
        "{text}"
    );
    graph.nodes[0].metadata = map(json!({"execution": {"retry": {"max_attempts": 3}, "timeout_seconds": 60}}));
    let saved = world.submitter.create_graph(world.user, graph).await.unwrap();
    world.submitter.submit(world.command(&saved)).await.unwrap();
}

/// x → calculator (x / 0) → y, and x → z.
fn fragile() -> Graph {
    graph(
        json!([
            {"id": "1", "block_id": INPUT, "input_default": {"name": "x"}},
            {"id": "2", "block_id": CALCULATOR, "input_default": {"operation": "Divide", "b": 0}},
            {"id": "3", "block_id": OUTPUT, "input_default": {"name": "y"}},
            {"id": "4", "block_id": OUTPUT, "input_default": {"name": "z"}},
        ]),
        json!([
            {"source_id": "1", "source_name": "result", "sink_id": "2", "sink_name": "a"},
            {"source_id": "2", "source_name": "result", "sink_id": "3", "sink_name": "value"},
            {"source_id": "1", "source_name": "result", "sink_id": "4", "sink_name": "value"},
        ]),
    )
}

/// Claims the only waiting run and plays it to its end as an executor would; calculators fail unless `healed`. Returns the blocks that ran.
async fn play(world: &World, healed: bool) -> Vec<String> {
    let owner = Uuid::new_v4();
    let limits = store::ClaimLimits {
        free_slots: 1,
        per_user_and_graph: 25,
    };
    let claimed = world.store().claim(owner, "test", limits).await.unwrap().remove(0);
    let (id, epoch, first_seq) = (claimed.graph_exec_id, claimed.epoch, claimed.next_seq);
    let mut run = restored(world, claimed).await;
    let now = model::Timestamp::now;
    run.begin(now());
    let mut ran = Vec::new();
    while let Some(start) = run.next_ready(now()) {
        let block = start.block_id.to_string();
        let stats = model::NodeStats {
            cost: 5,
            ..model::NodeStats::default()
        };
        let result = if block == CALCULATOR && !healed {
            NodeResult::Failed { error: "no".to_owned() }
        } else {
            let (pin, value) = match block.as_str() {
                OUTPUT => ("output", start.input["value"].clone()),
                CALCULATOR => ("result", json!(42)),
                _ => ("result", start.input["value"].clone()),
            };
            run.output(start.node_exec_id, pin, value, now()).unwrap();
            NodeResult::Completed
        };
        run.finish(start.node_exec_id, result, stats, now());
        ran.push(block);
    }
    run.end(now());
    let batch = model::JournalBatch {
        graph_exec_id: id,
        epoch,
        first_seq,
        news_seen: 0,
        entries: run.take_journal(),
    };
    let outcome = world.store().append_journal(owner, vec![batch]).await.unwrap().remove(0);
    assert!(matches!(outcome, model::AppendOutcome::Applied { .. }), "{outcome:?}");
    ran
}

#[tokio::test]
async fn a_retry_begins_with_what_completed_and_leaves_the_finished_run_alone() {
    let world = World::new().await;
    let saved = world.submitter.create_graph(world.user, fragile()).await.unwrap();
    let command = SubmitCommand {
        inputs: map(json!({"x": 1e16})),
        ..world.command(&saved)
    };
    let first = world.submitter.submit(command).await.unwrap().id;
    let retry = |of, key: &str| RetryCommand {
        user_id: world.user,
        of,
        idempotency_key: Some(key.to_owned()),
        deadline: None,
        origin: Origin::Resource,
    };
    let refusal = |error: SubmitError| match error {
        SubmitError::Invalid(message) => message,
        other => panic!("{other:?}"),
    };
    let too_early = world.submitter.retry(retry(first, "early")).await.unwrap_err();
    assert!(refusal(too_early).contains("QUEUED: only a run that is over"));
    assert_eq!(play(&world, false).await.len(), 3);
    let whole = async |id| {
        let blocks = IoBlocks {
            output: vec![OUTPUT.parse().unwrap()],
            ..IoBlocks::default()
        };
        world
            .store()
            .get_execution_with_nodes(Some(world.user), id, &blocks)
            .await
            .unwrap()
            .unwrap()
    };
    let before = whole(first).await;

    let accepted = futures::future::join_all((0..4).map(|_| world.submitter.retry(retry(first, "uid")))).await;
    let accepted: Vec<_> = accepted.into_iter().map(Result::unwrap).collect();
    assert_eq!(accepted.iter().filter(|accepted| accepted.created).count(), 1);
    let second = accepted[0].execution.id;
    assert!(accepted.iter().all(|one| one.execution.id == second) && second != first);
    let waiting = whole(second).await;
    assert_eq!(waiting.execution.meta.status, ExecutionStatus::Queued);
    assert_eq!(waiting.execution.outputs, before.execution.outputs);

    assert_eq!(play(&world, true).await, [CALCULATOR, OUTPUT]);
    let after = whole(second).await;
    let stats = after.execution.meta.stats.unwrap();
    assert_eq!(
        (after.execution.meta.status, stats.node_exec_count, stats.node_error_count),
        (ExecutionStatus::Completed, 4, 0)
    );
    assert_eq!(stats.cost, 10, "what was taken over costs nothing");
    assert_eq!(after.execution.outputs["y"], [json!(42)]);
    assert_eq!(after.execution.outputs["z"].len(), 1);
    assert_eq!(whole(first).await, before, "the finished run stays as it was");

    let needless = world.submitter.retry(retry(second, "needless")).await.unwrap_err();
    assert!(refusal(needless).contains("nothing to retry"));
    for (user_id, of) in [(world.user, Uuid::new_v4()), (user(world.store()).await, first)] {
        let command = RetryCommand {
            user_id,
            ..retry(of, "unknown")
        };
        assert!(refusal(world.submitter.retry(command).await.unwrap_err()).contains("no run"));
    }
    // Cancelled before it began: everything is still to do.
    let third = world.submitter.submit(world.command(&saved)).await.unwrap().id;
    world.store().request_cancel(None, third).await.unwrap();
    let fourth = world.submitter.retry(retry(third, "again")).await.unwrap();
    assert!(fourth.created);
    assert_eq!(play(&world, true).await.len(), 4);
}

#[tokio::test]
async fn many_at_once_are_all_accepted_and_the_same_key_is_one_run() {
    let world = World::new().await;
    let graph = world.graph().await;
    let submissions = (0..200).map(|number| {
        let command = SubmitCommand {
            idempotency_key: (number % 4 == 0).then(|| format!("key {}", number % 8)),
            // Some are so large that they go alone.
            inputs: map(json!({"x": "x".repeat(if number % 50 == 1 { 100_000 } else { 1 })})),
            ..world.command(&graph)
        };
        world.submitter.accept(command)
    });
    let accepted = futures::future::join_all(submissions).await;
    let accepted: Vec<store::Accepted> = accepted.into_iter().map(|accepted| accepted.unwrap()).collect();
    assert_eq!(accepted.iter().filter(|accepted| accepted.created).count(), 150 + 2);
    let ids: HashSet<_> = accepted.iter().map(|accepted| accepted.execution.id).collect();
    assert_eq!(ids.len(), 152);
    assert_eq!(world.store().outbox_length().await.unwrap(), 152);
}

#[tokio::test]
async fn a_run_that_waits_for_a_lock_holds_up_nobody_and_is_accepted_also_when_its_caller_has_gone() {
    let world = World::new().await;
    let graph = world.graph().await;
    let other = World {
        url: world.url.clone(),
        submitter: world.submitter.clone(),
        user: user(world.store()).await,
    };
    let others = other.graph().await;
    // Every insert checks that the user is there, and waits while somebody may be deleting him.
    let mut blocker = PgConnection::connect(&world.url).await.unwrap();
    let mut deleting = blocker.begin().await.unwrap();
    sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE")
        .bind(world.user)
        .execute(&mut *deleting)
        .await
        .unwrap();
    let submit = |command: SubmitCommand, key: &str| {
        let (submitter, idempotency_key) = (world.submitter.clone(), Some(key.to_owned()));
        tokio::spawn(async move { submitter.accept(SubmitCommand { idempotency_key, ..command }).await })
    };
    let waiting: Vec<_> = ["first", "second", "third"]
        .into_iter()
        .map(|key| submit(world.command(&graph), key))
        .collect();
    let gone = submit(world.command(&graph), "gone");
    waiting_inserts(&world.url, 4).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    for number in 0..20 {
        let accepted = submit(other.command(&others), &format!("other {number}")).await.unwrap().unwrap();
        assert!(accepted.created);
    }
    assert_eq!(world.store().outbox_length().await.unwrap(), 20);
    deleting.rollback().await.unwrap();
    for run in waiting {
        assert!(run.await.unwrap().unwrap().created);
    }
    for _ in 0..1000 {
        if world.store().find_by_idempotency_key("gone").await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.store().outbox_length().await.unwrap(), 24, "what is on its way arrives");
}

/// Waits until so many statements wait for a lock.
async fn waiting_inserts(url: &str, count: i64) {
    // Not that of a transaction, which sees the same activity all the time.
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..1000 {
        let waiting: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
        if waiting >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("fewer than {count} statements wait");
}

const TRIGGER: &str = "8fa8c167-2002-47ce-aba8-97572fc5d387";
const AGENT: &str = "e189baac-8c20-45a1-94a7-55177ea42565";
/// Takes credentials of the host of its `url`.
const WEB_REQUEST: &str = "fff86bcd-e001-4bad-a7f6-2eae4720c8dc";
/// Needs a `prompt`, and credentials for its model.
const TEXT_GENERATOR: &str = "1f292d4a-41a4-4977-9684-7c8d560b9f91";
const HOST_NEED: &str = "a.test-http_host_scoped_credentials";

/// A reference to credentials for `a.test` that the user has.
async fn kept_credentials(world: &World) -> CredentialsMetaInput {
    let id = Uuid::new_v4();
    let credential = store::Credential {
        id,
        user_id: world.user,
        provider: "http".to_owned(),
        kind: "host_scoped".to_owned(),
        title: None,
        username: None,
        host: Some("a.test".to_owned()),
        scopes: None,
        origin: None,
        key_id: "test".to_owned(),
        sealed: vec![1],
    };
    world.store().put_credential(&credential).await.unwrap();
    reference(&id.to_string())
}

fn reference(id: &str) -> CredentialsMetaInput {
    serde_json::from_value(json!({"id": id, "provider": "http", "type": "host_scoped"})).unwrap()
}

/// Claims what waits, oldest first.
async fn claim(world: &World, owner: Uuid) -> Vec<ClaimedRun> {
    let limits = store::ClaimLimits {
        free_slots: 9,
        per_user_and_graph: 25,
    };
    world.store().claim(owner, "test", limits).await.unwrap()
}

/// The claimed run as its executor has it.
async fn restored(world: &World, claimed: ClaimedRun) -> Run {
    let graph = world.store().get_graph(claimed.graph_id, Some(claimed.graph_version)).await;
    let graph = graph.unwrap().unwrap();
    let plan = engine::plan::Plan::compile(&graph.nodes, &graph.links, Registry::standard().as_ref()).unwrap();
    Run::restore(plan.into(), claimed, Uuid::now_v7)
}

#[tokio::test]
async fn a_run_shows_what_it_was_given_and_not_what_was_made_of_it() {
    let world = World::new().await;
    let node = json!([{"id": "1", "block_id": WEB_REQUEST, "input_default": {"url": "https://a.test"}}]);
    let saved = world.submitter.create_graph(world.user, graph(node, json!([]))).await.unwrap();
    let node = saved.nodes[0].id;
    let with_all = SubmitCommand {
        credentials: [(HOST_NEED.to_owned(), kept_credentials(&world).await)].into_iter().collect(),
        masks: [(node, map(json!({"body": {"a": 1}})))].into_iter().collect(),
        preset_id: Some(Uuid::new_v4().to_string()),
        inputs: Map::new(),
        ..world.command(&saved)
    };
    let accepted = world.submitter.submit(with_all.clone()).await.unwrap();
    let older = world.submitter.submit(with_all).await.unwrap();
    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    sqlx::query("UPDATE graph_executions SET credential_inputs = NULL, nodes_input_masks = NULL, preset_id = NULL WHERE id = $1")
        .bind(older.id)
        .execute(&mut connection)
        .await
        .unwrap();

    let mut claimed = claim(&world, Uuid::new_v4()).await;
    let older = claimed.pop().unwrap();
    let claimed = claimed.pop().unwrap();
    assert!(
        claimed.nodes_input_masks[&node].contains_key("credentials"),
        "it runs by the compiled ones"
    );
    let shown = restored(&world, claimed.clone()).await.graph_execution().meta;
    assert_eq!(
        (&shown.preset_id, &shown.credential_inputs, &shown.nodes_input_masks),
        (&accepted.preset_id, &accepted.credential_inputs, &accepted.nodes_input_masks)
    );
    assert!(shown.preset_id.is_some() && shown.credential_inputs.is_some());

    let shown = restored(&world, older).await.graph_execution().meta;
    assert_eq!((shown.preset_id, shown.credential_inputs), (None, None));
    assert_eq!(shown.nodes_input_masks, Some(Default::default()), "a row that has none of it");
    // A database manager that is not yet renewed says nothing of it.
    let mut said = serde_json::to_value(claimed).unwrap();
    said.as_object_mut().unwrap().shift_remove("given").unwrap();
    let claimed: ClaimedRun = serde_json::from_value(said).unwrap();
    assert_eq!(restored(&world, claimed).await.graph_execution().meta.preset_id, None);
}

#[tokio::test]
async fn what_a_webhook_brought_is_among_the_inputs_of_the_run() {
    let world = World::new().await;
    let nodes = json!([
        {"id": "1", "block_id": TRIGGER, "input_default": {"constants": {"c": 1}}},
        {"id": "2", "block_id": INPUT, "input_default": {"name": "x", "value": "own"}},
    ]);
    let saved = world.submitter.create_graph(world.user, graph(nodes, json!([]))).await.unwrap();
    let webhook = serde_json::from_value(saved.nodes[0].webhook.clone().unwrap()).unwrap();
    let delivery = submit::Delivery {
        payload: map(json!({"event": "push"})),
        id: None,
    };
    let started = world.submitter.deliver(&webhook, &delivery).await.unwrap().remove(0);
    let expected = Some(map(json!({"payload": {"event": "push"}})));
    assert_eq!(started.inputs, expected, "as the first event says");
    let blocks = IoBlocks {
        input: vec![INPUT.parse().unwrap()],
        webhook: vec![TRIGGER.parse().unwrap()],
        ..IoBlocks::default()
    };
    let stored = async || {
        let stored = world.store().get_execution(Some(world.user), started.id, &blocks).await;
        stored.unwrap().unwrap().meta.inputs
    };
    assert_eq!(stored().await, expected);

    let claimed = claim(&world, Uuid::new_v4()).await.remove(0);
    let mut run = restored(&world, claimed).await;
    assert_eq!(run.graph_execution().meta.inputs, expected, "as later events say");
    run.begin(model::Timestamp::now());
    while let Some(start) = run.next_ready(model::Timestamp::now()) {
        run.finish(
            start.node_exec_id,
            NodeResult::Completed,
            model::NodeStats::default(),
            model::Timestamp::now(),
        );
    }
    assert_eq!(run.graph_execution().meta.inputs, expected);

    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    sqlx::query("UPDATE graph_executions SET inputs = NULL")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        stored().await,
        Some(map(json!({"x": "own", "payload": {"event": "push"}}))),
        "of a row without inputs they are made"
    );
}

#[tokio::test]
async fn credentials_that_are_not_there_are_told_beside_everything_else() {
    let world = World::new().await;
    let nodes = json!([
        {"id": "1", "block_id": TEXT_GENERATOR},
        {"id": "2", "block_id": CALCULATOR, "input_default": {"operation": "Add", "a": 1}},
    ]);
    let saved = world.submitter.create_graph(world.user, graph(nodes, json!([]))).await.unwrap();
    let [generator, calculator] = [saved.nodes[0].id, saved.nodes[1].id];
    let unknown = Uuid::new_v4();
    let mask = json!({"credentials": {"id": unknown, "provider": "openai", "type": "api_key"}});
    let command = SubmitCommand {
        masks: [(generator, map(mask))].into_iter().collect(),
        ..world.command(&saved)
    };
    let Err(SubmitError::Validation { message, node_errors }) = world.submitter.submit(command).await else {
        panic!("accepted")
    };
    let required = "This field is required";
    let expected = json!({
        generator.to_string(): {"prompt": required, "credentials": format!("Unknown credentials #{unknown}")},
        calculator.to_string(): {"b": required},
    });
    assert_eq!(serde_json::to_value(&node_errors).unwrap(), expected);
    assert_eq!(message, "Graph validation failed: 3 issues on 2 nodes");
}

/// An agent that runs an agent that runs one that needs credentials and has none.
fn nested() -> Graph {
    let agent = |id: &str| json!({"block_id": AGENT, "input_default": {"graph_id": id, "graph_version": 1, "inputs": {}, "input_schema": {}, "output_schema": {}}});
    let mut outer = graph(json!([agent("middle")]), json!([]));
    let mut middle = graph(json!([agent("inner")]), json!([]));
    middle.id = "middle".to_owned();
    let mut inner = graph(json!([{"block_id": WEB_REQUEST, "input_default": {"url": "https://a.test"}}]), json!([]));
    inner.id = "inner".to_owned();
    outer.sub_graphs = vec![middle, inner];
    outer
}

#[tokio::test]
async fn credentials_of_a_run_reach_the_agents_inside() {
    let world = World::new().await;
    let saved = world.submitter.create_graph(world.user, nested()).await.unwrap();
    let needs = |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(needs(&saved.credentials_input_schema), [HOST_NEED]);
    let fresh = Submitter::new(world.store().clone(), Registry::standard());
    let listed = fresh.list_graphs(world.user).await.unwrap().into_iter();
    let listed = listed
        .filter(|listed| listed.graph.id == saved.id)
        .map(|listed| listed.interface.credentials_input_schema.clone());
    assert_eq!(needs(&listed.last().unwrap()), [HOST_NEED], "lists say so too");

    let reference = kept_credentials(&world).await;
    let command = SubmitCommand {
        credentials: [(HOST_NEED.to_owned(), reference.clone())].into_iter().collect(),
        inputs: Map::new(),
        origin: Origin::Resource,
        ..world.command(&saved)
    };
    world.submitter.submit(command).await.unwrap();
    let owner = Uuid::new_v4();
    // Outer, middle, inner: each is asked for by the one before.
    for depth in 0..3 {
        let claimed = claim(&world, owner).await.remove(0);
        let (parent, epoch) = (claimed.graph_exec_id, claimed.epoch);
        let mut run = restored(&world, claimed).await;
        run.begin(model::Timestamp::now());
        let start = run.next_ready(model::Timestamp::now()).unwrap();
        if depth == 2 {
            assert_eq!(start.input["credentials"], serde_json::to_value(&reference).unwrap());
            break;
        }
        let child = |masks: Value| SubmitCommand {
            user_id: world.user,
            graph_id: start.input["graph_id"].as_str().unwrap().parse().unwrap(),
            graph_version: Some(1),
            masks: serde_json::from_value(masks).unwrap(),
            origin: Origin::Agent { parent, epoch },
            ..SubmitCommand::default()
        };
        if depth == 1 {
            let without = world.submitter.submit(child(json!({}))).await;
            assert!(matches!(without, Err(SubmitError::Validation { .. })), "{without:?}");
        }
        world.submitter.submit(child(start.input["nodes_input_masks"].clone())).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_becomes_readable_is_seen_by_what_runs_it() {
    let world = World::new().await;
    let other = user(world.store()).await;
    let request = json!([{"block_id": WEB_REQUEST, "input_default": {"url": "https://a.test"}}]);
    let inner = world.submitter.create_graph(other, graph(request, json!([]))).await.unwrap();
    let settings = json!({"graph_id": inner.id, "graph_version": 1, "inputs": {}, "input_schema": {}, "output_schema": {}});
    let outer = graph(json!([{"block_id": AGENT, "input_default": settings}]), json!([]));
    let saved = world.submitter.create_graph(world.user, outer).await.unwrap();
    let reference = kept_credentials(&world).await;
    let run = async || {
        let command = SubmitCommand {
            credentials: [(HOST_NEED.to_owned(), reference.clone())].into_iter().collect(),
            inputs: Map::new(),
            origin: Origin::Resource,
            ..world.command(&saved)
        };
        world.submitter.submit(command).await
    };
    let needs = async || {
        let listed = world.submitter.list_graphs(world.user).await.unwrap();
        let listed = listed.iter().find(|listed| listed.graph.id == saved.id).unwrap();
        listed.interface.credentials_input_schema["properties"].as_object().unwrap().len()
    };
    let refused = run().await;
    assert!(matches!(refused, Err(SubmitError::Invalid(_))), "{refused:?}");
    assert_eq!(needs().await, 0);

    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    sqlx::query("UPDATE graphs SET user_id = $1 WHERE id = $2")
        .bind(world.user)
        .bind(inner.id)
        .execute(&mut connection)
        .await
        .unwrap();
    run().await.unwrap();
    assert_eq!(needs().await, 1);
}
