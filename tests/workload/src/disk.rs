//! A small disk of its own for PostgreSQL, which a test fills and makes room on again.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Takes the room that nobody else has taken.
const BALLAST: &str = "ballast";
/// Unmounts when its input ends: at the latest when the process that mounted is gone, however it went.
const KEEPER: &str = r#"read -r _; umount --lazy -- "$1""#;
/// Room is taken in pieces of this size, and what is left then in pieces of the file system's.
const PIECE: usize = 1 << 20;
const PAGE: usize = 1 << 12;

/// A file system of a fixed size in memory, mounted until this is dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    keeper: Child,
}

impl Disk {
    /// Mounts one of so many MiB at a directory, which is made.
    ///
    /// # Errors
    /// When that is not permitted: it takes the right to mount (root, CAP_SYS_ADMIN).
    pub fn mount(path: &Path, mib: u64) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "tmpfs"])
            .arg(path)
            .output()?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!(
                "a disk of its own cannot be mounted ({}): run this as root, in a container that may mount (CAP_SYS_ADMIN)",
                reason.trim()
            )));
        }
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .inspect_err(|_| drop(Command::new("umount").arg("--lazy").arg(path).status()))?;
        Ok(Self {
            path: path.to_owned(),
            keeper,
        })
    }

    /// Takes all the room that is left, also what has become free since the last time.
    ///
    /// # Errors
    /// When writing fails for another reason than that there is no room.
    pub fn fill(&self) -> io::Result<()> {
        let ballast = OpenOptions::new().create(true).append(true).open(self.path.join(BALLAST));
        let mut ballast = match ballast {
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            ballast => ballast?,
        };
        for size in [PIECE, PAGE] {
            append_until_full(&mut ballast, &vec![0; size])?;
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the ballast cannot be removed.
    pub fn free(&self) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(BALLAST)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn append_until_full(file: &mut File, piece: &[u8]) -> io::Result<()> {
    loop {
        match file.write_all(piece) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
