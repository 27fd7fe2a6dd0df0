//! `kubectl autogpt`: what people ask of platforms, schedules and executions, in one screen.
//!
//! Everything goes through the API server with the rights of whoever calls; what the objects do is the operator's. Each command is a
//! module: it reads, renders to text (pure), and writes the text.

mod cluster;
mod commands;
mod complaint;
mod inputs;
mod table;
mod time;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cluster::Cluster;
use crate::commands::{Cli, Done};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse_from(commands::kubectl_words(std::env::args_os()));
    // Fails only when a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match Cluster::connect(&cli.access).await {
        Ok(cluster) => commands::run(cli.command, &cluster, &mut std::io::stdout()).await,
        Err(complaint) => Err(complaint),
    };
    match outcome {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::RunFailed) => ExitCode::from(2),
        Err(complaint) => {
            // Where errors go is gone: nothing is left to tell it to.
            let _ = writeln!(std::io::stderr(), "{complaint}");
            ExitCode::FAILURE
        }
    }
}
