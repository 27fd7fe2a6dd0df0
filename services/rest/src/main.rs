//! The REST service (port 8006).

use std::process::ExitCode;

use blocks::Registry;
use runtime::{BoxError, Settings, Shutdown};

fn main() -> ExitCode {
    runtime::main("rest", serve)
}

async fn serve(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.hosts.agent_api, settings.ports.agent_api).await?;
    Box::pin(rest::run(settings, Registry::standard(), listener, shutdown)).await?;
    Ok(())
}
