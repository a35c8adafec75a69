//! The rows of `vehicle_valuation`, which the older service reads and writes as well.

use std::fmt;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};

use crate::domain::{Money, MoneyError, Provider, Valuation, Vrm};
use crate::store::error::StoreError;
use crate::store::queue::StoredValuation;

const FIND: &str = r#"SELECT "lowestValue", "highestValue", "providerName"
    FROM "vehicle_valuation" WHERE "vrm" = ?1"#;

/// Stores a valuation unless its vehicle has one.
pub(super) const INSERT: &str = r#"INSERT INTO "vehicle_valuation"
    ("vrm", "lowestValue", "highestValue", "providerName") VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT ("vrm") DO NOTHING"#;

/// Deletes the valuation of a vehicle, whether or not it makes sense.
pub(super) fn delete(conn: &Connection, vrm: &Vrm) -> rusqlite::Result<bool> {
    let mut delete = conn.prepare_cached(r#"DELETE FROM "vehicle_valuation" WHERE "vrm" = ?1"#)?;
    Ok(delete.execute([vrm.as_str()])? > 0)
}

/// Reads the valuation of a vehicle.
pub(in crate::store) fn find(conn: &Connection, vrm: &Vrm) -> rusqlite::Result<StoredValuation> {
    let found = conn
        .prepare_cached(FIND)?
        .query_row([vrm.as_str()], |row| Ok(from_row(vrm, row)))
        .optional()?;
    Ok(found.transpose())
}

/// Runs [`INSERT`], and says whether the valuation was stored.
pub(super) fn insert(insert: &mut Statement<'_>, valuation: &Valuation) -> rusqlite::Result<bool> {
    // Money is inserted as decimal text. By the columns' affinity SQLite stores whole pounds as
    // INTEGER and all other amounts as the nearest REAL, as the older service does.
    let stored = insert.execute(params![
        valuation.vrm.as_str(),
        valuation.lowest.to_string(),
        valuation.highest.to_string(),
        valuation.provider.map(Provider::name),
    ])?;
    Ok(stored == 1)
}

fn from_row(vrm: &Vrm, row: &Row<'_>) -> Result<Valuation, StoreError> {
    let corrupt = |problem| StoreError::Corrupt { vrm: vrm.clone(), problem };
    let value = |index: usize, name: &str| {
        let stored = row.get_ref(index).map_err(StoreError::unavailable)?;
        amount(stored).map_err(|why| corrupt(format!("{name} is {}: {why}", Shown(stored))))
    };
    let (lowest, highest) = (value(0, "lowestValue")?, value(1, "highestValue")?);
    if lowest > highest {
        return Err(corrupt(format!("lowestValue {lowest} is above highestValue {highest}")));
    }
    // An unknown name counts as none.
    let provider = row.get_ref(2).ok().and_then(|name| name.as_str().ok());
    let provider = provider.and_then(Provider::from_name);
    Ok(Valuation { vrm: vrm.clone(), lowest, highest, provider })
}

/// The amount, in whichever type SQLite holds it.
fn amount(stored: ValueRef<'_>) -> Result<Money, MoneyError> {
    match stored {
        ValueRef::Integer(pounds) => {
            let pounds = u64::try_from(pounds).map_err(|_| MoneyError::Negative)?;
            Money::from_pence(pounds.checked_mul(100).ok_or(MoneyError::TooLarge)?)
        }
        // A REAL stands for the shortest decimal that reads back as it, which the older service shows
        // too.
        ValueRef::Real(pounds) => Money::parse(&pounds.to_string()),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| MoneyError::NotANumber)?;
            Money::parse(text.trim_ascii())
        }
        ValueRef::Null | ValueRef::Blob(_) => Err(MoneyError::NotANumber),
    }
}

/// A stored value as an error message shows it: bounded and printable.
struct Shown<'a>(ValueRef<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ValueRef::Null => f.write_str("NULL"),
            ValueRef::Integer(number) => write!(f, "{number}"),
            ValueRef::Real(number) => write!(f, "{number:?}"),
            ValueRef::Text(text) => {
                let text = String::from_utf8_lossy(&text[..text.len().min(64)]);
                write!(f, "{text:?}")
            }
            ValueRef::Blob(bytes) => write!(f, "a blob of {} bytes", bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::types::ValueRef::{Blob, Integer, Null, Real, Text};

    fn older_table() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            r#"CREATE TABLE "vehicle_valuation" ("vrm" varchar(7) PRIMARY KEY NOT NULL,
            "lowestValue" decimal(10,2) NOT NULL, "highestValue" decimal(10,2) NOT NULL,
            "providerName" varchar)"#,
        )
        .unwrap();
        conn
    }

    #[test]
    fn an_amount_is_read_from_every_type_that_sqlite_may_hold_it_in() {
        for (stored, expected) in [
            (Integer(22350), Ok("22350")),
            (Integer(-1), Err(MoneyError::Negative)),
            (Integer(i64::MAX), Err(MoneyError::TooLarge)),
            (Real(22350.5), Ok("22350.5")),
            (Real(0.1 + 0.2), Ok("0.3")),
            (Real(1.005), Ok("1.01")),
            (Real(-0.0), Ok("0")),
            (Real(-0.01), Err(MoneyError::Negative)),
            (Real(1e300), Err(MoneyError::TooLarge)),
            (Real(f64::INFINITY), Err(MoneyError::NotANumber)),
            (Text(b"22350.50"), Ok("22350.5")),
            (Text(b" 22350 "), Ok("22350")),
            (Text(b"22,350"), Err(MoneyError::NotANumber)),
            (Text(b""), Err(MoneyError::NotANumber)),
            (Text(b"\xff"), Err(MoneyError::NotANumber)),
            (Null, Err(MoneyError::NotANumber)),
            (Blob(b"22350"), Err(MoneyError::NotANumber)),
        ] {
            let read = amount(stored).map(|money| money.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{stored:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_amount_comes_back_exactly_to_us_and_to_the_older_service(
            low in 0..=Money::MAX.pence(),
            high in 0..=Money::MAX.pence(),
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let valuation = Valuation {
                vrm: Vrm::parse("AA99BCD").unwrap(),
                lowest: Money::from_pence(low).unwrap(),
                highest: Money::from_pence(high).unwrap(),
                provider: Some(Provider::Premium),
            };
            let conn = older_table();
            prop_assert!(insert(&mut conn.prepare(INSERT).unwrap(), &valuation).unwrap());
            let ours = find(&conn, &valuation.vrm).unwrap().unwrap();
            prop_assert_eq!(ours, Some(valuation.clone()));

            // The older service's driver gives it the number as a double, which it prints as the
            // shortest decimal.
            let (double, is_a_number): (f64, bool) = conn
                .query_row(
                    "SELECT CAST(highestValue AS REAL), \
                     typeof(highestValue) IN ('integer', 'real') FROM vehicle_valuation",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap();
            prop_assert!(is_a_number);
            prop_assert_eq!(double.to_string(), valuation.highest.to_string());
            prop_assert_eq!((double * 100.0).round(), high as f64);
        }
    }
}
