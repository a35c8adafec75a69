//! A row of `vehicle_valuation` as a valuation, whichever program stored it.

use std::fmt;

use super::error::StoreError;
use super::sql::{Row, ValueRef};
use crate::domain::{Money, MoneyError, Provider, Valuation, Vrm};

/// The valuation of a vehicle, of a row with both amounts and the provider's name.
///
/// # Errors
/// [`StoreError::Corrupt`] if the amounts make no sense.
pub(super) fn read(vrm: &Vrm, row: &dyn Row) -> Result<Valuation, StoreError> {
    let corrupt = |problem| StoreError::Corrupt { vrm: vrm.clone(), problem };
    let value = |index: usize, name: &str| {
        let stored = row.value(index)?;
        amount(stored).map_err(|why| corrupt(format!("{name} is {}: {why}", Shown(stored))))
    };
    let (lowest, highest) = (value(0, "lowestValue")?, value(1, "highestValue")?);
    if lowest > highest {
        return Err(corrupt(format!("lowestValue {lowest} is above highestValue {highest}")));
    }
    // An unknown name counts as none.
    let provider = row.value(2).ok().and_then(|name| name.as_str().ok());
    let provider = provider.and_then(Provider::from_name);
    Ok(Valuation { vrm: vrm.clone(), lowest, highest, provider })
}

/// The amount, in whichever type SQLite holds it.
pub(super) fn amount(stored: ValueRef<'_>) -> Result<Money, MoneyError> {
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
pub(super) struct Shown<'a>(pub(super) ValueRef<'a>);

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
    use crate::store::sql::ValueRef::{Blob, Integer, Null, Real, Text};

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
}
