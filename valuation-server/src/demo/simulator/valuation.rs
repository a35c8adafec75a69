//! The valuations of a simulated provider.

use crate::domain::Provider;

/// The lower and the upper value in pounds: plausible, and the same for the same request.
pub(super) fn values(provider: Provider, vrm: &str, mileage: Option<f64>) -> (u64, u64) {
    let hash = hash(vrm);
    // Without miles between 6,000 and 46,000; the miles take off at most half of it.
    let new = 6_000 + hash % 40_000;
    let miles = mileage.unwrap_or(30_000.0).clamp(0.0, 200_000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 200,000")]
    let worn = new - new * (miles as u64) / 400_000;
    let (lower, spread) = match provider {
        Provider::SuperCar => (worn, 5 + hash / 40_000 % 8),
        // Lower and wider, to tell the providers apart.
        Provider::Premium => (worn * 95 / 100, 8 + hash / 40_000 % 8),
    };
    let upper = lower + lower * spread / 100;
    (lower / 50 * 50, upper / 50 * 50)
}

/// FNV-1a: small, and the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The answer in the provider's own format.
pub(super) fn body(provider: Provider, lower: u64, upper: u64) -> (&'static str, String) {
    match provider {
        Provider::SuperCar => (
            "application/json",
            format!(
                "{{\"vin\":\"2HSCNAPRX7C385251\",\
                 \"registrationDate\":\"2012-06-14T00:00:00.0000000\",\
                 \"plate\":{{\"year\":2012,\"month\":4}},\
                 \"valuation\":{{\"lowerValue\":{lower},\"upperValue\":{upper}}}}}"
            ),
        ),
        Provider::Premium => (
            "application/xml; charset=UTF-8",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<root>\n\
                 \x20 <RegistrationDate>2012-06-14T00:00:00.0000000</RegistrationDate>\n\
                 \x20 <RegistrationYear>2012</RegistrationYear>\n\
                 \x20 <RegistrationMonth>6</RegistrationMonth>\n\
                 \x20 <ValuationPrivateSaleMinimum>{lower}</ValuationPrivateSaleMinimum>\n\
                 \x20 <ValuationPrivateSaleMaximum>{upper}</ValuationPrivateSaleMaximum>\n\
                 \x20 <ValuationDealershipMinimum>{}</ValuationDealershipMinimum>\n\
                 \x20 <ValuationDealershipMaximum>{}</ValuationDealershipMaximum>\n\
                 </root>\n",
                lower * 85 / 100,
                upper * 85 / 100,
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plausible_for_any_vehicle_and_mileage() {
        for vrm in ["AA99BCD", "a", "🚗🚗🚗", "PL8"] {
            for mileage in [None, Some(1.0), Some(10_000.0), Some(f64::MAX)] {
                for provider in [Provider::SuperCar, Provider::Premium] {
                    let (lower, upper) = values(provider, vrm, mileage);
                    assert!((2_000..50_000).contains(&lower), "{lower}");
                    assert!((lower..60_000).contains(&upper), "{upper}");
                    assert_eq!((lower, upper), values(provider, vrm, mileage));
                }
            }
        }
        assert_ne!(
            values(Provider::SuperCar, "AA99BCD", Some(1.0)),
            values(Provider::Premium, "AA99BCD", Some(1.0))
        );
    }
}
