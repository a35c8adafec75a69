//! Runs a command, and gives its exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped in order, or the demo's story ended as it should, or no check failed |
//! | 1 | could not start, or the story or a check failed, or the log is not as it was sealed; the last line says what |
//! | 2 | the command line or a setting is wrong; the last line says which |
//! | 3 | stopped, and something was cut off at its deadline |
//! | 4 | stopped, and provider calls could not be stored: they are in the log alone |
//! | 130 | stopped at once by a second signal; a command on the log by the first, before its end |

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::app::{App, Ended};
use crate::check::live::{self, Probe};
use crate::cli::{CheckArgs, Cli, Command, ManArgs, ServeArgs};
use crate::config::{Config, ConfigError, LogFormat, Origin, Setting, Sources, Status};
use crate::document::{Document, Timing};
use crate::reload::Reload;
use crate::signals::{self, Stop};
use crate::telemetry;
use crate::tools::ToolError;
use crate::{check, demo, notify, system};

/// Could not start, or failed.
const FAILED: u8 = 1;
/// The command line or a setting is wrong.
const MISUSED: u8 = 2;
/// Something was cut off at the stop.
const CUT_OFF: u8 = 3;
/// Provider calls are in the server's log and not in the database.
const LOST: u8 = 4;
/// A second signal: 128 plus the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs a command to its end.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    let config = match &cli.command {
        Command::Serve(args) => return serve_command(args),
        Command::Check(args) => match args.probe() {
            Some(probe) => return ask(args, probe),
            None => args.settings.config(std::env::vars_os()),
        },
        Command::Report(args) => return read_only(|| args.run(std::env::vars_os())),
        Command::Logs(args) => return stoppable(|stopped| args.run(std::env::vars_os(), stopped)),
        Command::Export(args) => {
            return stoppable(|stopped| args.run(std::env::vars_os(), stopped));
        }
        Command::Backup(args) => {
            return stoppable(|stopped| args.run(std::env::vars_os(), stopped));
        }
        Command::Archive(args) => {
            return stoppable(|stopped| args.run(std::env::vars_os(), stopped));
        }
        Command::Rollups(args) => {
            return stoppable(|stopped| args.run(std::env::vars_os(), stopped));
        }
        Command::Migrate(args) => {
            return stoppable(|stopped| args.run(std::env::vars_os(), stopped));
        }
        Command::Completions(args) => return print(&args.script(), "the script"),
        Command::Man(ManArgs { out: Some(folder) }) => {
            return match ManArgs::write_to(folder) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(FAILED, &error),
            };
        }
        Command::Man(ManArgs { out: None }) => {
            return match ManArgs::page() {
                Ok(page) => print(&page, "the manual page"),
                Err(error) => fail(FAILED, &error),
            };
        }
        Command::Demo(args) => {
            telemetry::start(LogFormat::Text, "info");
            return in_runtime(async {
                match demo::run(args, stop(Stop::Terminal)).await {
                    Ok(ended) => exit_code(ended),
                    Err(error) => fail(FAILED, &error),
                }
            });
        }
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return fail(code_of(&error), &error),
    };
    in_runtime(async {
        let mut out = io::stdout().lock();
        match check::run(&config, &mut out).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FAILED),
            Err(error) => fail(FAILED, &error),
        }
    })
}

/// The code for a configuration that can't be had.
fn code_of(error: &ConfigError) -> u8 {
    if error.is_transient() { FAILED } else { MISUSED }
}

fn serve_command(args: &ServeArgs) -> ExitCode {
    let started = args.settings.sources(std::env::vars_os()).and_then(|sources| {
        let document = sources.read()?;
        let config = sources.config(document.as_ref())?;
        Ok((sources, document, config))
    });
    let (sources, document, config) = match started {
        Ok(started) => started,
        Err(error) => return fail(code_of(&error), &error),
    };
    if args.print_config {
        let since = document.map(|document| document.modified);
        return print(config.to_toml_since(since).as_bytes(), "the configuration");
    }
    telemetry::start(config.log_format, &config.log_level);
    if telemetry::is_overridden() && *config.origin(Setting::LogLevel) != Origin::Default {
        tracing::warn!("RUST_LOG is set and filters the log: log-level has no effect");
    }
    in_runtime(serve(&config, sources, document))
}

/// A runtime, or the exit code without one.
fn started(builder: &mut Builder) -> Result<Runtime, ExitCode> {
    let failed = |error| fail(FAILED, &format!("the runtime cannot be started: {error}"));
    builder.enable_all().build().map_err(failed)
}

fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match started(&mut Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let code = runtime.block_on(work);
    // Only look-ups that hang in the system's resolver are left.
    runtime.shutdown_background();
    code
}

fn print(bytes: &[u8], what: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &format!("{what} cannot be printed: {error}")),
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// Asks a running server. Without one to ask the code is that of an unhealthy one: Docker reserves 2 for itself.
fn ask(args: &CheckArgs, probe: Probe) -> ExitCode {
    let server = match args.server(std::env::vars_os()) {
        Ok(server) => server,
        Err(error) => return fail(FAILED, &error),
    };
    in_runtime(async {
        match live::run(&server, probe, &mut io::stdout().lock()).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FAILED),
            Err(error) => fail(FAILED, &error),
        }
    })
}

/// Runs a command on the log that reads the flag: a signal to stop sets it, and a second one ends the process.
fn stoppable(work: impl FnOnce(&AtomicBool) -> Result<(), ToolError>) -> ExitCode {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    // Ordering: nothing else is read by it.
    tool(move || flag.store(true, Ordering::Relaxed), || work(&stopped))
}

/// Runs a command that writes nothing but its output, at its end: the first signal to stop ends the process.
fn read_only(work: impl FnOnce() -> Result<(), ToolError>) -> ExitCode {
    // A handler, although a signal's default would do: the first process of a container has no defaults.
    let interrupted = || {
        fail(INTERRUPTED, &ToolError::Interrupted("there is no output"));
        std::process::exit(INTERRUPTED.into());
    };
    tool(interrupted, work)
}

/// Runs a command on the log, and `at_stop` at the first signal to stop.
fn tool(
    at_stop: impl FnOnce() + Send + 'static,
    work: impl FnOnce() -> Result<(), ToolError>,
) -> ExitCode {
    let runtime = match started(Builder::new_multi_thread().worker_threads(1)) {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let _context = runtime.enter();
    system::survive_the_file_size_limit();
    let ordered = stop(Stop::Terminal);
    runtime.spawn(async move {
        ordered.await;
        at_stop();
    });
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) if error.is_misuse() => fail(MISUSED, &error),
        Err(error) if error.is_interrupted() => fail(INTERRUPTED, &error),
        Err(error) => fail(FAILED, &error),
    }
}

async fn serve(config: &Config, sources: Sources, document: Option<Document>) -> ExitCode {
    system::survive_the_file_size_limit();
    signals::ignore_others();
    let asked = signals::hang_ups();
    let status = document.as_ref().map_or_else(Status::default, |document| {
        Status::of(document.place.to_string(), document.read_at)
    });
    let stopped = stop(Stop::Service);
    let app = match App::start(config).await {
        Ok(app) => app,
        Err(error) => return fail(if error.is_misuse() { MISUSED } else { FAILED }, &error),
    };
    tracing::info!(
        "listening on http://{}; database {}; SuperCar at {}, Premium at {}",
        app.address(),
        config.database,
        config.supercar_url,
        config.premium_url,
    );
    if let Some(address) = app.admin_address() {
        tracing::info!("operators: http://{address}");
    }
    let app = app.with_status(status.clone());
    let live = app.live();
    let apply = {
        let live = live.clone();
        move |config| live.apply(config)
    };
    let reload = match Reload::new(sources, document, Timing::default(), status, apply) {
        Ok(reload) => reload,
        Err(error) => return fail(MISUSED, &error),
    };
    // Until the process ends: a stop is watched as well.
    let _alive = notify::ready();
    let reload = JoinSet::from_iter([reload.run(asked)]);
    let stopped = async move {
        stopped.await;
        let longest = live.longest_stop();
        // Aborted: a stop is not interrupted, and its message to the manager is the last one.
        drop(reload);
        notify::stopping(longest);
    };
    exit_code(app.run(stopped).await)
}

/// Ready at the first signal to stop after this call; a second signal ends the process at once.
fn stop(orders: Stop) -> impl Future<Output = ()> + Send + 'static {
    let ordered = signals::stop_ordered(orders);
    async move {
        match ordered {
            Ok(ordered) => ordered.await,
            Err(error) => tracing::error!(%error, "signals cannot be waited for; stopping"),
        }
        tracing::info!("stop requested: finishing running requests; a second signal ends at once");
        let Ok(again) = signals::stop_ordered(orders) else { return };
        tokio::spawn(async move {
            again.await;
            tracing::warn!("stop requested twice: ending at once");
            std::process::exit(INTERRUPTED.into());
        });
    }
}

fn exit_code(ended: Ended) -> ExitCode {
    match ended {
        Ended::Whole => {
            tracing::info!("stopped; everything is stored");
            ExitCode::SUCCESS
        }
        Ended::CutOff => ExitCode::from(CUT_OFF),
        Ended::Lost(calls) => {
            tracing::error!(
                calls,
                "stopped; calls to providers could not be stored in \
                ProviderLogs: each is a line of this log, from which it can be entered by hand"
            );
            ExitCode::from(LOST)
        }
    }
}

/// Reports an error without the log, which `RUST_LOG` may silence. A failed write is ignored: the exit
/// code says enough.
fn fail(code: u8, error: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::from(code)
}
