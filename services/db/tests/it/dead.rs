//! Runs that nobody gets on with, over HTTP: given up, listed, driven again; backoffs and deadlines that end by themselves.

use std::time::Duration;

use model::{ExecutionStatus, GivenUpRun, Timestamp, WaitingReason};
use rpc::services::DatabaseManager;
use runtime::{Settings, Shutdown};
use submit::SubmitCommand;
use uuid::Uuid;

use crate::world::{Server, World, eventually};

impl World {
    async fn impatient_server(&self) -> Server {
        Server::start(&[("DATABASE_URL", &self.database), ("RABBITMQ_URL", &self.amqp), ("MAX_ATTEMPTS", "3")]).await
    }

    /// Claims the run and gives it up until it is dead.
    async fn kill(&self, server: &Server, id: Uuid) {
        let owner = Uuid::new_v4();
        for _ in 0..3 {
            let run = eventually("the run can be claimed", || async {
                server.client.claim(owner, "executor-0".to_owned(), 1).await.unwrap().pop()
            })
            .await;
            let given_up = GivenUpRun {
                held: run.held(),
                reason: "it broke".to_owned(),
            };
            server.client.give_up_runs(owner, vec![given_up]).await.unwrap();
        }
        assert_eq!(self.store.get_status(id).await.unwrap(), Some(ExecutionStatus::Failed));
    }
}

#[tokio::test]
async fn a_poison_run_dies_after_its_backoffs_and_can_be_driven_again() {
    let world = World::new().await;
    let server = world.impatient_server().await;
    let id = world.submit().await;
    world.kill(&server, id).await;
    let dead = server.client.list_dead_runs(None, true, 10).await.unwrap();
    assert_eq!(dead.iter().map(|run| (run.graph_exec_id, run.attempts)).collect::<Vec<_>>(), [(id, 3)]);
    assert_eq!(dead[0].executor.as_deref(), Some("executor-0"));

    let again = server.client.redrive_run(id).await.unwrap();
    assert_eq!(server.client.redrive_run(id).await.unwrap(), again, "not over yet: not driven twice");
    let owner = Uuid::new_v4();
    let run = server.client.claim(owner, "executor-1".to_owned(), 1).await.unwrap().pop().unwrap();
    assert_eq!((run.graph_exec_id, run.inputs["x"].as_str()), (again, Some("hello")));
    assert!(server.client.list_dead_runs(None, true, 10).await.unwrap().is_empty());
    let listed = server.client.list_dead_runs(Some(world.user), false, 10).await.unwrap();
    assert_eq!((listed[0].redrives, listed[0].redriven_as), (1, Some(again)));
    assert_eq!(world.store.get_status(id).await.unwrap(), Some(ExecutionStatus::Failed));

    // Once that one is over, the next redrive is a new run.
    world.store.release_runs(owner, &[run.held()]).await.unwrap();
    world.store.request_cancel(None, again).await.unwrap();
    let third = server.client.redrive_run(id).await.unwrap();
    assert!(![id, again].contains(&third));
    let refused = server.client.redrive_run(Uuid::new_v4()).await.unwrap_err();
    assert!(refused.to_string().contains("not on the dead list"), "{refused}");
}

#[tokio::test]
async fn the_command_line_drives_all_dead_runs_again_once() {
    let world = World::new().await;
    let server = world.impatient_server().await;
    for _ in 0..2 {
        let id = world.submit().await;
        world.kill(&server, id).await;
    }
    let settings = Settings::from_pairs([("DATABASE_URL", world.database.as_str())]).unwrap();
    db::list_dead(settings.clone(), Shutdown::new()).await.unwrap();
    for _ in 0..2 {
        db::redrive_all(settings.clone(), Shutdown::new()).await.unwrap();
    }
    let runs = server.client.claim(Uuid::new_v4(), "executor-1".to_owned(), 10).await.unwrap();
    assert_eq!(runs.len(), 2);
    let error = db::redrive(settings, Uuid::nil()).await.unwrap_err().to_string();
    assert!(error.contains("not on the dead list"), "{error}");
}

#[tokio::test]
async fn a_waiting_run_says_why_and_ends_at_its_deadline_by_itself() {
    let world = World::new().await;
    let server = world.server().await;
    let command = SubmitCommand {
        user_id: world.user,
        graph_id: world.graph.id,
        deadline: Some(Timestamp::from(Timestamp::now().into_inner() + Duration::from_secs(2))),
        ..SubmitCommand::default()
    };
    let id = world.submitter.submit(command.clone()).await.unwrap().id;
    let shown = server.client.get_graph_execution(Some(world.user), id).await.unwrap().unwrap();
    assert_eq!(shown.waiting.unwrap().reason, WaitingReason::WaitingForExecutor);
    eventually("it is over", || async {
        (world.store.get_status(id).await.unwrap() == Some(ExecutionStatus::Terminated)).then_some(())
    })
    .await;
    let shown = server.client.get_graph_execution(Some(world.user), id).await.unwrap().unwrap();
    assert_eq!(shown.waiting, None);
    assert_eq!(shown.execution.meta.stats.unwrap().error.as_deref(), Some(model::PAST_DEADLINE));
    let late = SubmitCommand {
        deadline: Some(Timestamp::from(Timestamp::now().into_inner() - Duration::from_secs(1))),
        ..command
    };
    let refused = world.submitter.submit(late).await.unwrap_err().to_string();
    assert!(refused.contains("has passed"), "{refused}");
}

#[tokio::test]
async fn the_setting_gives_every_run_a_deadline() {
    let world = World::new().await;
    let settings = Settings::from_pairs([("RUN_DEADLINE_SECONDS", "60")]).unwrap();
    let submitter = world.submitter.clone().with_run_deadline(settings.executor.run_deadline());
    let command = SubmitCommand {
        user_id: world.user,
        graph_id: world.graph.id,
        ..SubmitCommand::default()
    };
    submitter.submit(command).await.unwrap();
    let run = world
        .store
        .claim(
            Uuid::new_v4(),
            "executor-0",
            store::ClaimLimits {
                free_slots: 1,
                per_user_and_graph: 25,
            },
        )
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert!((50.0..=60.0).contains(&run.seconds_left.unwrap()), "{:?}", run.seconds_left);
}
