//! Logs go to stderr, so that stdout carries data only.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// What one-shot commands log unless asked for more.
pub(crate) const ONE_SHOT_LEVEL: &str = "warn";

/// Starts logging under a filter such as `info` or `warn,nipworker_relay=debug`. A second call
/// has no effect.
///
/// # Errors
/// The filter cannot be read.
pub(crate) fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("log filter {filter:?} is not understood: {error}"))?;
    let subscriber = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    // Only the first subscriber of a process counts; in tests several start.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}
