//! What every binary starts with: settings, telemetry, health, shutdown, retries.
//!
//! A service is `pub async fn run(settings, listener, shutdown) -> Result<(), Error>` in its library; its `main.rs`
//! only hands that to [`main`].

// Linked statically, the system's allocator gives freed memory of one thread to no other and takes a sixth of the processor time of a node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod health;
mod launch;
pub mod metrics;
pub mod queue;
pub mod retry;
pub mod serve;
pub mod settings;
mod shutdown;
pub mod spans;
mod telemetry;
pub mod trace;

pub use health::Health;
pub use launch::{BoxError, install_tls_provider, main};
pub use metrics::Metrics;
pub use settings::{ConfigError, Secret, Service, Settings};
pub use shutdown::Shutdown;
pub use trace::Trace;
