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
                // Their names are ASCII in each charset that is accepted.
                let spelled_out = |name: &[u8]| body.windows(name.len()).any(|part| part == name);
                assert!(spelled_out(b"Minimum") && spelled_out(b"Maximum"));
            }
            Err(QuoteError::Unavailable { message, .. }) => {
                assert!(message.len() < 200 && message.is_ascii(), "{message:?}");
            }
            Err(other) => panic!("a body can't mean {other:?}"),
        }
    }
});
