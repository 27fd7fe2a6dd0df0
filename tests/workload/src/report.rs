//! What a run of a measuring program leaves behind for other programs: `reports/*.json` (quality §7).

use std::io;
use std::path::Path;

use serde::Serialize;

/// Results of one kind, and the machine that they were measured on.
#[derive(Debug, Serialize)]
pub struct Report<R> {
    pub commit: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub cores: usize,
    /// One-minute load averages.
    pub load_before: f64,
    pub load_after: f64,
    /// Median time of a lone commit.
    pub commit_p50_ms_before: f64,
    pub commit_p50_ms_after: f64,
    pub results: Vec<R>,
}

impl<R: Serialize> Report<R> {
    /// An empty report that begins now.
    pub fn begin(commit: String, commit_p50_ms: f64) -> Self {
        Self {
            commit,
            started: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            cores: cores(),
            load_before: load(),
            load_after: 0.0,
            commit_p50_ms_before: commit_p50_ms,
            commit_p50_ms_after: 0.0,
            results: Vec::new(),
        }
    }

    /// Notes the machine as it is at the end.
    pub fn end(&mut self, commit_p50_ms: f64) {
        self.commit_p50_ms_after = commit_p50_ms;
        self.load_after = load();
    }

    /// Writes the JSON, making its directory when needed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
    }
}

/// The one-minute load average.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}
