//! The log and the metrics.

mod calls;
mod client_errors;
mod metrics;
mod process;

use std::io;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogFormat;

pub use calls::ProviderCalls;
pub use client_errors::{ANSWERS, Change, ClientErrors, QUIET};
pub use metrics::{Lasting, Metrics, Sources};

/// Starts the log: lines on standard error, filtered by `RUST_LOG`, for example `info` (the default),
/// `debug` or `valuation_server=debug,info`. A second call does nothing.
///
/// Lines of text have colours as clap's messages have them: on a terminal, unless `NO_COLOR` or `TERM=dumb` says
/// otherwise, and elsewhere with `CLICOLOR_FORCE`.
///
/// An invalid directive in `RUST_LOG` is ignored and reported.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // A failed write would be reported on standard error, which fails again and panics.
        .log_internal_errors(false)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
        .with_target(false);
    // Fails if a log is started already; that one is used.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).try_init(),
    };
}
