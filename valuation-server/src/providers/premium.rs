//! Premium Car Valuations: `GET {base}/valueCar?vrm=…`, answered in XML.

mod xml;

use std::time::Duration;

use super::service::Api;
use super::{BaseUrl, ClientError, ProviderClient, Transport};
use crate::domain::Provider;

pub use xml::parse;

/// Which of Premium's two pairs of values is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PremiumRange {
    /// Sold from one person to another.
    #[default]
    PrivateSale,
    /// Sold by a dealer.
    Dealership,
}

impl PremiumRange {
    /// The elements that hold the lower and the upper value.
    const fn elements(self) -> [&'static str; 2] {
        match self {
            Self::PrivateSale => ["ValuationPrivateSaleMinimum", "ValuationPrivateSaleMaximum"],
            Self::Dealership => ["ValuationDealershipMinimum", "ValuationDealershipMaximum"],
        }
    }
}

/// Premium at `base`, with a deadline for each whole call.
///
/// # Errors
/// [`ClientError`] if the HTTP client can't be made.
pub fn premium(
    base: &BaseUrl,
    range: PremiumRange,
    deadline: Duration,
    transport: &Transport,
) -> Result<ProviderClient, ClientError> {
    let api = Api {
        provider: Provider::Premium,
        accept: "application/xml",
        url: |base, request| base.request_url("valueCar", None, &[("vrm", request.vrm.as_str())]),
        parse: match range {
            PremiumRange::PrivateSale => |body| parse(body, PremiumRange::PrivateSale),
            PremiumRange::Dealership => |body| parse(body, PremiumRange::Dealership),
        },
    };
    ProviderClient::new(api, base, deadline, transport)
}
