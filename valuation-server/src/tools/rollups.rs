//! The command `rollups`: builds the sums and the hash chain of a log that was written without them.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Instant;

use clap::Args;
use tokio::runtime::Handle;

use super::error::{GOES_ON, ToolError, is_stopped};
use super::log_files::DatabaseArgs;
use super::progress::progress;
use crate::store::{
    Backend, Location, OpenProblem, PostgresAddress, PostgresConfig, SqliteConfig, Store,
    StoreConfig, StoreError, pause_after,
};

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  Before the first report of a database that an earlier version wrote:
    valuation-server rollups --database valuations.sqlite

  It may be stopped at any time, and goes on where it was. `serve` does the same in the background.";

/// Connections to a server: one that writes and one that reads.
const CONNECTIONS: u32 = 2;

/// The flags of `rollups`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RollupsArgs {
    /// The log.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

impl RollupsArgs {
    /// Builds the rollups and the hash chain to the end, or until `stopped` is set. What is done stays done, also
    /// after an error or a kill.
    ///
    /// # Errors
    /// [`ToolError`].
    ///
    /// # Panics
    /// Outside a tokio runtime, and within a task of one: it blocks.
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let place = self.database.place(environment)?;
        let store = Handle::current().block_on(Store::open(&StoreConfig::at(backend(&place)?)))?;
        let built = build(&store, &place, stopped);
        Handle::current().block_on(store.shutdown());
        writeln!(io::stdout(), "the rollups and the hash chain have all rows up to id {}", built?)?;
        Ok(())
    }
}

/// The database, which is not created.
fn backend(place: &Location) -> Result<Backend, StoreError> {
    match place {
        Location::File(path) => {
            let is_there = match path.metadata() {
                Ok(file) => file.len() > 0,
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            };
            if is_there {
                return Ok(Backend::Sqlite(SqliteConfig::new(path)));
            }
            Err(StoreError::Open { place: place.clone(), problem: OpenProblem::NoFile })
        }
        Location::Server(address) => Ok(Backend::Postgres(PostgresConfig {
            address: PostgresAddress::clone(address),
            connections: CONNECTIONS,
            // No note is saved under it.
            node: "rollups".to_owned(),
        })),
    }
}

/// Gives the last id.
fn build(store: &Store, place: &Location, stopped: &AtomicBool) -> Result<i64, ToolError> {
    let state = || {
        let state = Handle::current().block_on(store.derived_state())?;
        state.ok_or_else(|| ToolError::NoMark(place.clone()))
    };
    let rows = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    let first = state()?;
    let bar = progress(rows(first.done_to, first.newest), "rows");
    loop {
        let began = Instant::now();
        let more = Handle::current().block_on(store.catch_up())?;
        let took = began.elapsed();
        let now = state()?;
        bar.set_length(rows(first.done_to, now.newest));
        bar.set_position(rows(first.done_to, now.done_to));
        if !more {
            bar.finish_and_clear();
            return Ok(now.done_to);
        }
        if is_stopped(stopped) {
            bar.abandon();
            return Err(GOES_ON);
        }
        thread::sleep(pause_after(took));
    }
}
