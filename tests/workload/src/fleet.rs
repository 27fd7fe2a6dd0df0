//! A platform of real processes: several of each service, on servers of their own, each of which may be killed, stopped and started again.
//!
//! Everything listens on loopback ports, logs below one temporary directory, and ends when the [`Fleet`] is dropped or this process dies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract_tests::client::{Client, SECRET};
use devservices::process::{Guardian, Process, some_free_ports};
use devservices::{Options, Stack};
use tempfile::TempDir;
use tokio::process::Command;

use crate::disk::Disk;
use crate::effects;

/// Environment of a process.
pub type Variables = BTreeMap<String, String>;

/// How long a process may take until `/readyz` says yes, on a busy machine.
const READY: Duration = Duration::from_secs(90);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// The binary that every service is started from.
const BINARY: &str = "workload";

/// What ends an experiment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Servers(#[from] devservices::Error),
    #[error("the database could not be set up: {0}")]
    Database(#[from] sqlx::Error),
    #[error("{path} does not exist: build it in the same profile, or name its directory in BIN_DIR", path = .0.display())]
    NoBinary(PathBuf),
    #[error("the directory {path}: {source}", path = .path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("{name} was not ready within {} s: {answer}; its log: {log}", READY.as_secs(), log = .log.display())]
    NotReady { name: String, answer: String, log: PathBuf },
    #[error("{name} ended with {status}; its log: {log}", log = .log.display())]
    Failed { name: String, status: String, log: PathBuf },
    #[error("there is no {0}")]
    NoMember(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The six services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Db,
    Executor,
    Scheduler,
    Rest,
    Ws,
    Notification,
}

impl Role {
    pub const ALL: [Self; 6] = [Self::Db, Self::Executor, Self::Scheduler, Self::Rest, Self::Ws, Self::Notification];

    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Executor => "executor",
            Self::Scheduler => "scheduler",
            Self::Rest => "rest",
            Self::Ws => "ws",
            Self::Notification => "notification",
        }
    }

    /// The setting that holds its port.
    pub fn port_variable(self) -> &'static str {
        match self {
            Self::Db => "DATABASE_API_PORT",
            Self::Executor => "EXECUTION_MANAGER_PORT",
            Self::Scheduler => "EXECUTION_SCHEDULER_PORT",
            Self::Rest => "AGENT_API_PORT",
            Self::Ws => "WEBSOCKET_SERVER_PORT",
            Self::Notification => "NOTIFICATION_SERVICE_PORT",
        }
    }
}

/// How many processes of each service, and what they are told.
#[derive(Debug, Clone)]
pub struct Fleets {
    pub db: usize,
    pub executor: usize,
    pub scheduler: usize,
    pub rest: usize,
    pub ws: usize,
    pub notification: usize,
    /// PostgreSQL with fsync, as in production.
    pub durable: bool,
    /// PostgreSQL's data lie on a disk of their own, of so many MiB.
    pub disk: Option<u64>,
    /// The binaries that are shipped instead of those with the test blocks.
    pub product: bool,
    /// Variables of every process, over what the fleet sets itself.
    pub variables: Variables,
    /// Ports of the first process of a service, when the caller has to know them before the start.
    pub ports: BTreeMap<Role, u16>,
}

impl Default for Fleets {
    fn default() -> Self {
        Self {
            db: 1,
            executor: 2,
            scheduler: 1,
            rest: 1,
            ws: 0,
            notification: 0,
            durable: true,
            disk: None,
            product: false,
            variables: Variables::new(),
            ports: BTreeMap::new(),
        }
    }
}

impl Fleets {
    /// Sets a variable of every process.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    fn count(&self, role: Role) -> usize {
        match role {
            Role::Db => self.db,
            Role::Executor => self.executor,
            Role::Scheduler => self.scheduler,
            Role::Rest => self.rest,
            Role::Ws => self.ws,
            Role::Notification => self.notification,
        }
    }
}

/// What a process is started for.
#[derive(Debug, Clone, Copy)]
enum Task {
    Serve(Role),
    Migrate,
}

/// One place in the fleet: the same ports whatever process fills it.
struct Member {
    role: Role,
    index: usize,
    port: u16,
    variables: Variables,
    /// None while it is killed.
    process: Option<Process>,
    /// How many processes have filled the place.
    incarnation: usize,
}

impl Member {
    fn name(&self) -> String {
        format!("{}-{}", self.role.name(), self.index)
    }

    /// The name by which the process knows itself (`HOSTNAME`), different after each start.
    fn host(&self) -> String {
        format!("{}.{}", self.name(), self.incarnation)
    }
}

/// The running platform.
pub struct Fleet {
    // Dropped first: the services before their servers.
    members: Vec<Member>,
    guardian: Guardian,
    pub stack: Stack,
    /// URL of the database that holds the effect table.
    pub effects_url: String,
    /// Where the binaries are.
    binaries: PathBuf,
    product: bool,
    common: Variables,
    // Dropped after the servers and before the directory.
    disk: Option<Disk>,
    directory: TempDir,
    http: reqwest::Client,
}

impl Fleet {
    /// Starts servers and services and returns when all are ready.
    ///
    /// # Errors
    /// When a server or a service does not come up, with the path of its log.
    pub async fn start(plan: Fleets) -> Result<Self> {
        let mut fleet = Self::prepare(plan).await?;
        for index in 0..fleet.members.len() {
            fleet.spawn(index)?;
        }
        for index in 0..fleet.members.len() {
            fleet.await_ready(index).await?;
        }
        Ok(fleet)
    }

    /// Servers, schema, effect table and free ports, but no service yet.
    async fn prepare(plan: Fleets) -> Result<Self> {
        let binaries = binaries(plan.product)?;
        let directory = directory()?;
        let place = Stack::postgres_data(directory.path());
        let disk = plan.disk.map(|mib| Disk::mount(&place, mib)).transpose();
        let disk = disk.map_err(|source| Error::Directory { path: place, source })?;
        let stack = Stack::start(directory.path(), Options { durable: plan.durable }).await?;
        let effects_url = effects::create(&stack.database_url).await?;
        let mut common = common(&stack, &effects_url);
        common.extend(plan.variables.clone());
        let members = members(&plan, &mut common)?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build()
            .unwrap_or_default();
        let fleet = Self {
            members,
            guardian: Guardian::start()?,
            stack,
            effects_url,
            binaries,
            product: plan.product,
            common,
            disk,
            directory,
            http,
        };
        fleet.migrate().await?;
        Ok(fleet)
    }

    async fn migrate(&self) -> Result<()> {
        let log = self.log("migrate");
        let failed = |status: String| Error::Failed {
            name: "migrate".to_owned(),
            status,
            log: log.clone(),
        };
        let output = self
            .command(Task::Migrate, &Variables::new())
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let _ = std::fs::write(&log, text);
        Err(failed(output.status.to_string()))
    }

    fn command(&self, task: Task, variables: &Variables) -> Command {
        let (binary, arguments): (&str, &[&str]) = match (task, self.product) {
            (Task::Serve(role), true) => (role.name(), &[]),
            (Task::Serve(role), false) => (BINARY, &[role.name()]),
            (Task::Migrate, true) => (Role::Db.name(), &["migrate"]),
            (Task::Migrate, false) => (BINARY, &["migrate"]),
        };
        let mut command = Command::new(self.binaries.join(binary));
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "TMPDIR" | "RUST_BACKTRACE")))
            .envs(&self.common)
            .envs(variables);
        command
    }

    /// How many places a service has.
    pub fn count(&self, role: Role) -> usize {
        self.members.iter().filter(|member| member.role == role).count()
    }

    /// Where the logs are.
    pub fn logs(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directory with logs and data behind, for whoever looks for a cause.
    pub fn keep_logs(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    /// `http://127.0.0.1:port` of a service.
    ///
    /// # Errors
    /// When the fleet has no such place.
    pub fn url(&self, role: Role, index: usize) -> Result<String> {
        let member = self.members.get(self.position(role, index)?);
        Ok(format!("http://127.0.0.1:{}", member.map(|member| member.port).unwrap_or_default()))
    }

    /// The disk of PostgreSQL, when it has one of its own.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// URL of the platform's database.
    pub fn database_url(&self) -> &str {
        &self.stack.database_url
    }

    /// A new user who talks to the first REST service.
    ///
    /// # Errors
    /// When the fleet has no REST service.
    pub async fn user(&self) -> Result<Client> {
        Ok(Client::new_user(&self.url(Role::Rest, 0)?).await)
    }

    /// The process number, while the place is filled.
    pub fn pid(&self, role: Role, index: usize) -> Option<u32> {
        self.process(role, index).map(Process::id)
    }

    /// The name that the process has in the database (`executor_leases.name`).
    ///
    /// # Errors
    /// When the fleet has no such place.
    pub fn host(&self, role: Role, index: usize) -> Result<String> {
        let position = self.position(role, index)?;
        Ok(self.members.get(position).map(Member::host).unwrap_or_default())
    }

    /// SIGKILL: no good-bye. The place stays empty until [`Fleet::launch`].
    ///
    /// # Errors
    /// When the place is unknown or empty.
    pub async fn kill(&mut self, role: Role, index: usize) -> Result<()> {
        self.end(role, index, "KILL").await.map(drop)
    }

    /// SIGTERM; returns how long the process took to end.
    ///
    /// # Errors
    /// When the place is unknown or empty.
    pub async fn terminate(&mut self, role: Role, index: usize) -> Result<Duration> {
        self.end(role, index, "TERM").await
    }

    async fn end(&mut self, role: Role, index: usize, signal: &str) -> Result<Duration> {
        let started = Instant::now();
        let position = self.position(role, index)?;
        let process = self.members.get_mut(position).and_then(|member| member.process.take());
        process.ok_or_else(|| empty(role, index))?.stop(signal).await;
        Ok(started.elapsed())
    }

    /// SIGSTOP: the process stands still and keeps its connections.
    ///
    /// # Errors
    /// When the place is unknown or empty.
    pub async fn pause(&self, role: Role, index: usize) -> Result<()> {
        self.process(role, index).ok_or_else(|| empty(role, index))?.signal("STOP").await;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When the place is unknown or empty.
    pub async fn resume(&self, role: Role, index: usize) -> Result<()> {
        self.process(role, index).ok_or_else(|| empty(role, index))?.signal("CONT").await;
        Ok(())
    }

    /// True when the process of a place has ended by itself, for example because a block aborted it.
    pub fn has_ended(&mut self, role: Role, index: usize) -> bool {
        let member = self.members.iter_mut().find(|member| member.role == role && member.index == index);
        member.and_then(|member| member.process.as_mut()).is_some_and(Process::has_ended)
    }

    /// Fills a place with a new process and returns at once.
    ///
    /// # Errors
    /// When the place is unknown, or the process cannot be started.
    pub fn launch(&mut self, role: Role, index: usize) -> Result<()> {
        let position = self.position(role, index)?;
        self.spawn(position)
    }

    /// Waits until the process of a place calls itself ready.
    ///
    /// # Errors
    /// When it does not within 90 s, or has ended.
    pub async fn ready(&mut self, role: Role, index: usize) -> Result<()> {
        let position = self.position(role, index)?;
        self.await_ready(position).await
    }

    fn spawn(&mut self, position: usize) -> Result<()> {
        let Some(member) = self.members.get_mut(position) else {
            return Ok(());
        };
        member.process = None;
        member.incarnation += 1;
        let (role, host) = (member.role, member.host());
        let mut variables = member.variables.clone();
        variables.insert("HOSTNAME".to_owned(), host.clone());
        let command = self.command(Task::Serve(role), &variables);
        let log = self.log(&host);
        let process = Process::spawn(role.name(), command, &log, &mut self.guardian)?;
        if let Some(member) = self.members.get_mut(position) {
            member.process = Some(process);
        }
        Ok(())
    }

    async fn await_ready(&mut self, position: usize) -> Result<()> {
        let Some((name, host, port)) = self.members.get(position).map(|member| (member.name(), member.host(), member.port)) else {
            return Ok(());
        };
        let url = format!("http://127.0.0.1:{port}/readyz");
        let deadline = Instant::now() + READY;
        loop {
            let answer = match self.http.get(&url).send().await {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => format!("{} {}", response.status(), response.text().await.unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            let process = self.members.get_mut(position).and_then(|member| member.process.as_mut());
            let gone = process.is_none_or(Process::has_ended);
            if gone || Instant::now() > deadline {
                let log = self.log(&host);
                return Err(Error::NotReady { name, answer, log });
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Ends everything in order. Dropping the fleet ends it at once.
    pub async fn stop(mut self) {
        for member in self.members.iter_mut().rev() {
            if let Some(mut process) = member.process.take() {
                process.stop("KILL").await;
            }
        }
        self.stack.discard().await;
        self.guardian.dismiss().await;
    }

    fn process(&self, role: Role, index: usize) -> Option<&Process> {
        let member = self.members.iter().find(|member| member.role == role && member.index == index);
        member.and_then(|member| member.process.as_ref())
    }

    fn position(&self, role: Role, index: usize) -> Result<usize> {
        let position = self.members.iter().position(|member| member.role == role && member.index == index);
        position.ok_or_else(|| empty(role, index))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }
}

fn empty(role: Role, index: usize) -> Error {
    Error::NoMember(format!("{}-{index}", role.name()))
}

/// What every process is told.
fn common(stack: &Stack, effects_url: &str) -> Variables {
    let mut common: Variables = stack.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in [
        ("JWT_VERIFY_KEY", SECRET),
        ("PYRO_HOST", "127.0.0.1"),
        ("AGENT_API_HOST", "127.0.0.1"),
        ("WEBSOCKET_SERVER_HOST", "127.0.0.1"),
        ("ENABLE_METRICS", "true"),
        ("LOG_LEVEL", "warn"),
        ("LOG_FORMAT", "pretty"),
        (effects::VARIABLE, effects_url),
    ] {
        common.insert(name.to_owned(), value.to_owned());
    }
    common
}

/// The places with their ports. The first of each service is where its peers look, except that executors and schedulers spread over the
/// database managers. A port that the plan's variables name already is kept: something of the caller's stands there, or before it.
fn members(plan: &Fleets, common: &mut Variables) -> Result<Vec<Member>> {
    let total = Role::ALL.iter().map(|role| plan.count(*role).max(1)).sum();
    let mut ports = some_free_ports(total)?.into_iter();
    let mut of_role: BTreeMap<Role, Vec<u16>> = BTreeMap::new();
    for role in Role::ALL {
        let mut of_this: Vec<u16> = ports.by_ref().take(plan.count(role).max(1)).collect();
        if let (Some(first), Some(chosen)) = (of_this.first_mut(), plan.ports.get(&role)) {
            *first = *chosen;
        }
        of_role.insert(role, of_this);
    }
    let mut members = Vec::new();
    for role in Role::ALL {
        for (index, port) in of_role.get(&role).into_iter().flatten().copied().enumerate().take(plan.count(role)) {
            let mut variables = Variables::new();
            variables.insert(role.port_variable().to_owned(), port.to_string());
            let dbs = of_role.get(&Role::Db).map(Vec::as_slice).unwrap_or_default();
            if role != Role::Db
                && !plan.variables.contains_key(Role::Db.port_variable())
                && let Some(db) = dbs.get(index % dbs.len().max(1))
            {
                variables.insert(Role::Db.port_variable().to_owned(), db.to_string());
            }
            members.push(Member {
                role,
                index,
                port,
                variables,
                process: None,
                incarnation: 0,
            });
        }
        if let Some(first) = of_role.get(&role).and_then(|ports| ports.first()) {
            common.entry(role.port_variable().to_owned()).or_insert_with(|| first.to_string());
        }
    }
    Ok(members)
}

/// The directory of the binaries of the profile that this program was built with.
fn binaries(product: bool) -> Result<PathBuf> {
    let directory = std::env::var_os("BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let here = std::env::current_exe().unwrap_or_default();
        let directory = here.parent().map(Path::to_owned).unwrap_or_default();
        // Tests lie one directory deeper.
        match directory.file_name() {
            Some(name) if name == "deps" => directory.parent().map(Path::to_owned).unwrap_or_default(),
            _ => directory,
        }
    });
    let needed = if product { Role::ALL.map(Role::name).to_vec() } else { vec![BINARY] };
    let missing = needed.into_iter().map(|name| directory.join(name)).find(|path| !path.is_file());
    missing.map_or(Ok(directory), |path| Err(Error::NoBinary(path)))
}

/// A temporary directory that PostgreSQL's user can enter.
///
/// # Errors
/// When it cannot be made.
pub fn directory() -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| Error::Directory {
        path: std::env::temp_dir(),
        source,
    };
    let directory = tempfile::Builder::new().prefix("fleet-").tempdir().map_err(failed)?;
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).map_err(failed)?;
    Ok(directory)
}
