//! The command `rollups`: builds the sums of a log that was written without them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Instant;

use clap::Args;

use super::{DatabaseArgs, progress};
use crate::config::ConfigError;
use crate::store::{self, Store, StoreConfig, StoreError};

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  Before the first report of a database that an earlier version wrote:
    valuation-server rollups --database valuations.sqlite

  It may be stopped at any time, and goes on where it was. `serve` does the same in the background.";

/// The flags of `rollups`.
#[derive(Args, Clone, Debug)]
pub struct RollupsArgs {
    /// The log.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// How far the rollups are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// All rows up to this id are in them.
    pub done_to: i64,
    /// Whether it was stopped before the last row.
    pub was_stopped: bool,
}

/// Why the rollups are not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollupsError {
    /// There is no file, or it is empty: it is not created.
    #[error("there is no database at {}; name it with --database or VALUATION_DATABASE", .0.display())]
    NoDatabase(PathBuf),
    /// Somebody deleted the mark, without which nothing says which rows are counted.
    #[error(
        "the table rollup_mark of {} is empty, so nothing says which rows are counted; to build the rollups \
         again, run: DELETE FROM call_hours; DELETE FROM call_durations; INSERT INTO rollup_mark VALUES (1, 0)",
        .0.display()
    )]
    NoMark(PathBuf),
    /// The configuration that names the database is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RollupsArgs {
    /// Builds the rollups to the end, or until `stop` is ready, and says how far they are. What is done stays
    /// done, also after an error or a kill.
    ///
    /// # Errors
    /// [`RollupsError`].
    ///
    /// # Cancel safety
    /// If dropped, the rollups are left as after a kill: complete up to some row.
    pub async fn build(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stop: impl Future<Output = ()>,
    ) -> Result<Built, RollupsError> {
        let path = self.database.path(environment)?;
        let is_there = match path.metadata() {
            Ok(file) => file.len() > 0,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if !is_there {
            return Err(RollupsError::NoDatabase(path));
        }
        let store = Store::open(&StoreConfig::new(&path))?;
        let built = build(&store, &path, pin!(stop)).await;
        store.shutdown().await;
        built
    }
}

async fn build(
    store: &Store,
    path: &Path,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Built, RollupsError> {
    let state = || store.derived_state()?.ok_or_else(|| RollupsError::NoMark(path.to_owned()));
    let rows = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    let first = state()?;
    let bar = progress(rows(first.done_to, first.newest), "rows");
    loop {
        let began = Instant::now();
        let more = store.catch_up().await?;
        let took = began.elapsed();
        let now = state()?;
        bar.set_length(rows(first.done_to, now.newest));
        bar.set_position(rows(first.done_to, now.done_to));
        if !more {
            bar.finish_and_clear();
            return Ok(Built { done_to: now.done_to, was_stopped: false });
        }
        tokio::select! {
            () = &mut stop => {
                bar.abandon();
                return Ok(Built { done_to: now.done_to, was_stopped: true });
            }
            () = tokio::time::sleep(store::pause_after(took)) => {}
        }
    }
}
