//! The contract's methods, over HTTP.

use model::ExecutionStatus;
use model::library::LibrarySort;
use model::notification::NotificationType;
use model::user::UsageTransactionMetadata;
use rpc::RpcErrorKind;
use rpc::services::DatabaseManager;
use serde_json::{Value, json};
use store::{NewSubmission, Verdict};
use uuid::Uuid;

use crate::world::{Server, World};

#[tokio::test]
async fn a_run_written_by_the_contracts_methods_alone() {
    let world = World::new().await;
    let server = world.server().await;
    let client = &server.client;
    let start = world.graph.nodes[0].id;
    let input = json!({"name": "x", "value": 1}).as_object().cloned().unwrap();
    let created = client
        .create_graph_execution(
            world.graph.id,
            1,
            vec![(start, input.clone())],
            input.clone(),
            world.user,
            None,
            None,
            None,
            None,
        )
        .await
        .unwrap();
    let id = created.execution.meta.id;
    assert_eq!(created.execution.meta.status, ExecutionStatus::Incomplete);
    assert_eq!(created.node_executions[0].status, ExecutionStatus::Queued);
    let node = created.node_executions[0].node_exec_id;
    client.update_graph_execution_start_time(id).await.unwrap();
    let running = client
        .update_node_execution_status(node, ExecutionStatus::Running, None, None)
        .await
        .unwrap();
    assert_eq!(running.status, ExecutionStatus::Running);
    client.upsert_execution_output(node, "result".to_owned(), Some(json!(1))).await.unwrap();
    // A transition that the table forbids returns the unchanged record.
    let unchanged = client
        .update_node_execution_status(node, ExecutionStatus::Queued, Some(input), None)
        .await
        .unwrap();
    assert_eq!(unchanged.status, ExecutionStatus::Running);
    assert_eq!(
        client
            .update_node_execution_status_batch(vec![node], ExecutionStatus::Completed, None)
            .await
            .unwrap(),
        1
    );
    let done = client
        .update_graph_execution_stats(id, Some(ExecutionStatus::Completed), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(done.meta.status, ExecutionStatus::Completed);
    let count = client
        .get_graph_executions_count(Some(world.user), None, Some(vec![ExecutionStatus::Completed]), None, None)
        .await;
    assert_eq!(count.unwrap(), 1);
}

#[tokio::test]
async fn credits_are_a_constant_while_disabled_and_a_ledger_otherwise() {
    let world = World::new().await;
    let free = world.server().await;
    assert_eq!(free.client.get_credits(world.user).await.unwrap(), 100);
    assert_eq!(
        free.client
            .spend_credits(world.user, 1000, UsageTransactionMetadata::default())
            .await
            .unwrap(),
        0
    );
    let pairs = [
        ("DATABASE_URL", world.database.as_str()),
        ("RABBITMQ_URL", world.amqp.as_str()),
        ("ENABLE_CREDIT", "true"),
        ("NUM_USER_CREDITS_REFILL", "0"),
    ];
    let paid = Server::start(&pairs).await;
    let refused = paid
        .client
        .spend_credits(world.user, 5, UsageTransactionMetadata::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind.name(), "InsufficientBalanceError");
    assert_eq!(refused.args[2..], [json!(0), json!(5)]);
    world.store.book_credits(world.user, "gift", "GRANT", 20, &Value::Null).await.unwrap();
    let once = UsageTransactionMetadata {
        node_exec_id: Some(Uuid::new_v4().to_string()),
        ..UsageTransactionMetadata::default()
    };
    for _ in 0..2 {
        assert_eq!(paid.client.spend_credits(world.user, 5, once.clone()).await.unwrap(), 15);
    }
}

#[tokio::test]
async fn permissions_users_and_preferences() {
    let world = World::new().await;
    let server = world.server().await;
    let client = &server.client;
    client
        .validate_graph_execution_permissions(world.user, world.graph.id, 1, false)
        .await
        .unwrap();
    let refused = client
        .validate_graph_execution_permissions(Uuid::new_v4(), world.graph.id, 1, false)
        .await
        .unwrap_err();
    assert_eq!(refused.kind.name(), "GraphNotAccessibleError");
    // A version that does not exist is no other case than one that is somebody else's (internals §2.2).
    let absent = client
        .validate_graph_execution_permissions(world.user, world.graph.id, 7, false)
        .await
        .unwrap_err();
    assert_eq!(absent.kind.name(), "GraphNotAccessibleError");
    let user = client.get_user_by_id(world.user).await.unwrap();
    assert_eq!(client.get_user_email_by_id(world.user).await.unwrap(), Some(user.email));
    assert!(client.get_user_email_verification(world.user).await.unwrap());
    let preference = client.get_user_notification_preference(world.user).await.unwrap();
    assert!(preference.preferences[&NotificationType::AgentRun]);
    assert_eq!((preference.preferences.len(), preference.daily_limit), (10, 3));
}

#[tokio::test]
async fn bodies_are_those_of_the_contract() {
    let world = World::new().await;
    let server = world.server().await;
    let http = reqwest::Client::new();
    let call = |method: &str, body: Value| {
        http.post(format!("{}/{method}", server.url))
            .header("content-type", "application/json")
            .body(body.to_string())
    };
    let answer = call("get_credits", json!({"user_id": world.user, "unknown": 1})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, "100".to_owned()));
    let answer = call("get_node", json!({"node_id": Uuid::nil()})).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["type"], "NotFoundError");
    let answer = call("get_node", json!({})).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 422);
}

#[tokio::test]
async fn an_executor_reads_the_catalogue_and_adds_to_a_users_library() {
    let world = World::new().await;
    let server = world.server().await;
    let client = &server.client;
    world.store.get_or_create_profile(world.user).await.unwrap();
    let content = json!({"name": "Echoing", "sub_heading": "s", "description": "Says it again", "categories": ["text"]});
    let new = NewSubmission {
        owner: world.user,
        graph_id: world.graph.id,
        graph_version: 1,
        slug: "echoing".to_owned(),
        content: serde_json::from_value(content).unwrap(),
    };
    let submission = world.store.submit_listing(&new).await.unwrap().unwrap();
    let version = submission.store_listing_version_id.unwrap();
    let offered = async || client.get_store_agents(None, Some("again".to_owned()), None, 1, 10).await.unwrap();
    assert_eq!(offered().await.agents, []);
    let verdict = Verdict {
        reviewer: world.user,
        approved: true,
        comments: String::new(),
        internal_comments: None,
    };
    world.store.decide_submission(version, &verdict).await.unwrap();
    let offer = offered().await.agents.remove(0);
    assert_eq!((offer.slug.as_str(), offered().await.pagination.total_items), ("echoing", 1));
    let details = client.get_store_agent_details(offer.creator.clone(), offer.slug).await.unwrap();
    assert_eq!(details.store_listing_version_id, version);
    let missing = client.get_store_agent_details(offer.creator, "other".to_owned()).await.unwrap_err();
    assert_eq!(missing.kind, RpcErrorKind::NotFound);

    let reader = Uuid::new_v4();
    world.store.get_or_create_user(reader, "reader@example.com", None).await.unwrap();
    let library = async || client.list_library_agents(reader, None, LibrarySort::UpdatedAt, 1, 50).await.unwrap();
    assert_eq!(library().await.agents, []);
    for _ in 0..2 {
        let added = client.add_store_agent_to_library(version.to_string(), reader).await.unwrap();
        assert_eq!(added.graph_id, world.graph.id);
        assert_eq!(library().await.agents, [added]);
    }
    for unknown in [Uuid::new_v4().to_string(), "x".to_owned()] {
        let missing = client.add_store_agent_to_library(unknown, reader).await.unwrap_err();
        assert_eq!(missing.kind, RpcErrorKind::NotFound);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_library_is_listed_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    let server = world.server().await;
    let later = json!({"name": "later", "description": "", "nodes": [], "links": []});
    world
        .submitter
        .create_graph(world.user, serde_json::from_value(later).unwrap())
        .await
        .unwrap();
    let names = async |body: Value| {
        let answer = reqwest::Client::new()
            .post(format!("{}/list_library_agents", server.url))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let (status, body): (_, Value) = (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap());
        let agents = body["agents"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = agents.iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect();
        (status, names)
    };
    let listed = |names: [&str; 2]| (200, names.map(str::to_owned).to_vec());
    assert_eq!(names(json!({"user_id": world.user})).await, listed(["later", "echo"]));
    assert_eq!(
        names(json!({"user_id": world.user, "sort_by": "createdAt"})).await,
        listed(["echo", "later"])
    );
    assert_eq!(names(json!({"user_id": world.user, "sort_by": "name"})).await.0, 422);
}
