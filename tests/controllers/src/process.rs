//! Real processes beside the API server: operators that can be killed and paused, and Kubernetes' own controllers.
//!
//! The operator's binary comes from `BIN_DIR`, or from where the tests were built.

use std::path::PathBuf;

use devservices::process::{Guardian, Process, free_ports};
use tempfile::TempDir;
use tokio::process::Command;

use crate::World;
use crate::cluster::CONTROLLERS_TOKEN;

/// An operator may take so many seconds to its first answer, on a busy machine.
const START_SECONDS: u64 = 60;

/// A place for an operator: one process at a time, with the rights that the chart gives.
pub struct OperatorProcess {
    identity: String,
    binary: PathBuf,
    variables: Vec<(String, String)>,
    directory: TempDir,
    guardian: Guardian,
    process: Option<Process>,
    launches: usize,
    /// Where its /readyz and /metrics are.
    pub address: String,
}

impl OperatorProcess {
    /// Prepares an operator of the world's namespace; nothing runs yet.
    pub async fn prepare(world: &World, identity: &str, variables: &[(&str, &str)]) -> Self {
        Self::prepare_by_way_of(world, &world.cluster.url, identity, variables).await
    }

    /// The same for an operator that reaches the API server at another URL, as behind a [`crate::Proxy`].
    pub async fn prepare_by_way_of(world: &World, url: &str, identity: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("operator-").tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(
            &kubeconfig,
            world
                .cluster
                .kubeconfig_by_way_of(url, Some(&world.operator_token().await), &world.namespace),
        )
        .unwrap();
        let [port] = free_ports::<1>().unwrap();
        let own = [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("WATCH_NAMESPACES", &world.namespace),
            ("POD_NAMESPACE", &world.namespace),
            ("OPERATOR_PORT", &port.to_string()),
            ("APPLY_CRDS", "false"),
            ("PLATFORM_IMAGE_REPOSITORY", "registry.test/autogpt"),
            ("PLATFORM_IMAGE_TAG", "1"),
        ];
        let variables = own.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            identity: identity.to_owned(),
            binary: binary("operator"),
            variables: variables.collect(),
            directory,
            guardian: Guardian::start().unwrap(),
            process: None,
            launches: 0,
            address: format!("http://127.0.0.1:{port}"),
        }
    }

    /// Starts the process and goes on at once.
    pub fn launch(&mut self) {
        let mut command = Command::new(&self.binary);
        command
            .env("POD_NAME", &self.identity)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.launches += 1;
        let log = self.directory.path().join(format!("log.{}", self.launches));
        self.process = Some(Process::spawn("operator", command, &log, &mut self.guardian).unwrap());
    }

    /// Starts the process and waits until it says that it is ready.
    pub async fn start(&mut self) {
        self.launch();
        let url = format!("{}/readyz", self.address);
        let ready = || async { curl(&url).await.is_some() };
        self.process.as_mut().unwrap().wait_until(START_SECONDS, ready).await.unwrap();
    }

    /// A signal by its short name: `STOP`, `CONT`.
    pub async fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal).await;
        }
    }

    /// SIGKILL: nothing is released.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop("KILL").await;
        }
    }

    /// SIGTERM, and waits for the end.
    pub async fn terminate(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop("TERM").await;
        }
    }

    /// Its number in the process table, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The process that is started next is another one to the Lease, as a new pod is.
    pub fn rename(&mut self, identity: &str) {
        identity.clone_into(&mut self.identity);
    }

    /// Leaves the directory with the logs of all its processes behind, for whoever looks for a cause.
    pub fn keep_logs(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    /// Who it is to the Lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// A number of its /metrics by name, labels included.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = curl(&format!("{}/metrics", self.address)).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }
}

/// kube-controller-manager with nothing but its CronJob controller.
pub struct CronJobs {
    process: Process,
    _guardian: Guardian,
    _directory: TempDir,
}

impl CronJobs {
    /// Starts it with these flags besides, and waits until it is healthy.
    pub async fn start(world: &World, flags: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("cronjobs-").tempdir().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, world.cluster.kubeconfig(Some(CONTROLLERS_TOKEN), &world.namespace)).unwrap();
        let [port] = free_ports::<1>().unwrap();
        let mut command = Command::new(world.cluster.binaries.join("kube-controller-manager"));
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--controllers=cronjob-controller", "--leader-elect=false", "--bind-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            .arg(format!("--cert-dir={}", directory.path().join("certs").display()))
            .args(flags);
        let mut guardian = Guardian::start().unwrap();
        let mut process = Process::spawn("kube-controller-manager", command, &directory.path().join("log"), &mut guardian).unwrap();
        let url = format!("https://127.0.0.1:{port}/healthz");
        process.wait_until(START_SECONDS, || async { curl(&url).await.is_some() }).await.unwrap();
        Self {
            process,
            _guardian: guardian,
            _directory: directory,
        }
    }

    /// Its number in the process table.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.process.stop("KILL").await;
    }
}

/// What a URL answers with 200, within two seconds; certificates are not looked at.
async fn curl(url: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--insecure", "--max-time", "2", url])
        .output()
        .await
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A binary of the workspace.
fn binary(name: &str) -> PathBuf {
    let directory = std::env::var_os("BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let here = std::env::current_exe().unwrap();
        let directory = here.parent().unwrap();
        // Tests lie one directory deeper.
        if directory.ends_with("deps") {
            directory.parent().unwrap()
        } else {
            directory
        }
        .to_owned()
    });
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} does not exist: build it in the same profile, or name its directory in BIN_DIR",
        path.display()
    );
    path
}
