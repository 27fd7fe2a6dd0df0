//! A cluster of the tests' own, made and removed by the scripts behind `make up` and `make down`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// HS256 secret of the test platform, so that tests can sign tokens.
pub const JWT_KEY: &str = "end-to-end-test-key-that-signs-nothing-else";

/// Removes the cluster when it goes out of scope, also when a test fails.
pub struct Cluster {
    root: PathBuf,
}

impl Cluster {
    /// Runs what `make up INGRESS=1` runs, for the test instance.
    pub fn up() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .expect("the repository");
        let cluster = Self { root };
        cluster.script("up.sh");
        cluster
    }

    /// Runs a script of hack/ with its output shown, and panics unless it succeeds.
    pub fn script(&self, name: &str) {
        let status = self.script_command(name).status().expect("a script starts");
        assert!(status.success(), "hack/{name} ended with {status}");
    }

    fn script_command(&self, name: &str) -> Command {
        let mut command = Command::new(self.root.join("hack").join(name));
        command
            .env("INSTANCE", "test")
            .env("INGRESS", "1")
            .env("JWT_VERIFY_KEY", JWT_KEY)
            .stdin(Stdio::null());
        command
    }

    /// A bearer token of the user with this address.
    pub fn token(&self, email: &str) -> String {
        let output = self.script_command("token.sh").arg(email).output().expect("token.sh starts");
        assert!(output.status.success(), "token.sh: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let binary = std::env::var("KUBEBUILDER_ASSETS").map_or_else(|_| PathBuf::from("kubectl"), |assets| Path::new(&assets).join("kubectl"));
        let mut command = Command::new(binary);
        command
            .arg("--kubeconfig")
            .arg(self.root.join(".cluster-test/kubeconfig"))
            .args(["--namespace", "autogpt"])
            .args(arguments);
        command
    }

    /// Output of a kubectl command, or what it says on standard error.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.kubectl_command(arguments).stdin(Stdio::null()).output().expect("kubectl starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// Output of a command of `kubectl autogpt`, whose binary lies in `BIN_DIR`, or where the tests were built.
    pub fn plugin(&self, arguments: &[&str]) -> String {
        let beside = || std::env::current_exe().ok()?.ancestors().nth(2).map(Path::to_owned);
        let directory = std::env::var_os("BIN_DIR").map(PathBuf::from).or_else(beside);
        let output = Command::new(directory.expect("a directory of binaries").join("kubectl-autogpt"))
            .arg("--kubeconfig")
            .arg(self.root.join(".cluster-test/kubeconfig"))
            .args(["--namespace", "autogpt"])
            .args(arguments)
            .output()
            .expect("kubectl-autogpt starts");
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl autogpt {}: {out}{error}", arguments.join(" "));
        out.into_owned()
    }

    /// `kubectl apply` of a manifest given as text.
    pub fn try_apply(&self, manifest: &str) -> Result<String, String> {
        let mut child = self
            .kubectl_command(&["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child.stdin.take().expect("a pipe").write_all(manifest.as_bytes()).expect("kubectl reads");
        let output = child.wait_with_output().expect("kubectl ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap_or_else(|error| panic!("kubectl apply: {error}"));
    }

    /// An object as JSON; null when it does not exist.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"]);
        if text.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).expect("kubectl prints JSON")
        }
    }

    /// The items of a kind with these labels.
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let text = self.kubectl(&["get", kind, "-l", selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Looks until `what` gives something; panics with the last state of the cluster after `limit`.
    pub fn eventually<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                println!("  {what}: after {:.1} s", start.elapsed().as_secs_f64());
                return found;
            }
            if start.elapsed() > limit {
                let state = self
                    .try_kubectl(&["get", "agp,gsch,gexec,pods,events", "-o", "wide"])
                    .unwrap_or_else(|error| error);
                panic!("not within {limit:?}: {what}\n{state}");
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // KEEP_CLUSTER leaves it for a look after a failure; hack/down.sh removes it.
        if std::env::var_os("KEEP_CLUSTER").is_none() {
            let _ = self.script_command("down.sh").status();
        }
    }
}

/// Status of a condition of an object: `True`, `False`, `Unknown`, or empty when it is not there.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    find_condition(object, kind)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or("")
}

/// Message of a condition of an object.
pub fn condition_message<'a>(object: &'a Value, kind: &str) -> &'a str {
    find_condition(object, kind)
        .and_then(|condition| condition["message"].as_str())
        .unwrap_or("")
}

fn find_condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}
