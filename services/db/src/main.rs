//! The `db` binary: the database manager, and `db migrate`.

use std::process::ExitCode;

use blocks::Registry;
use clap::{Parser, Subcommand};
use runtime::{BoxError, Settings, Shutdown};

/// The database manager of the AutoGPT Platform. Every setting is an environment variable.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the effective configuration, secrets redacted, and end.
    #[arg(long)]
    print_config: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Bring the database schema up to this program's version, and end. Waits for the database for up to a minute.
    Migrate,
}

fn main() -> ExitCode {
    // The runtime looks for --print-config itself.
    let Arguments { command, print_config: _ } = Arguments::parse();
    match command {
        Some(Command::Migrate) => runtime::main("db", db::migrate),
        None => runtime::main("db", serve),
    }
}

async fn serve(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.database_api).await?;
    db::run(settings, Registry::standard(), listener, shutdown).await?;
    Ok(())
}
