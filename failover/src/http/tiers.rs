//! The route of a response, in its extensions.

use std::fmt;
use std::iter;

use http::Response;

use crate::clock::Clock;
use crate::monitor::Monitor;
use crate::name::kept;
use crate::route::Route;

/// The failovers that a response came through, outermost first: in the extensions of a response, like
/// the [`Route`] of the outermost.
///
/// A chain has one failover less than it has services: with a primary, a fallback and a last resort,
/// the outer failover chooses between the primary and the inner one.
///
/// ```
/// use failover::http::{HttpFailoverLayer, Tiers};
/// use failover::{Policy, Route};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # type Body = http_body_util::Full<bytes::Bytes>;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = service_fn(|_: Request<()>| async {
///     Ok::<_, std::io::Error>(Response::new(Body::default()))
/// });
/// let far = HttpFailoverLayer::with_fallback(service, Policy::default()).named("stores");
/// let cache = HttpFailoverLayer::with_fallback(far.layer(service), Policy::default()).named("cache");
/// cache.handle().force(Route::Fallback);
///
/// let response = cache.layer(service).oneshot(Request::new(())).await?;
/// let tiers: &Tiers = response.extensions().get().ok_or("no tiers")?;
/// assert_eq!(tiers.to_string(), "cache: fallback, stores: primary");
/// assert_eq!(tiers.iter().last().unwrap().name(), Some("stores"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tiers {
    outer: Tier,
    inner: Option<Box<Tiers>>,
}

/// A failover that a response came through, and the service that it chose: one of [`Tiers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tier {
    name: Option<&'static str>,
    route: Route,
}

impl Tiers {
    /// All tiers, the outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Tier> {
        iter::successors(Some(self), |tiers| tiers.inner.as_deref()).map(|tiers| tiers.outer)
    }
}

impl Tier {
    /// The name of the failover, if it had one when the service was made.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// The service that it chose; after a rescue, the one that answered.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }
}

/// `name: route`, or only the route of a failover without a name.
impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name {
            write!(f, "{name}: ")?;
        }
        f.write_str(self.route.as_str())
    }
}

/// The tiers with commas between them, the outermost first.
impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, tier) in self.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{tier}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Whether a failover marks its responses, and by which name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(Option<Named>);

/// Empty without a name: one word less in each future.
#[derive(Clone, Copy, Debug)]
struct Named(&'static str);

impl Mark {
    pub(super) fn new<Clk: Clock>(mark: bool, monitor: &Monitor<Clk>) -> Self {
        Self(mark.then(|| Named(monitor.handle().name().map_or("", kept))))
    }

    #[inline]
    pub(super) fn mark<B>(self, response: &mut Response<B>, route: Route) {
        let extensions = response.extensions_mut();
        let Some(Named(name)) = self.0 else {
            // Those of an inner failover say nothing about this one's choice.
            extensions.remove::<Route>();
            extensions.remove::<Tiers>();
            return;
        };
        let name = Some(name).filter(|name| !name.is_empty());
        extensions.insert(route);
        let inner = extensions.insert(Tiers { outer: Tier { name, route }, inner: None });
        if let (Some(inner), Some(tiers)) = (inner, extensions.get_mut::<Tiers>()) {
            tiers.inner = Some(Box::new(inner));
        }
    }
}
