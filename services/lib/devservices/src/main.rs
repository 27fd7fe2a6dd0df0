//! `devservices run -- COMMAND…`: runs a command with its own PostgreSQL, Redis and RabbitMQ, and ends with its exit code.

use std::process::ExitCode;

use devservices::{Options, Stack, testing};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: devservices run -- COMMAND [ARGUMENT…]\n\
    Starts PostgreSQL (without fsync), Redis and RabbitMQ on free loopback ports in a temporary directory, runs the command\n\
    with their addresses in TEST_DATABASE_URL, TEST_REDIS_URL, TEST_AMQP_URL and TEST_RABBITMQ_API_URL, and stops them.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match arguments.as_slice() {
        [run, dashes, command @ ..] if run == "run" && dashes == "--" && !command.is_empty() => command,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("devservices: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &[String]) -> Result<u8, Box<dyn std::error::Error>> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(USAGE.into());
    };
    let mut child = Command::new(program);
    child.args(arguments);
    if [testing::DATABASE, testing::REDIS, testing::AMQP, testing::RABBITMQ_API]
        .iter()
        .all(|name| std::env::var_os(name).is_some())
    {
        eprintln!("devservices: using the services named in the environment");
        return Ok(exit_code(child.status().await?));
    }
    let directory = tempfile::Builder::new().prefix("autogpt-services-").tempdir()?;
    // PostgreSQL's user must be able to enter it.
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let begun = std::time::Instant::now();
    let stack = tokio::select! {
        stack = Stack::start(directory.path(), Options { durable: false }) => stack?,
        _ = terminate.recv() => return Ok(143),
        _ = interrupt.recv() => return Ok(130),
    };
    eprintln!(
        "devservices: PostgreSQL (fsync off), Redis and RabbitMQ ready after {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    let mut child = child
        .env(testing::DATABASE, &stack.database_url)
        .env(testing::REDIS, &stack.redis_url)
        .env(testing::AMQP, &stack.amqp_url)
        .env(testing::RABBITMQ_API, &stack.rabbitmq_api_url)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let code = tokio::select! {
        status = child.wait() => exit_code(status?),
        _ = terminate.recv() => { let _ = child.start_kill(); 143 }
        // A terminal sends the interrupt to the command as well: let it end by itself.
        _ = interrupt.recv() => child.wait().await.map(exit_code).unwrap_or(130),
    };
    stack.discard().await;
    Ok(code)
}

fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
