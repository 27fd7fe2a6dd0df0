//! The WebSocket service (port 8001).

use std::process::ExitCode;

use runtime::{BoxError, Settings, Shutdown};

fn main() -> ExitCode {
    runtime::main("ws", serve)
}

async fn serve(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.hosts.websocket, settings.ports.websocket).await?;
    Box::pin(ws::run(settings, listener, shutdown)).await?;
    Ok(())
}
