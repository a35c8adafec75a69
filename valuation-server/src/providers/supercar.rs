//! SuperCar Valuations: `GET {base}/valuations/{vrm}?mileage=N`, answered in JSON.

use std::str;
use std::time::Duration;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use url::Url;

use super::service::Api;
use super::{BaseUrl, ClientError, ProviderClient, Transport};
use crate::domain::{Money, Provider, Quote, QuoteError, QuoteRequest};

/// SuperCar at `base`, with a deadline for each whole call.
///
/// # Errors
/// [`ClientError`] if the HTTP client can't be made.
pub fn supercar(
    base: &BaseUrl,
    deadline: Duration,
    transport: &Transport,
) -> Result<ProviderClient, ClientError> {
    let api = Api { provider: Provider::SuperCar, accept: "application/json", url, parse };
    ProviderClient::new(api, base, deadline, transport)
}

fn url(base: &BaseUrl, request: &QuoteRequest) -> Option<Url> {
    let mileage = request.mileage.to_string();
    base.request_url("valuations", Some(request.vrm.as_str()), &[("mileage", &mileage)])
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    valuation: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Values<'a> {
    #[serde(borrow)]
    lower_value: Option<&'a RawValue>,
    #[serde(borrow)]
    upper_value: Option<&'a RawValue>,
}

/// Reads SuperCar's answer: a JSON object whose member `valuation` is an object with the numbers
/// `lowerValue` and `upperValue`. They are read from their text, never through a binary float. Other
/// members are skipped; a repeated one of these makes the answer unusable.
///
/// # Errors
/// [`QuoteError::Unavailable`] says what can't be used. It repeats nothing of the body, which may
/// contain the request's key.
pub fn parse(body: &[u8]) -> Result<Quote, QuoteError> {
    let text = str::from_utf8(body).map_err(|_| QuoteError::unusable("the body is not UTF-8"))?;
    // RFC 8259, section 8.1, allows a reader to ignore a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body: Body<'_> = object(text, "the body")?;
    let valuation = body.valuation.ok_or_else(|| missing("valuation"))?;
    let values: Values<'_> = object(valuation.get(), "valuation")?;
    let lowest = number(values.lower_value, "lowerValue")?;
    let highest = number(values.upper_value, "upperValue")?;
    Quote::new(lowest, highest, Provider::SuperCar)
}

fn object<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, QuoteError> {
    // A derived struct can also be read from an array, by position.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(QuoteError::unusable(format!("{what} is not a JSON object")));
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        QuoteError::unusable(match error.classify() {
            // The members are optional raw values, so that only a repeated one is an error here.
            Category::Data => format!("{what} has a member twice"),
            Category::Eof => format!("{what} breaks off"),
            Category::Syntax | Category::Io => {
                format!("{what} is not JSON (line {line}, column {column})")
            }
        })
    })
}

fn number(value: Option<&RawValue>, name: &str) -> Result<Money, QuoteError> {
    let text = value.ok_or_else(|| missing(name))?.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(QuoteError::unusable(format!("{name} is not a number")));
    }
    Money::parse(text).map_err(|error| QuoteError::unusable(format!("{name}: {error}")))
}

fn missing(name: &str) -> QuoteError {
    QuoteError::unusable(format!("{name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Result<(String, String), String> {
        parse(body.as_bytes())
            .map(|q| (q.lowest().to_string(), q.highest().to_string()))
            .map_err(|e| e.to_string())
    }

    fn pair(lower: &str, upper: &str) -> String {
        format!(r#"{{"valuation":{{"lowerValue":{lower},"upperValue":{upper}}}}}"#)
    }

    #[test]
    fn reads_the_example_of_the_contract() {
        let body = r#"{ "vin": "2HSCNAPRX7C385251",
            "registrationDate": "2012-06-14T00:00:00.0000000", "plate": { "year": 2012, "month": 4 },
            "valuation": { "lowerValue": 22350, "upperValue": 24750 } }"#;
        assert_eq!(read(body), Ok(("22350".into(), "24750".into())));
    }

    #[test]
    fn reads_numbers_exactly_as_they_are_written() {
        for (lower, upper, expected) in [
            ("22350.01", "22350.02", ("22350.01", "22350.02")),
            ("2.235e4", "2235000E-2", ("22350", "22350")),
            ("-0", "0.01", ("0", "0.01")),
            ("0.145", "0.155", ("0.15", "0.16")),
            ("99999999.99", "99999999.99", ("99999999.99", "99999999.99")),
            (" 1 ", "\n2\t", ("1", "2")),
        ] {
            let expected = Ok((expected.0.to_owned(), expected.1.to_owned()));
            assert_eq!(read(&pair(lower, upper)), expected, "{lower} {upper}");
        }
        assert!(read(&format!("\u{feff}{}", pair("1", "2"))).is_ok());
    }

    #[test]
    fn refuses_values_that_are_no_amounts() {
        for (lower, upper, because) in [
            ("null", "1", "lowerValue is missing"),
            ("1", "null", "upperValue is missing"),
            ("\"1\"", "2", "lowerValue is not a number"),
            ("true", "2", "lowerValue is not a number"),
            ("[1]", "2", "lowerValue is not a number"),
            ("{}", "2", "lowerValue is not a number"),
            ("-1", "2", "lowerValue: a value must not be negative"),
            ("-0.001", "2", "lowerValue: a value must not be negative"),
            ("1", "1e400", "upperValue: a value must not exceed 99999999.99"),
            ("2", "1", "the lower value is above the upper one"),
            ("-0", "0.0", "both values are zero"),
            ("0", "0.004", "both values are zero"),
            ("NaN", "1", "the body is not JSON"),
            ("01", "1", "the body is not JSON"),
            (".5", "1", "the body is not JSON"),
            ("+1", "1", "the body is not JSON"),
        ] {
            let error = read(&pair(lower, upper)).unwrap_err();
            assert!(error.contains(because), "{lower} {upper}: {error}");
        }
    }

    #[test]
    fn refuses_bodies_of_another_shape() {
        let twice = r#"{"valuation":{"lowerValue":1,"lowerValue":1,"upperValue":2}}"#;
        let escaped = r#"{"valuation":{"lowerValue":1,"lower\u0056alue":1,"upperValue":2}}"#;
        let deep = format!("{{\"x\":{}", "[".repeat(60_000));
        let junk = format!("{} {{}}", pair("1", "2"));
        for (body, because) in [
            ("", "the body is not a JSON object"),
            ("[]", "the body is not a JSON object"),
            ("[{\"lowerValue\":1,\"upperValue\":2}]", "the body is not a JSON object"),
            ("{}", "valuation is missing"),
            ("{\"valuation\":null}", "valuation is missing"),
            ("{\"valuation\":[1,2]}", "valuation is not a JSON object"),
            ("{\"valuation\":{}}", "lowerValue is missing"),
            ("{\"valuation\":{\"lowerValue\":1}}", "upperValue is missing"),
            ("{\"valuation\":{\"lowerValue\":1,", "the body breaks off"),
            (twice, "valuation has a member twice"),
            (escaped, "valuation has a member twice"),
            ("{\"valuation\":{},\"valuation\":{}}", "the body has a member twice"),
            (&deep, "the body"),
            (&junk, "the body is not JSON"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(because), "{}: {error}", &body[..body.len().min(60)]);
        }
        assert!(parse(b"{\"valuation\xff\":1}").is_err());
        assert!(parse(&[0x1f, 0x8b, 8, 0, 0]).is_err());
    }

    #[test]
    fn an_error_repeats_nothing_of_the_body() {
        for body in [
            "{\"valuation\":\"CANARY\"}".to_owned(),
            "CANARY".to_owned(),
            "{\"CANARY\":CANARY}".to_owned(),
            pair("\"CANARY\"", "1"),
        ] {
            assert!(!read(&body).unwrap_err().contains("CANARY"), "{body}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_what_is_accepted_is_a_range(
            lower in "[-0-9.eE\"nul]{0,12}",
            upper in "[-0-9.eE]{0,12}",
            noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = parse(&noise);
            if let Ok(quote) = parse(pair(&lower, &upper).as_bytes()) {
                prop_assert!(quote.lowest() <= quote.highest());
                prop_assert_eq!(quote.lowest(), Money::parse(&lower).unwrap());
                prop_assert_eq!(quote.highest(), Money::parse(&upper).unwrap());
            }
        }
    }
}
