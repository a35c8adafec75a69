//! The command `migrate`: moves a database from SQLite to PostgreSQL or back, next to a running server.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use clap::Args;

use super::error::{ToolError, is_stopped};
use super::progress::progress;
use crate::config::{Config, ConfigError, DatabaseArg, is_node_name};
use crate::store::{Location, Moved, Moving, migrate};
use crate::system;

/// What may stand before the path of a file.
const SQLITE: &str = "sqlite:";

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  Move most of it while the server runs:
    export VALUATION_DATABASE_PASSWORD=…
    valuation-server migrate --from sqlite:valuations.sqlite \\
      --to postgres://valuation@db.example/valuation

  Stop the server, and move the rest by the same command. Then start it with
  --database postgres://valuation@db.example/valuation

  And back, into a new file:
    valuation-server migrate --from postgres://valuation@db.example/valuation \\
      --to sqlite:back.sqlite

  It may be stopped at any time, and the same command goes on. The source is not changed.

Environment:
  VALUATION_DATABASE_PASSWORD  the password of the database postgres://…
  VALUATION_DATABASE_CA        a PEM file of the authorities that may sign its certificate";

/// The flags of `migrate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    /// The database that is moved; a running server may use it
    #[arg(long, value_name = "FILE|URL")]
    pub from: OsString,

    /// Into which it is moved: a new file, an empty database, or that of an earlier run. No server may use it
    #[arg(long, value_name = "FILE|URL")]
    pub to: OsString,

    /// The server's --node-name in PostgreSQL, by which it finds what it saved for its next start [default: the
    /// host's name]
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub node_name: Option<String>,
}

fn node_name(text: &str) -> Result<String, &'static str> {
    if is_node_name(text) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 visible ASCII characters without spaces, such as node-1")
    }
}

/// A database as a flag names it, with what the environment has for a server.
fn place(given: &OsStr, environment: &[(OsString, OsString)]) -> Result<Location, ConfigError> {
    let given = given.to_str().and_then(|text| text.strip_prefix(SQLITE)).map_or(given, OsStr::new);
    let given = DatabaseArg::from(given.to_owned());
    Config::database_location(Some(&given), None, environment.iter().cloned())
}

impl MigrateArgs {
    /// Moves the database, or the rest after an earlier run, until `stopped` is set, and prints what both have.
    ///
    /// # Errors
    /// [`ToolError`]; [`ToolError::Unequal`] if both are not the same.
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let moving = Moving {
            from: place(&self.from, &environment)?,
            to: place(&self.to, &environment)?,
            node: self.node_name.clone().unwrap_or_else(system::host_name),
            now: SystemTime::now(),
        };
        let bar = progress(0, "");
        let moved = migrate(&moving, &mut |what, done, all| {
            bar.set_message(what);
            bar.set_length(all);
            bar.set_position(done);
            if is_stopped(stopped) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        let moved = moved?;
        print(&moved, &moving.to)?;
        if moved.is_equal() { Ok(()) } else { Err(ToolError::Unequal) }
    }
}

fn print(moved: &Moved, to: &Location) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<18} {:>12}  {:<16}  equal", "table", "rows", "checksum")?;
    for table in &moved.tables {
        let (rows, sums) = (table.rows(), table.checksums());
        let (name, [sum, other]) = (table.name, sums.each_ref().map(|sum| &sum[..16]));
        if table.is_equal() {
            writeln!(out, "{name:<18} {:>12}  {sum}  yes", rows[0])?;
        } else {
            writeln!(
                out,
                "{name:<18} {:>12}  {sum}  NO: {to} has {} rows, {other}",
                rows[0], rows[1]
            )?;
        }
    }
    let added = moved.added;
    if !moved.is_equal() {
        writeln!(out, "{to} is not what was moved: use an empty database, and run this again")?;
    } else if added > 0 {
        writeln!(
            out,
            "{added} rows were added since; stop the server and run this again to move the rest; then start it with \
             --database {to}"
        )?;
    } else {
        writeln!(
            out,
            "no row was added since; if the server is stopped, start it with --database {to}"
        )?;
    }
    out.flush()
}
