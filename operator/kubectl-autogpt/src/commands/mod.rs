//! The commands: what they are called, and who answers.

mod backfill;
mod cancel;
mod follow;
mod logs;
mod next;
mod run;
mod status;
mod suspend;
mod trigger;
mod watch;
mod why;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};

use crate::cluster::{Access, Cluster};
use crate::complaint::Complaint;

/// Look at and steer AutoGPT platforms, schedules and executions
#[derive(Debug, Parser)]
#[command(name = "kubectl autogpt", bin_name = "kubectl autogpt", version, about)]
pub struct Cli {
    #[command(flatten)]
    pub access: Access,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Platforms with their services, schedules and the newest executions
    Status,
    /// What a schedule decided and why; with a time, about that due time
    Why {
        schedule: String,
        /// A due time: 2026-03-29T02:30:00Z
        time: Option<DateTime<Utc>>,
    },
    /// When a schedule is due next
    Next {
        schedule: String,
        /// How many due times; -n 10 is understood, too
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// Run the graph of a schedule now, whatever its calendar says
    Trigger {
        schedule: String,
        /// Show nodes and outputs of the execution until it is over
        #[arg(short, long)]
        follow: bool,
    },
    /// Run the due times of a past range (again)
    Backfill(Backfill),
    /// Suspend a schedule: nothing fires until it is resumed
    Pause {
        schedule: String,
        /// A word to those who find it suspended
        #[arg(long)]
        note: Option<String>,
    },
    /// Let a suspended schedule fire again
    Resume { schedule: String },
    /// Run a graph once
    Run(Run),
    /// Run what failed of an execution again; nodes that completed are not run again
    Retry {
        execution: String,
        /// Name of the new execution; made up when absent
        #[arg(long)]
        name: Option<String>,
        /// Show nodes and outputs until it is over
        #[arg(short, long)]
        follow: bool,
    },
    /// Show nodes and outputs of an execution until it is over
    Follow { execution: String },
    /// Stop an execution
    Cancel {
        execution: String,
        /// Return when it is over
        #[arg(long)]
        wait: bool,
    },
    /// What the executors logged about an execution
    Logs { execution: String },
}

#[derive(Debug, Args)]
pub struct Run {
    /// A graph (name, nodes, links) or a GraphExecution, as YAML or JSON; - reads standard input
    pub file: PathBuf,
    /// An input of the graph: name=value, where JSON is taken as such; name=@file reads a file
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// The platform that runs it; may be left out where the namespace has one
    #[arg(long)]
    pub platform: Option<String>,
    /// Name of the execution; made up from the graph's when absent
    #[arg(long)]
    pub name: Option<String>,
    /// How long it may take: 90s, 15m, 1h30m
    #[arg(long)]
    pub deadline: Option<String>,
    /// Show nodes and outputs until it is over
    #[arg(short, long)]
    pub follow: bool,
}

/// `-n` is kubectl's word for the namespace; behind `next` a number is the count that people expect it to be.
pub fn kubectl_words(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_number = |word: &OsString| {
        word.to_str()
            .is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut words: Vec<OsString> = words.collect();
    let behind = words.iter().position(|word| word == "next").map_or(words.len(), |place| place + 1);
    for place in behind..words.len().saturating_sub(1) {
        if words.get(place).is_some_and(|word| word == "-n")
            && words.get(place + 1).is_some_and(is_number)
            && let Some(word) = words.get_mut(place)
        {
            *word = OsString::from("--count");
        }
    }
    words
}

#[derive(Debug, Args)]
pub struct Backfill {
    pub schedule: String,
    /// The first instant of the range: 2026-03-29T00:00:00Z
    #[arg(long)]
    pub from: DateTime<Utc>,
    /// The last one
    #[arg(long)]
    pub to: DateTime<Utc>,
    /// Its name; each due time is run once for a name
    #[arg(long)]
    pub name: Option<String>,
    /// What happens to a due time while a run of the schedule is not over
    #[arg(long, value_enum, default_value_t = Overlap::Wait)]
    pub overlap: Overlap,
    /// Return when every due time has its decision
    #[arg(long)]
    pub wait: bool,
}

/// What happens to a due time of a backfill while a run of the schedule is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Overlap {
    /// It waits: one after the other
    Wait,
    /// It is skipped
    Skip,
    /// It fires, up to 20 runs at a time
    Allow,
}

/// How a command ended that did not fail itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Well,
    /// The execution that was followed did not succeed.
    RunFailed,
}

/// Carries a command out, and writes what there is to say.
pub async fn run(command: Command, cluster: &Cluster, out: &mut impl Write) -> Result<Done, Complaint> {
    match command {
        Command::Status => status::run(cluster, out).await,
        Command::Why { schedule, time } => why::run(cluster, &schedule, time, out).await,
        Command::Next { schedule, count } => next::run(cluster, &schedule, count.into(), out).await,
        Command::Trigger { schedule, follow } => trigger::run(cluster, &schedule, follow, out).await,
        Command::Backfill(arguments) => backfill::run(cluster, arguments, out).await,
        Command::Pause { schedule, note } => suspend::pause(cluster, &schedule, note, out).await,
        Command::Resume { schedule } => suspend::resume(cluster, &schedule, out).await,
        Command::Run(arguments) => run::run(cluster, arguments, out).await,
        Command::Retry { execution, name, follow } => run::retry(cluster, &execution, name, follow, out).await,
        Command::Follow { execution } => follow::run(cluster, &execution, out).await,
        Command::Cancel { execution, wait } => cancel::run(cluster, &execution, wait, out).await,
        Command::Logs { execution } => logs::run(cluster, &execution, out).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        for (line, namespace, wanted) in [
            ("next nightly -n 10", None, 10),
            ("-n autogpt next nightly -n 10", Some("autogpt"), 10),
            ("next nightly -n autogpt --count 7", Some("autogpt"), 7),
            ("-n 10 next nightly", Some("10"), 5),
        ] {
            let words = std::iter::once("kubectl-autogpt").chain(line.split(' ')).map(OsString::from);
            let cli = Cli::parse_from(kubectl_words(words));
            assert!(matches!(cli.command, Command::Next { count, .. } if count == wanted), "{line}");
            assert_eq!(cli.access.namespace.as_deref(), namespace, "{line}");
        }
    }
}
