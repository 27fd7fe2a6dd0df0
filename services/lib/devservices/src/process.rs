//! Child processes in process groups of their own, with a log file each, that never outlive us.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::Error;

const STOP: Duration = Duration::from_secs(15);

/// A small shell that holds the other end of a pipe. When this process is gone, however it went, the pipe closes and
/// the shell ends the process groups that were registered.
pub struct Guardian {
    child: Child,
    groups: Option<ChildStdin>,
}

const GUARDIAN: &str = r#"
groups=""
while read -r group; do groups="$groups $group"; done
for signal in INT TERM; do for group in $groups; do kill -s $signal -- -$group 2>/dev/null; done; done
sleep 2
for group in $groups; do kill -s KILL -- -$group 2>/dev/null; done
"#;

impl Guardian {
    pub fn start() -> Result<Self, Error> {
        let mut child = Command::new("sh")
            .args(["-c", GUARDIAN])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Spawn {
                program: "sh".to_owned(),
                source,
            })?;
        let groups = child.stdin.take();
        Ok(Self { child, groups })
    }

    /// Sends it away when everything it guarded has ended: later, other processes may have these numbers.
    pub async fn dismiss(mut self) {
        let _ = self.child.kill().await;
    }

    fn register(&mut self, group: u32) -> io::Result<()> {
        use std::io::Write;
        use std::os::fd::AsFd;
        let Some(pipe) = &self.groups else { return Ok(()) };
        // A few bytes into an empty pipe: this cannot block.
        let mut pipe = File::from(pipe.as_fd().try_clone_to_owned()?);
        writeln!(pipe, "{group}")
    }
}

/// One running service.
pub struct Process {
    name: &'static str,
    child: Child,
    group: u32,
    log: PathBuf,
}

impl Process {
    pub fn spawn(name: &'static str, mut command: Command, log: &Path, guardian: &mut Guardian) -> Result<Self, Error> {
        let open = || File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = open().map_err(|source| Error::Directory {
            what: "cannot write the log",
            path: log.to_owned(),
            source,
        })?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Spawn {
                program: name.to_owned(),
                source,
            })?;
        let group = child.id().unwrap_or_default();
        guardian.register(group).map_err(|source| Error::Spawn {
            program: "sh".to_owned(),
            source,
        })?;
        Ok(Self {
            name,
            child,
            group,
            log: log.to_owned(),
        })
    }

    /// Repeats `probe` until it answers true, the process ends, or `seconds` have passed.
    pub async fn wait_until<Fut: Future<Output = bool>>(&mut self, seconds: u64, probe: impl Fn() -> Fut) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !timeout(Duration::from_secs(3), probe()).await.unwrap_or(false) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Err(Error::Ended {
                    program: self.name,
                    log: self.log.clone(),
                    tail: self.tail(),
                });
            }
            if Instant::now() > deadline {
                return Err(Error::TooSlow {
                    program: self.name,
                    seconds,
                    log: self.log.clone(),
                    tail: self.tail(),
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Signals the process, and kills its group when it does not end in time.
    pub async fn stop(&mut self, signal: &str) {
        signal_target(signal, &self.group.to_string()).await;
        if timeout(STOP, self.child.wait()).await.is_err() {
            tracing::warn!(program = self.name, "did not end in time and is killed");
        }
        self.kill_group().await;
    }

    /// Its number in the process table, which is also that of its group.
    pub fn id(&self) -> u32 {
        self.group
    }

    /// Sends a signal by its short name (`STOP`, `CONT`) and goes on at once.
    pub async fn signal(&self, signal: &str) {
        signal_target(signal, &self.group.to_string()).await;
    }

    /// True once it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    async fn kill_group(&self) {
        signal_target("KILL", &format!("-{}", self.group)).await;
    }

    fn tail(&self) -> String {
        let text = std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }
}

/// A signal without unsafe code: the shell's own `kill`.
async fn signal_target(signal: &str, target: &str) {
    let _ = Command::new("sh")
        .args(["-c", r#"kill -s "$1" -- "$2""#, "sh", signal, target])
        .stderr(Stdio::null())
        .status()
        .await;
}

/// Below the ports that Linux takes for outgoing connections, so that a server which is away for a while finds its port again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Ports of the loopback address that are free now; all different.
pub fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let ports = some_free_ports(N)?;
    Ok(std::array::from_fn(|index| ports.get(index).copied().unwrap_or_default()))
}

/// The same, as many as asked for at run time.
pub fn some_free_ports(count: usize) -> Result<Vec<u16>, Error> {
    // All stay bound until the last is found, so that no two are equal.
    let mut bound: Vec<(u16, TcpListener)> = Vec::with_capacity(count);
    let mut refused = io::Error::other("no port was tried");
    for _ in 0..count.saturating_mul(10).saturating_add(100) {
        if bound.len() == count {
            return Ok(bound.into_iter().map(|(port, _)| port).collect());
        }
        let port = PORTS.start + (Uuid::new_v4().as_u128() % u128::from(PORTS.end - PORTS.start)) as u16;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => bound.push((port, listener)),
            Err(error) => refused = error,
        }
    }
    Err(Error::Spawn {
        program: "a loopback listener".to_owned(),
        source: refused,
    })
}
