//! Premium Car Valuations: `GET {base}/valueCar?vrm=…`, answered in XML.

use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::fetch::Fetch;
use super::target::Target;
use super::{Asking, BaseUrl, ClientError, Transport, ask};
use crate::domain::{Answer, Describe, Failure, Provider, QuoteRequest};

mod xml;

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

/// Premium as a service. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Premium {
    range: PremiumRange,
    fetch: Fetch,
}

impl Premium {
    /// Premium at `base`, with a deadline for each whole call.
    ///
    /// # Errors
    /// [`ClientError`] if the HTTP client can't be made.
    pub fn new(
        base: &BaseUrl,
        range: PremiumRange,
        deadline: Duration,
        transport: &Transport,
    ) -> Result<Self, ClientError> {
        Ok(Self { range, fetch: Fetch::new(base, deadline, transport, "application/xml")? })
    }

    fn target(&self, request: &QuoteRequest) -> Option<Target> {
        self.fetch.asked().target("valueCar", None, &[("vrm", request.vrm.as_str())])
    }
}

impl Describe for Premium {
    fn provider(&self) -> Provider {
        Provider::Premium
    }

    fn url(&self, request: &QuoteRequest) -> Option<String> {
        self.target(request).map(|target| self.fetch.asked().shown(&target))
    }
}

impl Service<QuoteRequest> for Premium {
    type Response = Answer;
    type Error = Failure;
    type Future = Asking;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: QuoteRequest) -> Asking {
        let range = self.range;
        ask(self.fetch.clone(), self.target(&request), request.trace, move |body| {
            parse(body, range)
        })
    }
}
