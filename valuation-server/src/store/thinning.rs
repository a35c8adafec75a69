//! Thinning: replaces old rows of the history by the sums of longer intervals, and deletes the oldest.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::error::StoreError;
use super::history::{Span, added, columns, floor, sums};
use super::sql::{Sql, SqlError, ValueRef};

/// How many intervals a piece of thinning covers: about a thousand rows, ten milliseconds, for which the
/// entries behind it wait.
const PIECE: i64 = 360;

/// A piece of thinning, and the caller that waits: whether more is to be thinned.
#[derive(Debug)]
pub(super) struct Thinning {
    pub(super) now: SystemTime,
    pub(super) done: oneshot::Sender<Result<bool, StoreError>>,
}

/// Thins the oldest rows that are due, and says whether there are more. It needs a transaction.
pub(super) fn thin(sql: &dyn Sql, now: SystemTime) -> Result<bool, SqlError> {
    let mut more = false;
    for span in Span::ALL {
        let seconds = i64::from(span.seconds());
        let oldest = sql.first(
            r#"SELECT min("at") FROM "history" WHERE "span" = $1"#,
            &[ValueRef::Integer(seconds)],
            |row| row.optional_integer(0),
        )?;
        let longer = span.longer();
        let grid = longer.unwrap_or(span);
        let due = grid.start(now.checked_sub(span.kept()).unwrap_or(UNIX_EPOCH));
        let Some(oldest) = oldest.flatten().filter(|oldest| *oldest < due) else { continue };
        // A whole number of the longer intervals, so that each of them is summed at once.
        let end = floor(oldest, grid).saturating_add(PIECE * seconds).min(due);
        if let Some(longer) = longer {
            let insert = format!(
                r#"INSERT INTO "history" ("span", "at", "source", {columns})
                    SELECT CAST($1 AS bigint), "at" / CAST($1 AS bigint) * CAST($1 AS bigint),
                        "source", {sums} FROM "history"
                    WHERE "span" = $2 AND "at" < $3 GROUP BY 2, "source" {ADDED}"#,
                columns = columns(|name| format!(r#""{name}""#)),
                sums = sums(),
                ADDED = added(),
            );
            let values = [longer.seconds().into(), seconds, end].map(ValueRef::Integer);
            sql.execute(&insert, &values)?;
        }
        let values = [seconds, end].map(ValueRef::Integer);
        sql.execute(r#"DELETE FROM "history" WHERE "span" = $1 AND "at" < $2"#, &values)?;
        more |= end < due;
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Counts;
    use crate::store::history::rows;
    use crate::store::history::tests::{NAMES, add_at, all, at, database, some};
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::collections::BTreeMap;

    fn thin_all(conn: &mut Connection, now: u64) -> u32 {
        let mut pieces = 1;
        while thin(conn, at(now)).unwrap() {
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn two_months_of_traffic_are_bounded_and_thinned_in_small_pieces() {
        let (mut conn, start, day) = (database(), 1_700_000_000_u64, 86_400);
        // A day and six hours of ten seconds, then a row an hour.
        let mut seconds = start;
        let end = start + day + 6 * 3_600;
        while seconds < start + 60 * day {
            add_at(&mut conn, seconds, NAMES.map(|name| (name, some(1))).into());
            seconds += if seconds < end { 10 } else { 3_600 };
        }
        let before = all(&conn);
        assert!(thin_all(&mut conn, end) >= 6, "an hour at a time");
        let of = |conn: &Connection, span: Span| -> u32 {
            let sql = "SELECT count(*) FROM history WHERE span = ?1 AND at < ?2";
            conn.query_row(sql, (span.seconds(), end as i64), |row| row.get(0)).unwrap()
        };
        assert!(of(&conn, Span::TenSeconds) <= 3 * (8_640 + 6));
        assert_eq!(of(&conn, Span::Hour), 0);
        assert_eq!(all(&conn), before);
        assert_eq!(thin_all(&mut conn, end), 1, "nothing is left to do");
        thin_all(&mut conn, start + 60 * day);
        assert_eq!(of(&conn, Span::TenSeconds) + of(&conn, Span::Minute), 0);
        assert!((30 * 3..=31 * 3).contains(&of(&conn, Span::Hour)));
        assert_eq!(all(&conn), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn thinning_keeps_the_sums_and_drops_hours_after_three_years_alone(
            added in proptest::collection::vec(
                (0_u64..5 * 365 * 86_400, 0_usize..3, 1_u64..1_000_000), 0..80,
            ),
            later in proptest::collection::vec(0_u64..6 * 365 * 86_400, 1..4),
        ) {
            let mut conn = database();
            let mut naive = BTreeMap::<(u64, &str), Counts>::new();
            for (seconds, name, seed) in added {
                add_at(&mut conn, seconds, vec![(NAMES[name], some(seed))]);
                let hour = seconds - seconds % 3_600;
                *naive.entry((hour, NAMES[name])).or_default() += &some(seed);
            }
            // Not in order: the clock may step back between two times.
            for now in later {
                thin_all(&mut conn, now);
                let kept = now.saturating_sub(Span::Hour.kept().as_secs()) / 3_600 * 3_600;
                naive.retain(|(hour, _), _| *hour >= kept);
                let mut sums = BTreeMap::<String, Counts>::new();
                for ((_, name), counts) in &naive {
                    *sums.entry((*name).to_owned()).or_default() += counts;
                }
                prop_assert_eq!(all(&conn), sums);
                for span in Span::ALL {
                    let oldest = rows(&conn, span, UNIX_EPOCH).unwrap();
                    let oldest = oldest.first().map_or(u64::MAX, |row| row.at);
                    let grid = span.longer().unwrap_or(span).seconds();
                    let due = now.saturating_sub(span.kept().as_secs());
                    prop_assert!(oldest >= due - due % u64::from(grid));
                }
                let misplaced: i64 = conn
                    .query_row("SELECT count(*) FROM history WHERE at % span <> 0", [], |row| {
                        row.get(0)
                    })
                    .unwrap();
                prop_assert_eq!(misplaced, 0);
            }
        }
    }
}
