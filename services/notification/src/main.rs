//! The notification service as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main("notification", async |settings, shutdown| {
        let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.notification).await?;
        notification::run(settings, listener, shutdown).await?;
        Ok::<(), runtime::BoxError>(())
    })
}
