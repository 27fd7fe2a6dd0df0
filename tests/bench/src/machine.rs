//! What the machine and its processes say about themselves, from `/proc`.

use std::path::Path;

use crate::Outcome;

/// Ticks of `/proc/<pid>/stat` in a second; Linux shows them to programs as 100 whatever the kernel uses.
const TICKS: f64 = 100.0;

/// Processor seconds that a process has used so far, its ended threads included.
pub fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let (_, fields) = text.rsplit_once(')').ok_or("/proc/<pid>/stat has another form than expected")?;
    let ticks = |index: usize| fields.split_whitespace().nth(index).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS),
        _ => Err("/proc/<pid>/stat has another form than expected".into()),
    }
}

/// Resident memory in MB (10⁶ bytes).
pub fn rss_mb(pid: u32) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Processor seconds of the processes named `name` that work below a directory, what one of the servers costs.
pub fn cpu_below(directory: &Path, name: &str) -> f64 {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0.0 };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_wanted = |pid: &u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        comm.trim_end() == name && (works_in(*pid, directory) || mentions(*pid, directory))
    };
    pids.filter(is_wanted).filter_map(|pid| cpu_seconds(pid).ok()).sum()
}

fn works_in(pid: u32, directory: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
}

fn mentions(pid: u32, directory: &Path) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&*directory.to_string_lossy())
}
