//! Where the programs are: on the PATH, or where Debian puts what it keeps off the PATH.

use std::path::PathBuf;

use crate::Error;

pub(crate) fn program(name: &'static str, package: &'static str, elsewhere: &[&str]) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    elsewhere
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or(Error::Missing { program: name, package })
}

/// Debian keeps every major version of PostgreSQL in its own directory; the newest wins.
pub(crate) fn postgres_program(name: &'static str) -> Result<PathBuf, Error> {
    let mut versions: Vec<(u32, String)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some((name.parse().ok()?, format!("/usr/lib/postgresql/{name}/bin"))))
        .collect();
    versions.sort();
    let directories: Vec<&str> = versions.iter().rev().map(|(_, directory)| directory.as_str()).collect();
    program(name, "postgresql", &directories)
}
