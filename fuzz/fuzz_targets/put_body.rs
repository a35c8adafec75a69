//! The body of a PUT: never a panic, and what is accepted prints and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use valuation_server::http::wire::parse_put;

fuzz_target!(|body: &[u8]| {
    match parse_put(body) {
        Ok(mileage) => {
            assert!(mileage.miles().is_finite() && mileage.miles() > 0.0);
            for again in
                [format!(r#"{{"mileage":{mileage}}}"#), format!(r#"{{"mileage":"{mileage}"}}"#)]
            {
                assert_eq!(parse_put(again.as_bytes()), Ok(mileage), "{again}");
            }
        }
        // The text goes to the client: bounded, and nothing of the body in it.
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 200 && text.is_ascii(), "{text:?}");
        }
    }
});
