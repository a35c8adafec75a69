//! What a vehicle is worth.

use super::{Money, Provider, Quote, Vrm};

/// A stored valuation. It never changes once made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valuation {
    /// The vehicle.
    pub vrm: Vrm,
    /// The lower value.
    pub lowest: Money,
    /// The upper value.
    pub highest: Money,
    /// The provider that gave it; `None` in rows of the older service.
    pub provider: Option<Provider>,
}

impl Valuation {
    /// The valuation from a quote.
    #[must_use]
    pub fn from_quote(vrm: Vrm, quote: &Quote) -> Self {
        Self {
            vrm,
            lowest: quote.lowest(),
            highest: quote.highest(),
            provider: Some(quote.provider()),
        }
    }

    /// The mean of the two values, half a penny rounded upwards.
    #[must_use]
    pub fn midpoint(&self) -> Money {
        self.lowest.midpoint(self.highest)
    }
}
