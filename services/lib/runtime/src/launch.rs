//! The life of a process: settings, telemetry, signals, exit code.

use std::future::Future;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::settings::{Service, Settings};
use crate::{Shutdown, spans, telemetry};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes ring the TLS provider of the process. Must happen before the first TLS connection; repeating it is harmless.
pub fn install_tls_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Runs a service until it ends or SIGTERM/SIGINT asks it to; a second signal ends the process at once.
///
/// `service` is the binary's name (`db`, `scheduler`, …). With `--print-config` the effective configuration is
/// printed, secrets redacted, and nothing is started. Errors are logged once, here, and give exit code 1.
pub fn main<Run, Fut, Err>(service: &'static str, run: Run) -> ExitCode
where
    Run: FnOnce(Settings, Shutdown) -> Fut,
    Fut: Future<Output = Result<(), Err>>,
    Err: Into<BoxError>,
{
    install_tls_provider();
    let settings = match Settings::load() {
        Ok(settings) => settings.for_service(Service::from_binary(service)),
        Err(error) => {
            eprintln!("{service}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if std::env::args().skip(1).any(|argument| argument == "--print-config") {
        return print(&settings.to_redacted_toml());
    }
    telemetry::install(&settings.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{service}: cannot start worker threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::new();
        if let Err(error) = trigger_on_signals(service, shutdown.clone()) {
            return Err(error.into());
        }
        tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "starting");
        spans::install(service);
        let outcome = Box::pin(run(settings, shutdown)).await.map_err(Into::into);
        spans::flush().await;
        outcome
    });
    // Tasks that ignore the shutdown must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match outcome {
        Ok(()) => {
            tracing::info!(service, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(service, error = %chain(error.as_ref()), "ended with an error");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)] // this is what --print-config is for
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

fn trigger_on_signals(service: &'static str, shutdown: Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first {
                tracing::info!(service, signal = name, "shutting down; a second signal ends at once");
                shutdown.trigger();
            } else {
                tracing::warn!(service, signal = name, "ending at once");
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// An error with its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Many errors already repeat their cause.
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
