//! The `executor` binary.

use std::process::ExitCode;

use blocks::Registry;
use runtime::{BoxError, Settings, Shutdown};

fn main() -> ExitCode {
    runtime::main("executor", serve)
}

async fn serve(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.execution_manager).await?;
    executor::run(settings, Registry::standard(), listener, shutdown).await?;
    Ok(())
}
