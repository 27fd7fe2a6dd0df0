//! Log lines: JSON for machines, a readable form for a terminal.

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Installs the global subscriber. A second call (several services in one process) is ignored.
pub(crate) fn install(log: &LogSettings) {
    // Dependencies are told to be quiet unless the level is given as directives. lapin logs every failed attempt as
    // several errors; the bus says once that it waits, and why.
    let directives = if log.level.contains(['=', ',']) {
        log.level.clone()
    } else {
        format!(
            "{},lapin=off,sqlx=warn,hyper=warn,tower=warn,kube=warn,rustls=warn,h2=warn",
            log.level.to_lowercase()
        )
    };
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Pretty => builder.try_init(),
    };
}
