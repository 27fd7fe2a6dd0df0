//! `db dead`: looking at the runs that were given up, and driving them again.

use std::io::Write;

use blocks::Registry;
use model::{DeadRun, GraphExecId};
use runtime::{Settings, Shutdown};
use store::Store;
use submit::Submitter;

use crate::Error;

/// Runs that one command deals with at most.
const ALL: i64 = 100_000;

/// Prints one line a run, newest first, fields separated by tabs.
pub async fn list_dead(settings: Settings, _shutdown: Shutdown) -> Result<(), Error> {
    let store = Store::connect(&settings.database.url, 2)?;
    let runs = store.list_dead_runs(None, false, ALL).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "RUN\tUSER\tGRAPH\tDIED\tATTEMPTS\tEXECUTOR\tREDRIVEN\tERROR")?;
    for run in &runs {
        writeln!(out, "{}", line(run))?;
    }
    Ok(())
}

/// Starts a new run with the inputs of a dead one and prints its id.
pub async fn redrive(settings: Settings, run: GraphExecId) -> Result<(), Error> {
    let submitter = submitter(&settings)?;
    redrive_one(&submitter, run).await
}

/// Drives every dead run again that nobody has driven again before. Goes on after one that cannot be.
pub async fn redrive_all(settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    let submitter = submitter(&settings)?;
    let runs = submitter.store().list_dead_runs(None, true, ALL).await?;
    let mut failed = 0;
    for run in &runs {
        if shutdown.is_cancelled() {
            return Err(Error::Stopped);
        }
        if let Err(error) = redrive_one(&submitter, run.graph_exec_id).await {
            tracing::error!(%error);
            failed += 1;
        }
    }
    if failed > 0 {
        return Err(Error::SomeRedrives { failed, of: runs.len() });
    }
    Ok(())
}

/// The blocks that only a running service knows from outside are not needed here: a graph that has them is refused, and the run stays listed.
fn submitter(settings: &Settings) -> Result<Submitter, Error> {
    let store = Store::connect(&settings.database.url, 2)?;
    Ok(Submitter::new(store, Registry::standard()).with_run_deadline(settings.executor.run_deadline()))
}

async fn redrive_one(submitter: &Submitter, run: GraphExecId) -> Result<(), Error> {
    let redriven = submitter.redrive(run).await.map_err(|cause| Error::Redrive { run, cause })?;
    let how = if redriven.created {
        "driven again as"
    } else {
        "is being driven again as"
    };
    writeln!(std::io::stdout().lock(), "{run} {how} {}", redriven.graph_exec_id)?;
    Ok(())
}

fn line(run: &DeadRun) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let fields = [
        run.graph_exec_id.to_string(),
        run.user_id.to_string(),
        format!("{} v{}", run.graph_id, run.graph_version),
        run.died_at.to_string(),
        run.attempts.to_string(),
        or_dash(run.executor.clone()),
        or_dash(run.redriven_as.map(|id| id.to_string())),
        run.error.replace(['\n', '\t'], " "),
    ];
    fields.join("\t")
}
