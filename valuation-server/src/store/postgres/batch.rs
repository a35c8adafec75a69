//! The entries of one transaction, in two round trips: the valuations and the head of the log; then the log rows,
//! what is derived from them, and the commit.
//!
//! The statements of a round trip are sent together. If one fails, the server refuses those after it, and
//! the commit does nothing.

use std::cell::Cell;
use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use futures_util::future::{join, join_all, join4};
use rusqlite::types::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::columns::{Column, VALUES, columns};
use super::error::PgError;
use super::recorder::{self, Recorder};
use super::session::Session;
use super::statements::{BEFORE_COMMIT, INSERT_ROW, Statements};
use super::value::{Answer, Parameter};
use crate::domain::{LogHead, Provider, Valuation};
use crate::store::derived;
use crate::store::engine::{WriteError, Written};
use crate::store::logs::Stored;
use crate::store::queue::Job;
use crate::store::sql::{self, SqlError, ValueRef};
use crate::store::valuation_row;

/// No statement of ours has fewer parameters than it has values: see `Statements`.
type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// Stores all entries in one transaction, or none. `begin` begins it.
pub(super) fn write(
    session: Session<'_>,
    statements: &Statements,
    begin: &str,
    jobs: &[Job],
) -> Result<Written, WriteError> {
    let valuations: Vec<_> = jobs.iter().filter_map(|job| job.entry.valuation.as_ref()).collect();
    let begun = session.wait(begun(session.client, statements, begin, &valuations))?;
    let mut written = Written { stored: Vec::new(), rows: begun.inserted, head: None };
    for Job { entry, .. } in jobs {
        written.stored.push(match &entry.valuation {
            None => Ok(None),
            Some(valuation) => match begun.found.get(valuation.vrm.as_str()) {
                Some(row) => valuation_row::read(&valuation.vrm, row).map(Some),
                // Another program has deleted it between the two statements.
                None => Ok(Some(valuation.clone())),
            },
        });
    }
    let calls = jobs.iter().flat_map(|job| &job.entry.calls).map(Stored::of);
    let rows: Vec<_> =
        (begun.head.last_id + 1..).zip(calls).map(|(id, call)| LogRow::of(id, &call)).collect();
    written.rows += rows.len() as u64;

    let recorder = Recorder::default();
    written.head =
        derived::follow(&recorder, begun.head, rows.iter().map(|row| row as &dyn sql::Row))?;
    let mut writes = recorder.into_written();
    let rows: Vec<_> = rows.into_iter().map(|row| row.0).collect();
    writes.insert(0, recorder::Written { sql: INSERT_ROW.to_owned(), rows });
    let unsent = Cell::new(false);
    let ended = session.wait(ended(session.client, statements, (&writes, written.head), &unsent));
    match (ended, written.head) {
        (Ok(()), _) => Ok(written),
        (Err(error), Some(head)) if !error.is_refusal() && !unsent.get() => {
            Err(WriteError::InDoubt(error.into(), head))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Does what a batch does, without rows: the statements must fit the tables, and this role must have the right to
/// run them.
pub(super) fn rehearse(
    session: Session<'_>,
    statements: &Statements,
    begin: &str,
) -> Result<(), SqlError> {
    let client = session.client;
    let rehearsed = session.wait(async {
        client.batch_execute(begin).await?;
        let head = head_of(client.query_opt(&statements.lock_head, &[]).await?)?;
        let inserts = statements.writes.iter().filter(|(sql, _)| sql.contains(VALUES));
        for statement in inserts.map(|(_, many)| many).chain([&statements.insert_valuations]) {
            client.execute(statement, &parameters(&columns(&[], statement.params().len()))).await?;
        }
        client.execute(&statements.set_head, &[&head.last_id, &head.hash.as_slice()]).await?;
        client.batch_execute(&format!("{BEFORE_COMMIT}; COMMIT")).await?;
        Ok::<_, PgError>(())
    });
    rehearsed.map_err(Into::into)
}

/// What the first round trip gives.
struct Begun {
    head: LogHead,
    inserted: u64,
    /// By vehicle.
    found: HashMap<String, Answer>,
}

async fn begun(
    client: &ClientWrapper,
    statements: &Statements,
    begin: &str,
    valuations: &[&Valuation],
) -> Result<Begun, PgError> {
    let rows: Vec<_> = valuations.iter().map(|valuation| valuation_values(valuation)).collect();
    let values = columns(&rows, 4);
    let vrms: Vec<_> = valuations.iter().map(|valuation| valuation.vrm.as_str()).collect();
    let insert = async {
        if rows.is_empty() {
            return Ok(0);
        }
        client.execute(&statements.insert_valuations, &parameters(&values)).await
    };
    let find = async {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        client.query(&statements.find_all, &[&vrms]).await
    };
    // Each is sent when it is polled for the first time: in this order.
    let (began, head, inserted, found) = join4(
        client.batch_execute(begin),
        client.query_opt(&statements.lock_head, &[]),
        insert,
        find,
    )
    .await;
    began?;
    let (head, inserted, found) = (head_of(head?)?, inserted?, found?);
    let by_vehicle = |row: Row| Ok::<_, PgError>((row.try_get(3)?, Answer(row)));
    Ok(Begun {
        head,
        inserted,
        found: found.into_iter().map(by_vehicle).collect::<Result<_, _>>()?,
    })
}

/// Sets `unsent` if a statement could not be sent, and then does not commit what the others have written.
async fn ended(
    client: &ClientWrapper,
    statements: &Statements,
    (writes, head): (&[recorder::Written], Option<LogHead>),
    unsent: &Cell<bool>,
) -> Result<(), PgError> {
    let write = async |write: &recorder::Written| {
        let Some(statement) = statements.writes.get(write.sql.as_str()) else {
            return Err(PgError::Unprepared(write.sql.clone()));
        };
        if write.sql.contains(VALUES) {
            let values = columns(&write.rows, statement.params().len());
            client.execute(statement, &parameters(&values)).await?;
            return Ok(());
        }
        for row in &write.rows {
            let values: Vec<_> = row.iter().map(|value| Parameter(value.into())).collect();
            let values: Parameters<'_> = values.iter().map(|value| value as _).collect();
            client.execute(statement, &values).await?;
        }
        Ok(())
    };
    let failed = Cell::new(false);
    let failed = &failed;
    let writes = writes
        .iter()
        .filter(|write| !write.rows.is_empty())
        .map(|rows| async move { write(rows).await.inspect_err(|_| failed.set(true)) });
    let set_head = async {
        if let Some(LogHead { last_id, hash }) = head {
            let set = client.execute(&statements.set_head, &[&last_id, &hash.as_slice()]).await;
            set.inspect_err(|_| failed.set(true))?;
        }
        Ok::<_, PgError>(())
    };
    let commit = async {
        // Polled after the others, each of which has been sent by now or has failed.
        if failed.get() {
            unsent.set(true);
            return Ok(());
        }
        let (lifted, committed) =
            join(client.batch_execute(BEFORE_COMMIT), client.batch_execute("COMMIT")).await;
        lifted.and(committed).map_err(PgError::from)
    };
    let (written, (set, committed)) = join(join_all(writes), join(set_head, commit)).await;
    written.into_iter().collect::<Result<(), _>>()?;
    set?;
    committed
}

fn parameters<'a>(columns: &'a [Column<'a>]) -> Parameters<'a> {
    columns.iter().map(|column| column as _).collect()
}

/// The head of the row of `log_head`.
fn head_of(row: Option<Row>) -> Result<LogHead, PgError> {
    let row = row.ok_or(PgError::NoHead)?;
    let hash: &[u8] = row.try_get(1)?;
    let hash = hash.try_into().map_err(|_| PgError::Head(hash.len()))?;
    Ok(LogHead { last_id: row.try_get(0)?, hash })
}

fn valuation_values(valuation: &Valuation) -> Vec<Value> {
    vec![
        Value::Text(valuation.vrm.as_str().to_owned()),
        Value::Text(valuation.lowest.to_string()),
        Value::Text(valuation.highest.to_string()),
        valuation
            .provider
            .map(Provider::name)
            .map_or(Value::Null, |name| Value::Text(name.to_owned())),
    ]
}

/// A row of the log, its columns as in [`INSERT_ROW`].
struct LogRow(Vec<Value>);

impl LogRow {
    fn of(id: i64, call: &Stored<'_>) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        let optional = |value: Option<&str>| value.map_or(Value::Null, text);
        Self(vec![
            Value::Integer(id),
            text(call.provider),
            text(&call.requested_at),
            Value::Integer(call.duration_ms),
            call.response_code.map_or(Value::Null, Value::Integer),
            optional(call.error_code),
            text(call.outcome),
            Value::Integer(call.rescue),
            text(call.vrm),
            text(call.url),
            optional(call.error_message.as_deref()),
        ])
    }
}

impl sql::Row for LogRow {
    fn value(&self, column: usize) -> Result<ValueRef<'_>, SqlError> {
        match self.0.get(column) {
            Some(value) => Ok(value.into()),
            None => Err(rusqlite::Error::InvalidColumnIndex(column).into()),
        }
    }
}
