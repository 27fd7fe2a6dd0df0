//! Processes of the platform: the `app` binary once for all tests, or single services that a test may kill.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::SECRET;

/// Environment of a process.
pub type Variables = BTreeMap<String, String>;

/// The port variables of the contract.
const PORTS: &[&str] = &[
    "WEBSOCKET_SERVER_PORT",
    "EXECUTION_MANAGER_PORT",
    "EXECUTION_SCHEDULER_PORT",
    "DATABASE_API_PORT",
    "AGENT_API_PORT",
    "NOTIFICATION_SERVICE_PORT",
];

/// What every process of one platform is told: free ports, the tokens' secret, quiet logs.
pub fn variables() -> Variables {
    // All are bound before the first is let go, so that no two are equal.
    let bound: Vec<TcpListener> = PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let ports = PORTS.iter().zip(&bound).map(|(name, listener)| {
        let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
        ((*name).to_owned(), port.to_string())
    });
    let mut variables: Variables = ports.collect();
    for (name, value) in [
        ("JWT_VERIFY_KEY", SECRET),
        ("PYRO_HOST", "127.0.0.1"),
        ("AGENT_API_HOST", "127.0.0.1"),
        ("WEBSOCKET_SERVER_HOST", "127.0.0.1"),
        ("LOG_LEVEL", "warn"),
        ("LOG_FORMAT", "pretty"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}

pub fn url(variables: &Variables, port: &str) -> String {
    format!("http://127.0.0.1:{}", variables.get(port).map(String::as_str).unwrap_or_default())
}

/// A binary of the workspace: in `BIN_DIR`, or where this test was built.
pub fn binary(name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(format!("{}_BIN", name.to_uppercase())) {
        return path.into();
    }
    let directory = std::env::var_os("BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().unwrap_or_default();
        // target/…/debug/deps/test-hash
        test.ancestors().nth(2).map(PathBuf::from).unwrap_or_default()
    });
    let path = directory.join(name);
    assert!(
        path.exists(),
        "{} does not exist: build it with `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// A process that ends with the test.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a binary. It is stopped when this value is dropped, and also when the test process ends without that.
    pub fn start(name: &str, arguments: &[&str], variables: &Variables) -> Self {
        // The shell ends the process when the pipe that this test holds is closed, however the test ends.
        let script = r#""$0" "$@" <&- & pid=$!; trap '' TERM INT; read -r order; kill -"${order:-TERM}" $pid; wait $pid"#;
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(binary(name))
            .args(arguments)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "TMPDIR" | "RUST_BACKTRACE")))
            .envs(variables)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self {
            child,
            name: name.to_owned(),
        }
    }

    /// SIGKILL: no good-bye.
    pub fn kill(self) {
        self.end("KILL");
    }

    /// SIGTERM; returns how long the process took.
    pub fn terminate(self) -> Duration {
        let started = Instant::now();
        self.end("TERM");
        started.elapsed()
    }

    fn end(mut self, order: &str) {
        use std::io::Write;
        if let Some(mut pipe) = self.child.stdin.take() {
            let _ = writeln!(pipe, "{order}");
        }
        let _ = self.child.wait();
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Waits until `url` answers 200.
pub async fn ready(process: &Process, url: &str, within: Duration) {
    runtime::install_tls_provider();
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .expect("HTTP client");
    let deadline = Instant::now() + within;
    loop {
        let answer = match http.get(url).send().await {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => format!("{} {}", response.status(), response.text().await.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        assert!(
            Instant::now() < deadline,
            "{} is not ready after {within:?}: {url} answers {answer}",
            process.name()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
