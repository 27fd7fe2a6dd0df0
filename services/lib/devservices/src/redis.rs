//! Redis without persistence: it holds hints only.

use std::path::Path;

use tokio::process::Command;

use crate::process::{Guardian, Process};
use crate::{Error, find, make_directory};

pub(crate) struct Starting {
    pub process: Process,
    url: String,
}

pub(crate) fn spawn(dir: &Path, port: u16, guardian: &mut Guardian) -> Result<Starting, Error> {
    make_directory(dir)?;
    let mut command = Command::new(find::program("redis-server", "redis-server", &[])?);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
        .arg("--dir")
        .arg(dir);
    let process = Process::spawn("redis-server", command, &dir.join("log"), guardian)?;
    Ok(Starting {
        process,
        url: format!("redis://127.0.0.1:{port}/0"),
    })
}

impl Starting {
    pub async fn ready(&mut self) -> Result<String, Error> {
        let url = self.url.clone();
        self.process.wait_until(20, || answers(&url)).await?;
        Ok(self.url.clone())
    }
}

async fn answers(url: &str) -> bool {
    let ping = async {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    ping.await.is_ok()
}
