//! Shared by the report's tests: rows as another program may insert them, and their sums in plain SQL.

use rusqlite::{Connection, params};

/// A row of `ProviderLogs`.
#[derive(Clone, Debug)]
pub(crate) struct LogRow {
    /// Milliseconds since 1970, or any text.
    pub(crate) at: Result<i64, &'static str>,
    pub(crate) provider: &'static str,
    pub(crate) duration_ms: i64,
    pub(crate) response_code: Option<u16>,
    pub(crate) error_code: Option<&'static str>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) rescue: Option<bool>,
}

/// Inserts rows, as a program without rollups does.
pub(crate) fn insert(conn: &Connection, rows: &[LogRow]) {
    let tx = conn.unchecked_transaction().unwrap();
    let mut insert = tx
        .prepare(
            r#"INSERT INTO "ProviderLogs" ("vrm", "providerName", "requestedAt",
            "requestDurationMs", "requestUrl", "responseCode", "errorCode", "outcome", "rescue")
            VALUES ('V', ?1, ?2, ?3, 'u', ?4, ?5, ?6, ?7)"#,
        )
        .unwrap();
    for row in rows {
        let at = match row.at {
            Ok(ms) => format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap()),
            Err(text) => text.to_owned(),
        };
        insert
            .execute(params![
                row.provider,
                at,
                row.duration_ms,
                row.response_code,
                row.error_code,
                row.outcome,
                row.rescue
            ])
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
}

/// A view of the counted rows of a report, for SQL of the tests' own: `counted(id, minute, provider, ms,
/// outcome, code, rescue)`, with the excluded windows and all outside of the report taken out.
pub(crate) fn view(conn: &Connection, (from, to): (i64, i64), excluded: &[(i64, i64)]) {
    let windows: String = excluded
        .iter()
        .map(|(start, end)| format!(" AND NOT (minute >= {start} AND minute < {end})"))
        .collect();
    conn.execute_batch(&format!(
        r#"DROP TABLE IF EXISTS temp.counted;
        CREATE TEMP TABLE counted AS SELECT * FROM (
            SELECT id, unixepoch(requestedAt) / 60 AS minute, providerName AS provider,
                max(requestDurationMs, 0) AS ms, coalesce(errorCode, '') AS code,
                coalesce(rescue, 0) AS rescue,
                CASE WHEN outcome IN ('success', 'failure', 'ignored') THEN outcome
                    WHEN errorCode IS NULL THEN 'success'
                    WHEN errorCode IN ('CANCELLED', 'LOCAL') THEN 'ignored'
                    WHEN errorCode = 'STATUS' AND responseCode BETWEEN 400 AND 499
                        AND responseCode NOT IN (408, 429) THEN 'success'
                    ELSE 'failure' END AS outcome
            FROM ProviderLogs WHERE requestedAt GLOB '????-??-??T??:??:??.???Z')
        WHERE minute >= {from} AND minute < {to}{windows}"#
    ))
    .unwrap();
}

/// One number.
pub(crate) fn number(conn: &Connection, sql: &str) -> u64 {
    conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
        .unwrap()
        .unwrap_or(0)
        .try_into()
        .unwrap()
}
