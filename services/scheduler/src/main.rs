//! The scheduler service.

use std::process::ExitCode;

use blocks::Registry;

fn main() -> ExitCode {
    runtime::main("scheduler", async |settings, shutdown| {
        let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.scheduler).await?;
        scheduler::run(settings, Registry::standard(), listener, shutdown).await?;
        Ok::<(), runtime::BoxError>(())
    })
}
