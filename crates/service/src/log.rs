//! Logs: to stderr, text on a terminal, JSON otherwise. A line is a static sentence and fields; no personal data, no
//! secrets.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Sends the events of `tracing` to stderr. A second call in one process does nothing.
pub fn init(config: &Log) -> Result<(), String> {
    let filter = filter(&config.level)?;
    let terminal = stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // https://no-color.org: present and not empty.
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // The threads of a stage have its name: where several run in one process, a line says whose it is.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour)
        .with_thread_names(true);
    // An error means that a subscriber is there already: `up` starts several services.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
    Ok(())
}

/// Reads `log.level`.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(level).map_err(|error| {
        format!("'{level}' is neither a level nor directives such as \"info,gateway=debug\": {error}")
    })
}
