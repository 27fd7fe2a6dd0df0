//! etcd and kube-apiserver on free loopback ports, once for all tests of a process.
//!
//! The binaries come from `KUBEBUILDER_ASSETS`, or from the directory that `hack/tools.sh path` prints. Both servers hang
//! on a shell that ends them when its standard input is closed: they never outlive the tests, however those end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devservices::process::free_ports;
use kube::config::AuthInfo;
use kube::{Client, Config};

const TOKEN: &str = "test-administrator";
/// The token of Kubernetes' own controllers, where a test starts them; their user is [`CONTROLLERS`].
pub const CONTROLLERS_TOKEN: &str = "test-controllers";
/// Who they are in the audit log.
pub const CONTROLLERS: &str = "controllers";

/// A running API server.
#[derive(Clone)]
pub struct Cluster {
    pub url: String,
    /// DER.
    authorities: Vec<Vec<u8>>,
    pub binaries: PathBuf,
    /// Where the servers' files are.
    pub directory: PathBuf,
    audit_log: PathBuf,
}

impl Cluster {
    /// The cluster of this process; the first caller starts it.
    pub async fn get() -> Self {
        runtime::install_tls_provider();
        // LOG=operator=debug shows what the operators say.
        if let Ok(filter) = std::env::var("LOG") {
            let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        }
        let cluster = tokio::task::spawn_blocking(|| {
            static RUNNING: Mutex<Option<Option<Cluster>>> = Mutex::new(None);
            let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            if running.is_none() {
                // Stays so when the start fails: one test says why, the others need not wait.
                *running = Some(None);
                *running = Some(Some(start()));
            }
            running.clone().flatten().expect("the API server did not start; see the first failure")
        });
        cluster.await.unwrap()
    }

    /// What somebody has asked of the server so far, in audit events.
    pub fn asked_by(&self, user: &str) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(&self.audit_log).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        events.filter(|event: &serde_json::Value| event["user"]["username"] == user).collect()
    }

    /// What somebody has written so far, as `patch graphschedules/status name`: leases and events do not count.
    pub fn writes_of(&self, user: &str) -> Vec<String> {
        let writes = self.asked_by(user).into_iter().filter_map(|event| {
            let (verb, object) = (event["verb"].as_str()?, &event["objectRef"]);
            let resource = object["resource"].as_str().unwrap_or_default();
            if matches!(verb, "get" | "list" | "watch") || matches!(resource, "leases" | "events") {
                return None;
            }
            let subresource = object["subresource"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
            Some(format!("{verb} {resource}{subresource} {}", object["name"].as_str().unwrap_or_default()))
        });
        writes.collect()
    }

    /// How many requests of somebody the server has answered so far.
    pub fn requests_of(&self, user: &str) -> usize {
        let wanted = format!(r#""user":{{"username":"{user}""#);
        let log = BufReader::new(fs::File::open(&self.audit_log).unwrap());
        log.lines().map_while(Result::ok).filter(|line| line.contains(&wanted)).count()
    }

    /// A kubeconfig of somebody with this token; the administrator when there is none.
    pub fn kubeconfig(&self, token: Option<&str>, namespace: &str) -> String {
        self.kubeconfig_by_way_of(&self.url, token, namespace)
    }

    /// The same for somebody who reaches the server at another URL, as behind a [`crate::Proxy`].
    pub fn kubeconfig_by_way_of(&self, url: &str, token: Option<&str>, namespace: &str) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(self.authorities())}}],
            "users": [{"name": "test", "user": {"token": token.unwrap_or(TOKEN)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        })
        .to_string()
    }

    /// The certificates of the server's authorities, PEM.
    pub fn authorities(&self) -> String {
        self.authorities.iter().map(|der| pem(der)).collect()
    }

    /// SIGKILL for kube-apiserver, which comes back after this time with what etcd has; returns when it is ready again.
    pub async fn kill_server(&self, away: Duration) {
        let held = self.directory.join("away");
        fs::write(&held, "").unwrap();
        let pid = fs::read_to_string(self.directory.join("apiserver.pid")).unwrap();
        let killed = Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        assert!(killed.success(), "kube-apiserver ({}) was not there to be killed", pid.trim());
        tokio::time::sleep(away).await;
        fs::remove_file(held).unwrap();
        let (directory, url) = (self.directory.clone(), self.url.clone());
        tokio::task::spawn_blocking(move || wait(&directory, &url)).await.unwrap();
    }

    /// A client that may do everything.
    pub fn admin(&self) -> Client {
        self.client(TOKEN)
    }

    /// A client with somebody's token, on a connection of its own.
    pub fn client(&self, token: &str) -> Client {
        Client::try_from(self.config(token)).unwrap()
    }

    /// What a client with somebody's token needs.
    pub fn config(&self, token: &str) -> Config {
        let mut config = Config::new(self.url.parse().unwrap());
        config.root_cert = Some(self.authorities.clone());
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        config
    }
}

/// The directory of this repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn binaries() -> PathBuf {
    let directory = match std::env::var("KUBEBUILDER_ASSETS") {
        Ok(directory) if !directory.is_empty() => directory,
        _ => {
            let output = Command::new(repository().join("hack/tools.sh")).arg("path").output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }
    };
    let directory = PathBuf::from(directory);
    for name in ["etcd", "kube-apiserver"] {
        assert!(
            directory.join(name).exists(),
            "{} is missing: run hack/tools.sh, or set KUBEBUILDER_ASSETS to a directory with etcd and kube-apiserver",
            directory.join(name).display()
        );
    }
    directory
}

/// What everybody asks of the server, one line of JSON each.
const AUDIT: &str =
    r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"], "rules": [{"level": "Metadata"}]}"#;

fn start() -> Cluster {
    let binaries = binaries();
    let directory = tempfile::Builder::new().prefix("controllers-").tempdir().unwrap().keep();
    let [client, peer, secure] = free_ports().unwrap();
    fs::write(
        directory.join("tokens.csv"),
        format!("{TOKEN},administrator,administrator,\"system:masters\"\n{CONTROLLERS_TOKEN},{CONTROLLERS},{CONTROLLERS},\"system:masters\"\n"),
    )
    .unwrap();
    fs::write(directory.join("audit.yaml"), AUDIT).unwrap();
    let script = format!(
        r#"cd {directory}
openssl ecparam -name prime256v1 -genkey -noout -out sa.key && openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
{binaries}/etcd --data-dir etcd --listen-client-urls http://127.0.0.1:{client} --advertise-client-urls http://127.0.0.1:{client} \
  --listen-peer-urls http://127.0.0.1:{peer} --initial-advertise-peer-urls http://127.0.0.1:{peer} \
  --initial-cluster default=http://127.0.0.1:{peer} --unsafe-no-fsync --log-level error </dev/null >etcd.log 2>&1 &
etcd=$!
serve() {{ while :; do
if [ -e away ]; then sleep 0.1; continue; fi
setpriv --pdeathsig KILL {binaries}/kube-apiserver --etcd-servers=http://127.0.0.1:{client} --bind-address=127.0.0.1 --secure-port={secure} \
  --advertise-address=127.0.0.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 --cert-dir=certs \
  --token-auth-file=tokens.csv --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub \
  --service-account-signing-key-file=sa.key --authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
  --audit-policy-file=audit.yaml --audit-log-path=audit.log --profiling=false </dev/null >>apiserver.log 2>&1 &
echo $! >apiserver.pid; wait $!
done; }}
serve </dev/null 2>/dev/null & loop=$!
cat >/dev/null
kill -9 $loop; kill -9 $(cat apiserver.pid) $etcd; wait; rm -rf {directory} || {{ sleep 1; rm -rf {directory}; }}
"#,
        directory = directory.display(),
        binaries = binaries.display(),
    );
    // Never waited for: it ends after this process.
    #[allow(clippy::zombie_processes)]
    let mut shell = Command::new("sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .arg("-c")
        .arg(script)
        .spawn()
        .unwrap();
    // Left open until the process ends.
    std::mem::forget(shell.stdin.take());
    let url = format!("https://127.0.0.1:{secure}");
    let authorities = wait(&directory, &url);
    Cluster {
        url,
        authorities,
        binaries,
        audit_log: directory.join("audit.log"),
        directory,
    }
}

/// Waits until the server answers; its certificates.
fn wait(directory: &Path, url: &str) -> Vec<Vec<u8>> {
    let began = Instant::now();
    loop {
        let ready = Command::new("curl")
            .args(["--silent", "--fail", "--insecure", "--max-time", "2", "--header"])
            .arg(format!("Authorization: Bearer {TOKEN}"))
            .arg(format!("{url}/readyz"))
            .output()
            .is_ok_and(|output| output.status.success());
        if ready {
            let pem = fs::read_to_string(directory.join("certs/apiserver.crt")).unwrap();
            return certificates(&pem);
        }
        let log = fs::read_to_string(directory.join("apiserver.log")).unwrap_or_default();
        if began.elapsed() > Duration::from_secs(90) || log.contains("command failed") {
            let last: Vec<&str> = log.lines().rev().take(15).collect();
            let _ = std::io::stderr().write_all(last.into_iter().rev().collect::<Vec<_>>().join("\n").as_bytes());
            panic!("kube-apiserver did not get ready; its last lines stand above");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    pem.split("-----BEGIN CERTIFICATE-----")
        .filter_map(|part| part.split_once("-----END CERTIFICATE-----"))
        .map(|(body, _)| STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap())
        .collect()
}
