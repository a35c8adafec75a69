//! The providers' APIs, as far as they are simulated: one entry per provider.

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::domain::{Provider, Vrm};

/// A vehicle, and its mileage if the API takes one.
type Requested = (Vrm, Option<f64>);

/// What is a provider's own in its requests and answers.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) provider: Provider,
    /// The requested vehicle and mileage, if it is the provider's resource.
    pub(super) requested: fn(&Uri) -> Option<Requested>,
    /// The lower value, and the least distance to the upper one, in per cent. They tell the providers
    /// apart.
    level: u64,
    spread: u64,
    pub(super) content_type: &'static str,
    /// Of a lower and an upper value.
    pub(super) body: fn(u64, u64) -> String,
}

static APIS: [Api; 2] = [
    Api {
        provider: Provider::SuperCar,
        requested: |uri| {
            let segment = uri.path().strip_prefix("/valuations/")?;
            let vrm = percent_decode_str(segment).decode_utf8().ok()?;
            let vrm = (!segment.contains('/')).then(|| Vrm::parse(&vrm).ok())??;
            Some((vrm, parameter(uri, "mileage").and_then(|miles| miles.parse().ok())))
        },
        level: 100,
        spread: 5,
        content_type: "application/json",
        body: |lower, upper| {
            format!(
                "{{\"vin\":\"2HSCNAPRX7C385251\",\
                 \"registrationDate\":\"2012-06-14T00:00:00.0000000\",\
                 \"plate\":{{\"year\":2012,\"month\":4}},\
                 \"valuation\":{{\"lowerValue\":{lower},\"upperValue\":{upper}}}}}"
            )
        },
    },
    Api {
        provider: Provider::Premium,
        requested: |uri| {
            let vrm = (uri.path() == "/valueCar").then(|| parameter(uri, "vrm"))??;
            Some((Vrm::parse(&vrm).ok()?, None))
        },
        level: 95,
        spread: 8,
        content_type: "application/xml; charset=UTF-8",
        body: |lower, upper| {
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
            )
        },
    },
];

impl Api {
    /// The API of a provider, if it is simulated.
    pub(super) fn of(provider: Provider) -> Option<&'static Self> {
        APIS.iter().find(|api| api.provider == provider)
    }

    /// The lower and the upper value in pounds: plausible, and the same for the same request.
    pub(super) fn values(&self, vrm: &str, mileage: Option<f64>) -> (u64, u64) {
        let hash = hash(vrm);
        // Without miles between 6,000 and 46,000; the miles take off at most half of it.
        let new = 6_000 + hash % 40_000;
        let miles = mileage.unwrap_or(30_000.0).clamp(0.0, 200_000.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 200,000"
        )]
        let worn = new - new * (miles as u64) / 400_000;
        let lower = worn * self.level / 100;
        let upper = lower + lower * (self.spread + hash / 40_000 % 8) / 100;
        (lower / 50 * 50, upper / 50 * 50)
    }
}

fn parameter(uri: &Uri, wanted: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

/// FNV-1a: small, and the same in every build.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plausible_for_any_vehicle_and_mileage() {
        for vrm in ["AA99BCD", "a", "🚗🚗🚗", "PL8"] {
            for mileage in [None, Some(1.0), Some(10_000.0), Some(f64::MAX)] {
                for api in &APIS {
                    let (lower, upper) = api.values(vrm, mileage);
                    assert!((2_000..50_000).contains(&lower), "{lower}");
                    assert!((lower..60_000).contains(&upper), "{upper}");
                    assert_eq!((lower, upper), api.values(vrm, mileage));
                }
            }
        }
        let [supercar, premium] = APIS.each_ref().map(|api| api.values("AA99BCD", Some(1.0)));
        assert_ne!(supercar, premium);
    }
}
