//! `workload SERVICE`: one service of the platform with the test blocks in its registry; `workload migrate` is `db migrate`.

use std::process::ExitCode;

use runtime::{BoxError, Settings, Shutdown};
use workload::registry;

const USAGE: &str = "usage: workload rest|db|scheduler|executor|ws|notification|migrate\n\
    Runs that service as its own binary would, with the test blocks beside the product's. Everything else comes from the environment.";

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "rest" => runtime::main("rest", rest),
        "db" => runtime::main("db", db),
        "scheduler" => runtime::main("scheduler", scheduler),
        "executor" => runtime::main("executor", executor),
        "ws" => runtime::main("ws", ws),
        "notification" => runtime::main("notification", notification),
        "migrate" => runtime::main("db", db::migrate),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

async fn rest(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.hosts.agent_api, settings.ports.agent_api).await?;
    Box::pin(rest::run(settings, registry(), listener, shutdown)).await?;
    Ok(())
}

async fn db(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.database_api).await?;
    db::run(settings, registry(), listener, shutdown).await?;
    Ok(())
}

async fn scheduler(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.scheduler).await?;
    scheduler::run(settings, registry(), listener, shutdown).await?;
    Ok(())
}

async fn executor(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.execution_manager).await?;
    executor::run(settings, registry(), listener, shutdown).await?;
    Ok(())
}

async fn ws(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.hosts.websocket, settings.ports.websocket).await?;
    Box::pin(ws::run(settings, listener, shutdown)).await?;
    Ok(())
}

async fn notification(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.notification).await?;
    notification::run(settings, listener, shutdown).await?;
    Ok(())
}
