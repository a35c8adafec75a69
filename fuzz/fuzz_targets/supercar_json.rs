//! Bytes of SuperCar's answer: never a panic, and whatever is accepted satisfies the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use valuation_server::domain::{Money, Provider, QuoteError};
use valuation_server::providers::parse_supercar;

fuzz_target!(|body: &[u8]| {
    match parse_supercar(body) {
        Ok(quote) => {
            assert!(quote.lowest() <= quote.highest() && quote.highest() <= Money::MAX);
            assert_eq!(quote.provider(), Provider::SuperCar);
            // Written again in the plainest way, it says the same.
            let (lowest, highest) = (quote.lowest(), quote.highest());
            let again =
                format!(r#"{{"valuation":{{"lowerValue":{lowest},"upperValue":{highest}}}}}"#);
            assert_eq!(parse_supercar(again.as_bytes()), Ok(quote));
        }
        Err(QuoteError::Unavailable { message, .. }) => {
            assert!(message.len() < 200 && message.is_ascii(), "{message:?}");
        }
        Err(other) => panic!("a body can't mean {other:?}"),
    }
});
