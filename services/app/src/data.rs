//! The data directory: the servers' data, the keys and the process id.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use runtime::BoxError;

/// Read by `make token`.
const KEY_FILE: &str = "jwt.key";
/// Read by `make down`.
const PID_FILE: &str = "app.pid";
const KEY_BYTES: usize = 48;
/// Characters.
const SHORTEST_KEY: usize = 32;
const ENCRYPTION_KEY_FILE: &str = "encryption.key";
/// What the cipher takes.
const ENCRYPTION_KEY_BYTES: usize = 32;
const UNSUBSCRIBE_KEY_FILE: &str = "unsubscribe.key";

pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory and says in it which process uses it.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        let fail = |error| {
            format!(
                "cannot use the data directory {}: {error}; choose another with --data-dir",
                path.display()
            )
        };
        std::fs::create_dir_all(path).map_err(fail)?;
        // PostgreSQL refuses to run as root; the user that it runs as then must be able to enter.
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(fail)?;
        // Servers are started with paths below it, in working directories of their own.
        let path = path.canonicalize().map_err(fail)?;
        std::fs::write(path.join(PID_FILE), std::process::id().to_string()).map_err(fail)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The secret that signs users' tokens: generated at the first start, the same ever after.
    pub fn signing_key(&self) -> Result<String, BoxError> {
        self.key(KEY_FILE, KEY_BYTES, "JWT_VERIFY_KEY")
    }

    /// The key that seals users' credentials, likewise. Whoever loses it loses them.
    pub fn encryption_key(&self) -> Result<String, BoxError> {
        self.key(ENCRYPTION_KEY_FILE, ENCRYPTION_KEY_BYTES, "ENCRYPTION_KEY")
    }

    /// The key that signs the links of mails, likewise.
    pub fn unsubscribe_key(&self) -> Result<String, BoxError> {
        self.key(UNSUBSCRIBE_KEY_FILE, KEY_BYTES, "UNSUBSCRIBE_SECRET_KEY")
    }

    /// What the file holds, which is generated when it is not there; `setting` is the other way to give it.
    fn key(&self, file: &str, bytes: usize, setting: &str) -> Result<String, BoxError> {
        let path = self.0.join(file);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => file
                .write_all(fresh_key(bytes).as_bytes())
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot create {}: {error}; set {setting} instead", path.display()).into()),
        }
        let key = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let key = key.trim();
        if key.len() < SHORTEST_KEY {
            return Err(format!("{} is too short for a key: delete it and a new one is generated", path.display()).into());
        }
        Ok(key.to_owned())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0.join(PID_FILE));
    }
}

/// Random bytes as text, so that the key can also stand in an environment variable.
fn fresh_key(bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_generated_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(&directory.path().join("new")).unwrap();
        let keys = || (data.signing_key().unwrap(), data.encryption_key().unwrap());
        let (signing, encryption) = keys();
        assert_eq!((signing.len(), encryption.len()), (2 * KEY_BYTES, 2 * ENCRYPTION_KEY_BYTES));
        assert_eq!(keys(), (signing, encryption));
        for file in [KEY_FILE, ENCRYPTION_KEY_FILE] {
            let mode = std::fs::metadata(data.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_refused_with_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        std::fs::write(data.path().join(KEY_FILE), "short").unwrap();
        assert!(data.signing_key().unwrap_err().to_string().contains("delete it"));
    }

    #[test]
    fn the_process_id_is_there_while_the_directory_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let file = data.path().join(PID_FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), std::process::id().to_string());
        drop(data);
        assert!(!file.exists());
    }
}
