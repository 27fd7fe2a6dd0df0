//! RabbitMQ with its management API, and the name server that it needs, all on loopback.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::process::{Guardian, Process};
use crate::{Error, find, make_directory, write_file};

const NODE: &str = "autogpt@localhost";

pub(crate) struct RabbitMq {
    server: Process,
    name_server: Process,
    port: u16,
    management_port: u16,
}

/// `ports`: AMQP, management, distribution, name server.
pub(crate) fn spawn(dir: &Path, ports: [u16; 4], guardian: &mut Guardian) -> Result<RabbitMq, Error> {
    let home = dir.join("home");
    make_directory(&home)?;
    // Debian's script on the PATH changes user and redirects the logs; this one is the original.
    let program = find::program("rabbitmq-server", "rabbitmq-server", &["/usr/lib/rabbitmq/bin"])?;
    let epmd = find::program("epmd", "erlang-base", &[])?;
    let [port, management_port, distribution_port, epmd_port] = ports;

    let mut name_server = Command::new(epmd);
    name_server.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
    let name_server = Process::spawn("epmd", name_server, &dir.join("epmd.log"), guardian)?;

    let configuration = dir.join("rabbitmq.conf");
    let lines = [
        format!("listeners.tcp.1 = 127.0.0.1:{port}"),
        "management.tcp.ip = 127.0.0.1".to_owned(),
        format!("management.tcp.port = {management_port}"),
        // Development machines are often nearly full; the default limit would block every publisher.
        "disk_free_limit.absolute = 50MB".to_owned(),
        "log.console.level = warning".to_owned(),
    ];
    write_file(&configuration, &(lines.join("\n") + "\n"))?;
    let plugins = dir.join("enabled_plugins");
    write_file(&plugins, "[rabbitmq_management].\n")?;

    let mut command = Command::new(program);
    let paths: [(&str, PathBuf); 6] = [
        ("HOME", home),
        ("RABBITMQ_MNESIA_BASE", dir.join("data")),
        ("RABBITMQ_LOG_BASE", dir.join("logs")),
        ("RABBITMQ_PID_FILE", dir.join("pid")),
        ("RABBITMQ_CONFIG_FILE", configuration),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", plugins),
    ];
    command
        .envs(paths)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_NODENAME", NODE)
        .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        );
    let server = Process::spawn("rabbitmq-server", command, &dir.join("log"), guardian)?;
    Ok(RabbitMq {
        server,
        name_server,
        port,
        management_port,
    })
}

/// Sets from which share of the machine's memory on publishers are blocked; 0 blocks them at once. `dir` and `ports` as for [`spawn`].
pub(crate) async fn set_memory_watermark(dir: &Path, ports: [u16; 4], share: &str) -> Result<(), Error> {
    let program = find::program("rabbitmqctl", "rabbitmq-server", &["/usr/lib/rabbitmq/bin"])?;
    let [.., epmd_port] = ports;
    let output = Command::new(&program)
        .args(["--quiet", "--node", NODE, "set_vm_memory_high_watermark", share])
        .env("HOME", dir.join("home"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await;
    let output = output.map_err(|source| Error::Spawn {
        program: program.display().to_string(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Control(String::from_utf8_lossy(&output.stderr).into_owned()))
}

impl RabbitMq {
    /// The AMQP URL of the default virtual host, and the URL of the management API.
    pub async fn ready(&mut self) -> Result<(String, String), Error> {
        let api = format!("http://guest:guest@127.0.0.1:{}", self.management_port);
        let port = self.port;
        let probe = format!("http://127.0.0.1:{}/api/vhosts", self.management_port);
        self.server
            .wait_until(120, || async { is_listening(port).await && answers(&probe).await })
            .await?;
        Ok((format!("amqp://guest:guest@127.0.0.1:{port}/%2f"), api))
    }

    pub async fn discard(&mut self) {
        self.server.stop("KILL").await;
        self.name_server.stop("KILL").await;
    }

    pub async fn stop(&mut self) {
        self.server.stop("TERM").await;
        self.name_server.stop("KILL").await;
    }
}

async fn is_listening(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

async fn answers(url: &str) -> bool {
    let request = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map(|client| client.get(url).basic_auth("guest", Some("guest")).send());
    match request {
        Ok(request) => request.await.is_ok_and(|response| response.status().is_success()),
        Err(_) => false,
    }
}
