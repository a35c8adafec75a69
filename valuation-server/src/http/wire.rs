//! The JSON of the public side: the body of a PUT, and a valuation.

use std::fmt;
use std::io::Write;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::domain::{Mileage, MileageError, Money, Provider, Valuation};

/// A fault in the body of a PUT. The client gets the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutBodyError {
    /// Empty, or white space only.
    #[error(r#"the body must not be empty: send a JSON object such as {{"mileage": 10000}}"#)]
    Empty,
    /// Not UTF-8.
    #[error("the body must be UTF-8")]
    NotUtf8,
    /// Not JSON, with the position of the error.
    #[error("the body must be JSON: it is not at line {line} column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted in bytes.
        column: usize,
    },
    /// JSON, but not an object.
    #[error(r#"the body must be a JSON object such as {{"mileage": 10000}}"#)]
    NotAnObject,
    /// The member `mileage` is ambiguous.
    #[error("mileage must be given once")]
    Repeated,
    /// Missing, or neither a number in its range nor a string with one.
    #[error(transparent)]
    Mileage(#[from] MileageError),
}

/// Parses the body of a PUT: a JSON object whose member `mileage` is a number of miles, or a string
/// with exactly that. Other members are ignored.
///
/// # Errors
/// [`PutBodyError`] names the fault.
pub fn parse_put(body: &[u8]) -> Result<Mileage, PutBodyError> {
    if body.trim_ascii().is_empty() {
        return Err(PutBodyError::Empty);
    }
    let text = str::from_utf8(body).map_err(|_| PutBodyError::NotUtf8)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let member = json
        .deserialize_map(MileageMember)
        .and_then(|member| json.end().map(|()| member))
        .map_err(|error| match error.classify() {
            Category::Data => PutBodyError::NotAnObject,
            _ => PutBodyError::NotJson { line: error.line(), column: error.column() },
        })?;
    match member {
        Member::Missing => Err(MileageError::NotPositive.into()),
        Member::Repeated => Err(PutBodyError::Repeated),
        Member::Once(raw) => Ok(mileage(raw.get())?),
    }
}

/// The mileage in a JSON value. Taken as text, it keeps a number's digits, and a string stays
/// distinct from a number.
fn mileage(json: &str) -> Result<Mileage, MileageError> {
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(|_| MileageError::NotPositive)?;
            Mileage::parse(&text)
        }
        Some(b'-' | b'0'..=b'9') => Mileage::parse(json),
        _ => Err(MileageError::NotPositive),
    }
}

enum Member<'a> {
    Missing,
    Once(&'a RawValue),
    Repeated,
}

/// Extracts the member `mileage` of an object. A derived visitor would accept an array as well.
struct MileageMember;

impl<'de> Visitor<'de> for MileageMember {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member<'de>, A::Error> {
        let mut member = Member::Missing;
        // Not `&str`: a key with an escape can't be borrowed.
        while let Some(key) = map.next_key::<String>()? {
            if key != "mileage" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value()?;
            member = match member {
                Member::Missing => Member::Once(value),
                Member::Once(_) | Member::Repeated => Member::Repeated,
            };
        }
        Ok(member)
    }
}

/// A valuation as JSON, with exact decimal amounts.
#[must_use]
pub fn valuation_json(valuation: &Valuation) -> Vec<u8> {
    let mut json = Vec::with_capacity(160);
    json.extend_from_slice(br#"{"vrm":"#);
    push_text(&mut json, valuation.vrm.as_str());
    push_amount(&mut json, r#","lowestValue":"#, valuation.lowest);
    push_amount(&mut json, r#","highestValue":"#, valuation.highest);
    push_amount(&mut json, r#","midpointValue":"#, valuation.midpoint());
    json.extend_from_slice(br#","providerName":"#);
    match valuation.provider.map(Provider::name) {
        Some(name) => push_text(&mut json, name),
        None => json.extend_from_slice(b"null"),
    }
    json.push(b'}');
    json
}

fn push_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a text is written to memory");
}

fn push_amount(json: &mut Vec<u8>, key: &str, amount: Money) {
    write!(json, "{key}{amount}").expect("a number is written to memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Vrm;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<String, String> {
        parse_put(body.as_bytes()).map(|m| m.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn takes_a_number_above_zero_or_a_string_that_is_exactly_one() {
        for (body, miles) in [
            (r#"{"mileage":10000}"#, "10000"),
            (r#" { "a":[{"mileage":0}], "mileage" : 10000.50 , "b":1e999 } "#, "10000.5"),
            (r#"{"mileage":1e3}"#, "1000"),
            (r#"{"mileage":"10000"}"#, "10000"),
            (r#"{"mileage":"1\u0030"}"#, "10"),
            (r#"{"mile\u0061ge":7}"#, "7"),
            (r#"{"mileage":1234567.8901234567890}"#, "1234567.8901234567"),
        ] {
            assert_eq!(read(body).as_deref(), Ok(miles), "{body}");
        }
    }

    #[test]
    fn refuses_every_other_mileage_with_one_sentence() {
        for value in [
            "null",
            "true",
            "false",
            "[]",
            "[5]",
            "{}",
            "0",
            "-1",
            "-0.0",
            "1e400",
            "1e-400",
            r#""""#,
            r#"" 5""#,
            r#""5 ""#,
            r#""ten""#,
            r#""NaN""#,
            r#""Infinity""#,
            r#""0x10""#,
            r#""-5""#,
            r#""0""#,
            r#""\ud800""#,
        ] {
            let body = format!(r#"{{"mileage":{value}}}"#);
            let expected = Err("mileage must be a positive number");
            assert_eq!(read(&body).as_deref().map_err(String::as_str), expected, "{body}");
        }
        for value in ["10000001", "1e308", "123456789012345678901234", "1e-9", r#""1e9""#] {
            let body = format!(r#"{{"mileage":{value}}}"#);
            assert_eq!(
                read(&body).unwrap_err(),
                "mileage must be from 0.001 to 10000000",
                "{body}"
            );
        }
        assert_eq!(read("{}").unwrap_err(), "mileage must be a positive number");
        assert_eq!(read(r#"{"Mileage":5}"#).unwrap_err(), "mileage must be a positive number");
    }

    #[test]
    fn refuses_a_mileage_that_is_given_twice() {
        assert_eq!(parse_put(br#"{"mileage":5,"mileage":5}"#), Err(PutBodyError::Repeated));
    }

    #[test]
    fn tells_what_is_no_json_from_what_is_no_object() {
        for body in ["{", "{}x", "mileage=5", "{'mileage':5}", r#"{"mileage":5,}"#, "\u{feff}{}"] {
            let error = parse_put(body.as_bytes()).unwrap_err();
            assert!(matches!(error, PutBodyError::NotJson { .. }), "{body}: {error}");
        }
        for body in ["[]", "[10000]", "5", "null", "true", r#""x""#] {
            assert_eq!(parse_put(body.as_bytes()), Err(PutBodyError::NotAnObject), "{body}");
        }
        assert_eq!(parse_put(b""), Err(PutBodyError::Empty));
        assert_eq!(parse_put(b" \n"), Err(PutBodyError::Empty));
        assert_eq!(parse_put(b"{\"a\":\"\xff\"}"), Err(PutBodyError::NotUtf8));
    }

    #[test]
    fn deep_nesting_is_read_over_without_recursion() {
        let deep = format!(r#"{{"a":{}{},"mileage":5}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(read(&deep).as_deref(), Ok("5"));
    }

    #[test]
    fn writes_amounts_as_plain_decimals_and_an_unknown_provider_as_null() {
        let mut valuation = Valuation {
            vrm: Vrm::parse("A\"\\é").unwrap(),
            lowest: Money::parse("0.10").unwrap(),
            highest: Money::parse("99999999.99").unwrap(),
            provider: None,
        };
        assert_eq!(
            String::from_utf8(valuation_json(&valuation)).unwrap(),
            r#"{"vrm":"A\"\\é","lowestValue":0.1,"highestValue":99999999.99,"midpointValue":50000000.05,"providerName":null}"#
        );
        valuation.provider = Some(Provider::SuperCar);
        let json = String::from_utf8(valuation_json(&valuation)).unwrap();
        assert!(json.ends_with(r#""providerName":"SuperCar Valuations"}"#), "{json}");
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_put(&body);
        }

        #[test]
        fn whatever_looks_like_a_body_is_read_without_a_panic(
            body in r#"[{\[]?"?mileage"?[:,]?"?[-+.eE0-9\\u"{}\[\]a-z ]{0,20}[}\]]?"#
        ) {
            let _ = parse_put(body.as_bytes());
        }

        #[test]
        fn an_accepted_mileage_prints_and_reads_back(
            value in r#"[0-9]{1,20}(\.[0-9]{1,5})?([eE][-+]?[0-9]{1,2})?|"[+0-9.eE-]{1,9}""#
        ) {
            if let Ok(mileage) = parse_put(format!(r#"{{"mileage":{value}}}"#).as_bytes()) {
                prop_assert_eq!(parse_put(format!(r#"{{"mileage":{mileage}}}"#).as_bytes()), Ok(mileage));
                prop_assert_eq!(parse_put(format!(r#"{{"mileage":"{mileage}"}}"#).as_bytes()), Ok(mileage));
            }
        }
    }
}
