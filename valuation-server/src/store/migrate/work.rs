//! The whole move, in its order.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use super::error::MigrateError;
use super::log_piece::LogPiece;
use super::proof::MovedTable;
use super::side::Side;
use super::sync::Differences;
use super::tables::{CHAIN, NOTES, ROWS, SUMS, Table, VALUATIONS, View};
use crate::domain::LogHead;
use crate::store::chain;
use crate::store::derived;
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::migration_mark::{self, Mark};
use crate::store::sql::{Row, Sql, SqlError, ValueRef};
use crate::store::sqlite::open::absolute;

/// What is to be moved.
#[derive(Clone, Debug)]
pub struct Moving {
    /// The source. A server may use it.
    pub from: Location,
    /// The target: a new file or an empty database, or that of an earlier run with the same source.
    pub to: Location,
    /// The server whose notes they are, by the name that it has in PostgreSQL.
    pub node: String,
    /// The time now.
    pub now: SystemTime,
}

/// What was moved.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The tables, as both had them.
    pub tables: Vec<MovedTable>,
    /// How many rows the source's log has got since.
    pub added: u64,
}

impl Moved {
    /// Whether all tables have the same rows in both.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(MovedTable::is_equal)
    }
}

/// Moves a database into another one, or the rest after an earlier run, and compares both. `step` is called between
/// two pieces with what is done and how many of how many rows, and may stop it. Blocks the thread.
///
/// If the comparison finds a difference, it is in the result, and the target stays unfinished.
///
/// # Errors
/// [`MigrateError`]. What is moved stays, and the same call goes on.
pub fn migrate(
    moving: &Moving,
    step: &mut dyn FnMut(&'static str, u64, u64) -> ControlFlow<()>,
) -> Result<Moved, MigrateError> {
    let (from, to) = (whole(&moving.from)?, whole(&moving.to)?);
    if from.to_string() == to.to_string() {
        return Err(MigrateError::Same(to));
    }
    let node = moving.node.clone();
    let view = match (&from, &to) {
        (Location::File(_), Location::File(_)) => return Err(MigrateError::TwoFiles),
        (Location::File(_), Location::Server(_)) => View::WithNode(node),
        (Location::Server(_), Location::File(_)) => View::OfNode(node),
        (Location::Server(_), Location::Server(_)) => View::Plain,
    };
    let source = Side::source(&from)?;
    must_be_whole(&source)?;
    let target = Side::target(&to, |sql| may_be_target(sql, &to, &source))?;
    let mut work = Work { from: source, to: target, view, now: moving.now, step };
    let end = work.begin()?;
    let end = work.log(end)?;
    work.valuations(end)?;
    work.last(end)
}

/// The same for all ways to name a file.
fn whole(place: &Location) -> Result<Location, StoreError> {
    let Location::File(path) = place else { return Ok(place.clone()) };
    let path = absolute(path)?;
    let resolved = |path: &Path| path.canonicalize().ok();
    let folder = path.parent().and_then(resolved);
    let in_folder = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name));
    Ok(resolved(&path).or(in_folder).unwrap_or(path).into())
}

/// Refuses a source whose sums or chain are not those of its rows, and one that is itself an unfinished target.
fn must_be_whole(source: &Side) -> Result<(), MigrateError> {
    let reading = || MigrateError::reading(&source.place);
    if let Some(Mark { is_finished: false, source: origin }) =
        migration_mark::find(source.sql()).map_err(reading())?
    {
        let (place, problem) =
            (source.place.clone(), crate::store::OpenProblem::Unfinished(origin));
        return Err(StoreError::Open { place, problem }.into());
    }
    let newest = derived::newest(source.sql()).map_err(reading())?;
    let sealed_to = chain::end(source.sql()).map_err(reading())?.map_or(0, |end| end.last_id);
    let state = derived::state(source.sql()).map_err(reading())?;
    let done_to = state.map_or(0, |state| state.done_to).min(sealed_to);
    if state.is_none() || done_to < newest || newest < 0 {
        return Err(MigrateError::Behind { place: source.place.clone(), done_to, newest });
    }
    Ok(())
}

/// Refuses a target with rows that are not of this source.
fn may_be_target(sql: &dyn Sql, place: &Location, source: &Side) -> Result<(), MigrateError> {
    let reading = || MigrateError::reading(place);
    let Some(mark) = migration_mark::find(sql).map_err(reading())? else {
        let conditions = [&ROWS, &CHAIN, &VALUATIONS, &SUMS[0], &SUMS[1], &SUMS[3], &NOTES];
        for table in conditions {
            let select = format!(r#"SELECT 1 FROM "{}" LIMIT 1"#, table.name);
            if sql.first(&select, &[], |_| Ok(())).map_err(reading())?.is_some() {
                return Err(MigrateError::NotEmpty { place: place.clone(), table: table.name });
            }
        }
        return Ok(());
    };
    let end = chain::end(sql).map_err(reading())?;
    let goes_on = goes_on(source, end).map_err(MigrateError::reading(&source.place))?;
    // Without rows only the mark says what it is.
    let is_its_own = end.is_some() || mark.source == source.place.to_string();
    if goes_on && is_its_own {
        return Ok(());
    }
    Err(MigrateError::OtherLog {
        place: place.clone(),
        last_id: end.map_or(0, |end| end.last_id),
        origin: mark.source,
        from: source.place.clone(),
    })
}

/// Whether the source's log has this head, or begins right after it. A head binds all rows before it.
fn goes_on(source: &Side, end: Option<LogHead>) -> Result<bool, SqlError> {
    let Some(end) = end else { return Ok(true) };
    if let Some(record) = chain::ending_with(source.sql(), end.last_id)? {
        return Ok(record.head == end.hash);
    }
    Ok(chain::first(source.sql())?.is_some_and(|first| first.previous == end.hash))
}

struct Work<'a> {
    from: Side,
    to: Side,
    view: View,
    now: SystemTime,
    step: &'a mut dyn FnMut(&'static str, u64, u64) -> ControlFlow<()>,
}

impl Work<'_> {
    /// Marks the target, and gives the end of its log.
    fn begin(&mut self) -> Result<Option<LogHead>, MigrateError> {
        let end = chain::end(self.to.sql()).map_err(MigrateError::reading(&self.to.place))?;
        self.to.begin_write(end)?;
        self.mark(false)?;
        self.to.commit()?;
        Ok(end)
    }

    fn mark(&self, is_finished: bool) -> Result<(), MigrateError> {
        let mark = Mark { is_finished, source: self.from.place.to_string() };
        migration_mark::set(self.to.sql(), &mark, self.now)
            .map_err(MigrateError::writing(&self.to.place))
    }

    fn step(&mut self, what: &'static str, done: u64, all: u64) -> Result<(), MigrateError> {
        match (self.step)(what, done, all) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MigrateError::Stopped),
        }
    }

    /// Copies the log as far as it goes, and gives its end.
    fn log(&mut self, mut end: Option<LogHead>) -> Result<Option<LogHead>, MigrateError> {
        loop {
            let newest = derived::newest(self.from.sql());
            let newest = newest.map_err(MigrateError::reading(&self.from.place))?;
            let id = |id: i64| u64::try_from(id).unwrap_or(0);
            self.step("moving log rows", id(end.map_or(0, |end| end.last_id)), id(newest))?;
            self.from.begin_snapshot()?;
            let piece = LogPiece::read(&self.from, end)?;
            self.from.commit()?;
            let Some(piece) = piece else { return Ok(end) };
            self.to.prepare_for(piece.times(), None)?;
            self.to.begin_write(end)?;
            piece.write(&self.to)?;
            self.to.commit()?;
            end = Some(piece.end);
        }
    }

    /// Moves the valuations.
    fn valuations(&mut self, end: Option<LogHead>) -> Result<(), MigrateError> {
        let select = r#"SELECT count(*) FROM "vehicle_valuation""#;
        let all = self.count(select, &[])?;
        let (mut after, mut done) = (None, 0);
        loop {
            self.step("moving valuations", done, all)?;
            let found = self.differences(&VALUATIONS, after.as_deref())?;
            if found.any() {
                self.to.begin_write(end)?;
                found.write(&VALUATIONS, &self.to)?;
                self.to.commit()?;
            }
            done += found.rows;
            after = found.end;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn differences(
        &self,
        table: &Table,
        after: Option<&[rusqlite::types::Value]>,
    ) -> Result<Differences, MigrateError> {
        Differences::find(table, &self.view, (&self.from, &self.to), after)
    }

    fn count(&self, select: &str, values: &[ValueRef<'_>]) -> Result<u64, MigrateError> {
        let count = self.from.sql().first(select, values, |row: &dyn Row| row.integer(0));
        let count = count.map_err(MigrateError::reading(&self.from.place))?;
        Ok(u64::try_from(count.unwrap_or(0)).unwrap_or(0))
    }

    /// Moves the rest from one state of the source, and holds the target against this state.
    fn last(&mut self, end: Option<LogHead>) -> Result<Moved, MigrateError> {
        self.from.begin_snapshot()?;
        must_be_whole(&self.from)?;
        self.prepare_for_rest(end)?;
        self.to.begin_write(end)?;
        let end = self.rest_of_log(end)?;
        self.trim()?;
        for table in [&VALUATIONS, &NOTES].into_iter().chain(&SUMS) {
            self.rest_of(table)?;
        }
        self.to.set_end(end, self.from.last_given_id()?)?;
        self.to.commit()?;

        self.to.begin_snapshot()?;
        let moved = self.compare()?;
        self.to.commit()?;
        self.from.commit()?;
        if moved.iter().all(MovedTable::is_equal) {
            self.to.begin_write(end)?;
            self.mark(true)?;
            self.to.commit()?;
        }
        self.to.settle()?;
        let last_id = ValueRef::Integer(end.map_or(i64::MIN, |end| end.last_id));
        let select = r#"SELECT count(*) FROM "ProviderLogs" WHERE "id" > $1"#;
        Ok(Moved { tables: moved, added: self.count(select, &[last_id])? })
    }

    /// Partitions are made in transactions of their own, before the last one.
    fn prepare_for_rest(&self, end: Option<LogHead>) -> Result<(), MigrateError> {
        let after = ValueRef::Integer(end.map_or(i64::MIN, |end| end.last_id));
        let select =
            r#"SELECT DISTINCT substr("requestedAt", 1, 7) FROM "ProviderLogs" WHERE "id" > $1"#;
        let times = self.from.sql().all(select, &[after], |row| {
            Ok(String::from_utf8_lossy(row.value(0)?.as_bytes().unwrap_or_default()).into_owned())
        });
        let times = times.map_err(MigrateError::reading(&self.from.place))?;
        self.to.prepare_for(times.iter().map(String::as_str), Some(self.now))
    }

    fn rest_of_log(&mut self, mut end: Option<LogHead>) -> Result<Option<LogHead>, MigrateError> {
        let mut done = 0;
        while let Some(piece) = LogPiece::read(&self.from, end)? {
            piece.write(&self.to)?;
            done += piece.len();
            self.step("moving the last log rows", done, done)?;
            end = Some(piece.end);
        }
        Ok(end)
    }

    /// Deletes what was archived at the source since an earlier run: the oldest rows and records.
    fn trim(&self) -> Result<(), MigrateError> {
        for (table, key) in [(&ROWS, "id"), (&CHAIN, "lastId")] {
            let select = format!(r#"SELECT coalesce(min("{key}"), $1) FROM "{}""#, table.name);
            let none = [ValueRef::Integer(i64::MAX)];
            let first = self.from.sql().first(&select, &none, |row| row.integer(0));
            let first = first.map_err(MigrateError::reading(&self.from.place))?;
            let delete = format!(r#"DELETE FROM "{}" WHERE "{key}" < $1"#, table.name);
            let first = rusqlite::types::Value::Integer(first.unwrap_or(i64::MAX));
            self.to.execute(&delete, &[first])?;
        }
        Ok(())
    }

    fn rest_of(&mut self, table: &Table) -> Result<(), MigrateError> {
        let (mut after, mut done) = (None, 0);
        loop {
            let found = self.differences(table, after.as_deref())?;
            found.write(table, &self.to)?;
            done += found.rows;
            self.step("moving sums, history and valuations", done, done)?;
            after = found.end;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn compare(&mut self) -> Result<Vec<MovedTable>, MigrateError> {
        let Self { from, to, view, step, .. } = self;
        let tables = [&VALUATIONS, &ROWS, &CHAIN].into_iter().chain(&SUMS).chain([&NOTES]);
        let tables: Vec<_> = tables.collect();
        let mut all = 0;
        for table in &tables {
            let select = format!("SELECT count(*) FROM {}", view.of(table));
            let count = from.sql().first(&select, &[], |row| row.integer(0));
            let count = count.map_err(MigrateError::reading(&from.place))?.unwrap_or(0);
            all += 2 * u64::try_from(count).unwrap_or(0);
        }
        let mut done = 0;
        let mut step = |rows| {
            done += rows;
            match step("comparing", done, all) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(MigrateError::Stopped),
            }
        };
        let moved = tables.iter().map(|table| MovedTable::read(table, view, (from, to), &mut step));
        moved.collect()
    }
}
