//! The `db` binary: the database manager, `db migrate` and `db dead`.

use std::process::ExitCode;

use blocks::Registry;
use clap::{Parser, Subcommand};
use model::GraphExecId;
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
    /// The runs that were given up because no executor got on with them.
    #[command(subcommand)]
    Dead(Dead),
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Dead {
    /// Print them, newest first, fields separated by tabs.
    List,
    /// Start a new run with the same inputs; the old one stays FAILED.
    Redrive {
        /// The dead run.
        #[arg(required_unless_present = "all")]
        run: Option<GraphExecId>,
        /// Every dead run that nobody has driven again before.
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
}

fn main() -> ExitCode {
    // The runtime looks for --print-config itself.
    let Arguments { command, print_config: _ } = Arguments::parse();
    match command {
        Some(Command::Migrate) => runtime::main("db", db::migrate),
        Some(Command::Dead(Dead::List)) => runtime::main("db", db::list_dead),
        Some(Command::Dead(Dead::Redrive { run: Some(run), .. })) => runtime::main("db", move |settings, _| db::redrive(settings, run)),
        Some(Command::Dead(Dead::Redrive { run: None, .. })) => runtime::main("db", db::redrive_all),
        None => runtime::main("db", serve),
    }
}

async fn serve(settings: Settings, shutdown: Shutdown) -> Result<(), BoxError> {
    let listener = runtime::serve::bind(&settings.rpc.bind_host, settings.ports.database_api).await?;
    db::run(settings, Registry::standard(), listener, shutdown).await?;
    Ok(())
}
