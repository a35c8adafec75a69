//! The rows of `vehicle_valuation`, which the older service reads and writes as well.

use rusqlite::{Connection, OptionalExtension, Statement, params};

use crate::domain::{Provider, Valuation, Vrm};
use crate::store::queue::StoredValuation;
use crate::store::valuation_row;

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
        .query_row([vrm.as_str()], |row| Ok(valuation_row::read(vrm, row)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Money;
    use proptest::prelude::*;

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
