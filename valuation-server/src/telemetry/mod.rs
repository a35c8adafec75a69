//! The log and the metrics.

mod calls;
mod client_errors;
mod metrics;
mod process;

use std::env;
use std::io;
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, filter::LevelFilter, fmt, reload};

use crate::config::LogFormat;

pub use calls::ProviderCalls;
pub use client_errors::{ANSWERS, Change, ClientErrors, QUIET};
pub use metrics::{Lasting, Metrics, Sources};

/// The variable that filters the log in place of the setting `log-level`.
const VARIABLE: &str = "RUST_LOG";

/// The filter of the log that was started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// The log's filter can't be replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogLevelError {
    /// The directives are wrong.
    #[error(transparent)]
    Directives(#[from] tracing_subscriber::filter::ParseError),
    /// There is no log with a filter.
    #[error(transparent)]
    Log(#[from] reload::Error),
}

/// Starts the log: lines on standard error, filtered by `RUST_LOG`, for example `info`, `debug` or
/// `valuation_server=debug,info`; without it by `level`, in the same form, or `info` if that is wrong. A second
/// call does nothing.
///
/// Lines of text have colours as clap's messages have them: on a terminal, unless `NO_COLOR` or `TERM=dumb` says
/// otherwise, and elsewhere with `CLICOLOR_FORCE`.
///
/// An invalid directive in `RUST_LOG` is ignored and reported.
pub fn start(format: LogFormat, level: &str) {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = if is_overridden() {
        builder.from_env_lossy()
    } else {
        directives(level).unwrap_or_else(|_| builder.parse_lossy(""))
    };
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        // A failed write would be reported on standard error, which fails again and panics.
        .log_internal_errors(false)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails if a log is started already; that one is used.
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init()
        }
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Whether `RUST_LOG` is set, which then filters the log whatever the setting `log-level` is.
#[must_use]
pub fn is_overridden() -> bool {
    env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}

/// Filters the log by these directives from now on, unless `RUST_LOG` does: then a line says so.
///
/// # Errors
/// [`LogLevelError`]; the filter stays.
pub fn set_log_level(level: &str) -> Result<(), LogLevelError> {
    let filter = directives(level)?;
    if is_overridden() {
        tracing::warn!(level, "RUST_LOG is set and filters the log: log-level has no effect");
        return Ok(());
    }
    match FILTER.get() {
        Some(handle) => Ok(handle.reload(filter)?),
        // No log of ours was started.
        None => Ok(()),
    }
}

fn directives(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(level)
}
