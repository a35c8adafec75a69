//! Bytes of Premium's answer: never a panic, and whatever is accepted satisfies the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use valuation_server::domain::{Money, Provider, QuoteError};
use valuation_server::providers::{PremiumRange, parse_premium};

fuzz_target!(|body: &[u8]| {
    for range in [PremiumRange::PrivateSale, PremiumRange::Dealership] {
        match parse_premium(body, range) {
            Ok(quote) => {
                assert!(quote.lowest() <= quote.highest() && quote.highest() <= Money::MAX);
                assert_eq!(quote.provider(), Provider::Premium);
                // Both elements are spelled out: a value out of nothing would be invented.
                let text = std::str::from_utf8(body).expect("only UTF-8 is accepted");
                assert!(text.contains("Minimum") && text.contains("Maximum"));
            }
            Err(QuoteError::Unavailable { message, .. }) => {
                assert!(message.len() < 200 && message.is_ascii(), "{message:?}");
            }
            Err(other) => panic!("a body can't mean {other:?}"),
        }
    }
});
