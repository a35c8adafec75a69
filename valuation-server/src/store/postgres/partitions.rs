//! The partitions of `ProviderLogs`: one per month.
//!
//! They are made two months ahead, so that each row finds one. A row of any other time goes to
//! `ProviderLogs_other`, and is moved when its month's partition is made.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::error::PgError;
use super::log::has_table;
use super::session::Session;
use crate::store::sql::SqlError;

/// How many months have a partition: this one and the next two.
const MONTHS: usize = 3;

/// The years of the rows that get partitions.
const YEARS: RangeInclusive<i16> = 2000..=2099;

/// How long a new partition waits for readers of the others. It is months early, and is tried again.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '200ms'";

/// A month, as it stands in the name of its partition and in the times of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct Month(Date);

impl Month {
    /// The month of a time, in UTC.
    pub(in crate::store) fn of(at: SystemTime) -> Self {
        let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
        Self(at.to_zoned(TimeZone::UTC).date().first_of_month())
    }

    /// The month of a row, by its time as text. `None` if it is none, or so far away that the clock was wrong.
    pub(in crate::store) fn of_text(requested_at: &str) -> Option<Self> {
        let (year, month) = requested_at.get(..7)?.split_once('-')?;
        let day = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        // Neither a sign nor a missing digit: the text must begin with that of the month.
        let month = Self(day);
        let is_it = YEARS.contains(&day.year()) && requested_at.starts_with(&month.start());
        is_it.then_some(month)
    }

    fn next(self) -> Self {
        // Only the year 9999 has no next month.
        Self(self.0.checked_add(1.month()).unwrap_or(self.0))
    }

    /// The name of its partition.
    pub(in crate::store) fn partition(self) -> String {
        format!("ProviderLogs_{}", self.0.strftime("%Y_%m"))
    }

    /// The text that its first row's time is not below.
    fn start(self) -> String {
        self.0.strftime("%Y-%m").to_string()
    }
}

/// Makes the partitions of the months from that of `now` that are missing.
///
/// # Errors
/// Those after the first that fails are not made.
pub(super) fn ensure(session: &Session<'_>, now: SystemTime) -> Result<(), SqlError> {
    let months = std::iter::successors(Some(Month::of(now)), |month| Some(month.next()));
    for month in months.take(MONTHS) {
        ensure_month(session, month)?;
    }
    Ok(())
}

/// Makes the partition of a month if it is missing, in a transaction of its own.
///
/// # Errors
/// It is not made.
pub(super) fn ensure_month(session: &Session<'_>, month: Month) -> Result<(), SqlError> {
    if !has_table(session, &month.partition())? {
        make(session, month)?;
        tracing::info!(partition = month.partition(), "a partition of ProviderLogs was made");
    }
    Ok(())
}

/// In one transaction, with the rows of that month that are in `ProviderLogs_other`: while they are moved,
/// nobody adds to these. A server that waited for the lock finds the partition made.
fn make(session: &Session<'_>, month: Month) -> Result<(), PgError> {
    let (name, start, end) = (month.partition(), month.start(), month.next().start());
    let made = session.batch(&format!(
        r#"BEGIN ISOLATION LEVEL READ COMMITTED;
        {LOCK_WAIT};
        LOCK TABLE "ProviderLogs_other" IN ACCESS EXCLUSIVE MODE;
        DO $$
        BEGIN
            IF to_regclass('"{name}"') IS NULL THEN
                CREATE TABLE "{name}" (LIKE "ProviderLogs" INCLUDING ALL);
                WITH "moved" AS (
                    DELETE FROM "ProviderLogs_other"
                    WHERE "requestedAt" >= '{start}' AND "requestedAt" < '{end}' RETURNING *
                )
                INSERT INTO "{name}" SELECT * FROM "moved";
                ALTER TABLE "ProviderLogs" ATTACH PARTITION "{name}" FOR VALUES FROM ('{start}') TO ('{end}');
            END IF;
        END
        $$;
        COMMIT"#
    ));
    made.inspect_err(|_| {
        // Ends the failed transaction. If that fails, the connection is broken, and the next use tells.
        let _ = session.batch("ROLLBACK");
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_month_has_the_name_of_its_partition_and_the_bounds_of_its_times() {
        let at = |seconds| Month::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        // 2026-12-31T23:59:59Z, and a second later.
        let (december, january) = (at(1_798_761_599), at(1_798_761_600));
        assert_eq!(
            (december.partition().as_str(), december.start().as_str()),
            ("ProviderLogs_2026_12", "2026-12")
        );
        assert_eq!(december.next(), january);
        for (text, month) in [
            ("2026-12-31T23:59:59.999Z", Some(december)),
            ("2027-01", Some(january)),
            ("1970-01-01T00:00:00.000Z", None),
            ("+026-12-31", None),
            ("2026-13-01", None),
            ("2026-1-01T", None),
            ("yesterday", None),
        ] {
            assert_eq!(Month::of_text(text), month, "{text}");
        }
        assert!("2026-12-31T23:59:59.999Z" < january.start().as_str());
        assert!("2027-01-01T00:00:00.000Z" > january.start().as_str());
    }
}
