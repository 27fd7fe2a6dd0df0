//! PostgreSQL from the distribution's packages. It refuses to run as root, so root hands it to the user `postgres`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::Connection;
use tokio::process::Command;

use crate::process::{Guardian, Process};
use crate::{Error, Options, find, make_directory};

pub(crate) struct Starting {
    pub process: Process,
    url: String,
}

/// Where the data lie of one that lives in `dir`.
pub(crate) fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

pub(crate) async fn spawn(dir: &Path, port: u16, options: Options, guardian: &mut Guardian) -> Result<Starting, Error> {
    make_directory(dir)?;
    let data = data(dir);
    let log = dir.join("log");
    if !data.join("PG_VERSION").exists() {
        initialise(dir, &data, options).await?;
    }
    let mut command = as_postgres(find::postgres_program("postgres")?.as_path());
    command.arg("-D").arg(&data).args([
        "-p",
        &port.to_string(),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "max_connections=400",
        "-c",
    ]);
    command.arg(format!("unix_socket_directories={}", data.display()));
    if !options.durable {
        // synchronous_commit stays on: without it a kill of the server alone would lose commits that it has acknowledged.
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    let process = Process::spawn("postgres", command, &log, guardian)?;
    Ok(Starting {
        process,
        url: format!("postgresql://postgres@127.0.0.1:{port}/postgres"),
    })
}

async fn initialise(dir: &Path, data: &Path, options: Options) -> Result<(), Error> {
    let failed = |source| Error::Spawn {
        program: "initdb".to_owned(),
        source,
    };
    if is_root() {
        let status = Command::new("chown").arg("-R").arg("postgres:").arg(dir).status().await.map_err(failed)?;
        if !status.success() {
            return Err(failed(std::io::Error::other(
                "there is no user `postgres` to run it as; the package creates one",
            )));
        }
    }
    let mut command = as_postgres(find::postgres_program("initdb")?.as_path());
    command
        .arg("-D")
        .arg(data)
        .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]);
    if !options.durable {
        command.arg("--no-sync");
    }
    let output = command.stdin(Stdio::null()).output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let mut reason = String::from_utf8_lossy(&output.stderr).into_owned();
    if reason.contains("Permission denied") {
        reason.push_str("the user `postgres` must be able to enter every directory above it: choose another data directory");
    }
    Err(failed(std::io::Error::other(reason)))
}

fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

impl Starting {
    pub async fn ready(&mut self) -> Result<String, Error> {
        let url = self.url.clone();
        self.process
            .wait_until(60, || async { sqlx::PgConnection::connect(&url).await.is_ok() })
            .await?;
        Ok(self.url.clone())
    }
}
