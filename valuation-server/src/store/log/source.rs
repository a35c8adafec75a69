//! Where a log is read from: one connection to a database, or to an archive of its older rows.
//!
//! All that the engines answer in different ways is here. What has one statement for both reads [`LogSource::sql`],
//! or one state of it, [`LogSnapshot::sql`].

use rusqlite::{InterruptHandle, Transaction};

use super::audit_file::{self, AuditFile};
use super::id_ranges::Ids;
use super::log_tables::LogTable;
use super::rows::Optional;
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::postgres::log::{PostgresLog, PostgresSnapshot, ServerInterrupt};
use crate::store::sql::{Sql, SqlError};
use crate::store::sqlite::schema;

/// A log that is open for reading alone.
#[derive(Debug)]
pub(super) struct LogSource {
    /// Its name in errors; of a file the whole path.
    pub(super) place: Location,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    File(AuditFile),
    Server(Box<PostgresLog>),
}

/// One state of a log, whatever is written meanwhile.
#[derive(Debug)]
pub(super) struct LogSnapshot<'a> {
    pub(super) place: &'a Location,
    /// The lowest and the highest id.
    pub(super) ends: Option<(i64, i64)>,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    File(Transaction<'a>),
    Server(PostgresSnapshot<'a>),
}

/// Ends a read of a [`LogSource`], from another thread.
pub(super) enum SourceInterrupt {
    File(InterruptHandle),
    Server(Box<ServerInterrupt>),
}

impl SourceInterrupt {
    pub(super) fn interrupt(&self) {
        match self {
            Self::File(handle) => handle.interrupt(),
            Self::Server(running) => running.interrupt(),
        }
    }
}

impl LogSource {
    /// Opens the log there.
    ///
    /// # Errors
    /// [`StoreError::Open`] names it, what is wrong and what to do.
    pub(super) fn open(place: Location) -> Result<Self, StoreError> {
        match place {
            Location::File(path) => {
                let file = AuditFile::open(&path)?;
                Ok(Self { place: file.path.clone().into(), engine: Engine::File(file) })
            }
            Location::Server(address) => match PostgresLog::open(&address) {
                Ok(log) => {
                    let place = Location::Server(address);
                    Ok(Self { place, engine: Engine::Server(Box::new(log)) })
                }
                Err(problem) => Err(StoreError::Open { place: Location::Server(address), problem }),
            },
        }
    }

    /// Opens the logs there, in this order. One that is named twice is opened twice.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_all<P: Into<Location>>(
        places: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Self>, StoreError> {
        places.into_iter().map(|place| Self::open(place.into())).collect()
    }

    /// Whether both are the same, by whatever names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.engine, &other.engine) {
            (Engine::File(this), Engine::File(other)) => this.is_same(other),
            (Engine::Server(this), Engine::Server(other)) => this.is_same(other),
            (Engine::File(_), Engine::Server(_)) | (Engine::Server(_), Engine::File(_)) => false,
        }
    }

    /// Whether what is at its place now is what was opened: two system calls for a file, and for a server whether
    /// the connection is open.
    pub(super) fn is_current(&self) -> bool {
        match &self.engine {
            Engine::File(file) => file.is_current(),
            Engine::Server(log) => log.is_current(),
        }
    }

    /// From now on an answer of a server that does not come in time is an error, and the log must be opened again.
    pub(super) fn limit_waits(&mut self) {
        match &mut self.engine {
            // A file waits for locks alone, and never long.
            Engine::File(_) => {}
            Engine::Server(log) => log.limit_waits(),
        }
    }

    /// A number that changes with each commit of rows, while it is [current](Self::is_current).
    pub(super) fn version(&self) -> Result<i64, SqlError> {
        match &self.engine {
            Engine::File(file) => file.version(),
            Engine::Server(log) => log.last_id().map(|id| id.unwrap_or(0)),
        }
    }

    /// What ends a read that takes too long.
    pub(super) fn interrupt(&self) -> SourceInterrupt {
        match &self.engine {
            Engine::File(file) => SourceInterrupt::File(file.conn.get_interrupt_handle()),
            Engine::Server(log) => SourceInterrupt::Server(Box::new(log.interrupt())),
        }
    }

    /// The version of its schema, and the newest that this program knows.
    pub(super) fn schema_versions(&self) -> (i32, i32) {
        match &self.engine {
            Engine::File(file) => (file.schema_version, schema::latest()),
            Engine::Server(log) => log.schema_versions(),
        }
    }

    /// Refuses an archive, to which nobody may write but the command that archives.
    ///
    /// # Errors
    /// [`StoreError::Open`], or [`StoreError::Unavailable`] if it can't be read.
    pub(super) fn must_be_database(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::File(file) => file.must_be_database(),
            Engine::Server(_) => Ok(()),
        }
    }

    /// For statements, each of which sees a state of its own.
    pub(super) fn sql(&self) -> &dyn Sql {
        match &self.engine {
            Engine::File(file) => &file.conn,
            Engine::Server(log) => log.sql(),
        }
    }

    /// The columns that not each row has.
    pub(super) fn optional_columns(&self) -> Result<Optional, SqlError> {
        match &self.engine {
            Engine::File(file) => audit_file::optional_columns(&file.conn),
            Engine::Server(_) => Ok(Optional { outcome: true, rescue: true }),
        }
    }

    /// The log as it is now.
    pub(super) fn snapshot(&mut self) -> Result<LogSnapshot<'_>, SqlError> {
        let Self { place, engine } = self;
        let state = match engine {
            Engine::File(file) => State::File(file.snapshot()?),
            Engine::Server(log) => State::Server(log.snapshot()?),
        };
        let mut snapshot = LogSnapshot { place, ends: None, state };
        // The first read is what fixes the state.
        snapshot.ends = LogTable::ends(LogTable::ROWS, snapshot.sql())?;
        Ok(snapshot)
    }
}

impl LogSnapshot<'_> {
    /// For statements, all of which see this state.
    pub(super) fn sql(&self) -> &dyn Sql {
        match &self.state {
            State::File(tx) => &**tx,
            State::Server(snapshot) => snapshot.sql(),
        }
    }

    /// Whether there is a table of this name. A database of an earlier version has no sums and no chain.
    pub(super) fn has_table(&self, name: &str) -> Result<bool, SqlError> {
        match &self.state {
            State::File(tx) => audit_file::has_table(tx, name),
            State::Server(snapshot) => snapshot.has_table(name),
        }
    }

    /// The columns that not each row has.
    pub(super) fn optional_columns(&self) -> Result<Optional, SqlError> {
        match &self.state {
            State::File(tx) => audit_file::optional_columns(tx),
            State::Server(_) => Ok(Optional { outcome: true, rescue: true }),
        }
    }

    /// The highest id of which the engine keeps that it was given, also when its row is deleted; `None`
    /// without such a record.
    pub(super) fn recorded_id(&self) -> Result<Option<i64>, SqlError> {
        match &self.state {
            State::File(tx) => audit_file::recorded_id(tx),
            State::Server(snapshot) => snapshot.last_id(),
        }
    }

    /// The highest id that a row was ever given.
    pub(super) fn last_given_id(&self) -> Result<i64, SqlError> {
        let highest = self.ends.map_or(0, |(_, last)| last);
        Ok(highest.max(self.recorded_id()?.unwrap_or(0)))
    }

    /// The lowest of these ids whose rows are not the same in both, in the columns that both have.
    pub(super) fn difference(&self, other: &Self, ids: Ids) -> Result<Option<i64>, SqlError> {
        let rows = self.rows()?.common(&other.rows()?);
        rows.difference(self.sql(), other.sql(), ids)
    }

    fn rows(&self) -> Result<LogTable, SqlError> {
        match &self.state {
            State::File(tx) => audit_file::table(tx, LogTable::ROWS),
            State::Server(snapshot) => {
                Ok(LogTable::new(LogTable::ROWS, snapshot.columns(LogTable::ROWS)?))
            }
        }
    }
}
