//! A failover's state at one moment.

use std::time::Duration;

use crate::route::Route;
use crate::state::State;
use crate::tally::Tally;

/// A failover's state at one moment.
#[cfg_attr(
    feature = "serde",
    doc = "
With the feature `serde` it is an answer to a request for the status. Unknown fields are ignored
when it is read, so that a newer version may say more. Missing counts are 0, a missing `dry_run` is
false, and a missing `reverts_in` is `None`; the other fields are required.

```
use failover::{Monitor, Policy, Snapshot};

let handle = Monitor::new(Policy::default()).handle();
let status = serde_json::to_string(&handle.snapshot())?;
assert!(status.starts_with(r#\"{\"route\":\"primary\",\"advised\":\"primary\",\"state\":\"primary\"\"#));
assert_eq!(serde_json::from_str::<Snapshot>(&status)?, handle.snapshot());
# Ok::<(), serde_json::Error>(())
```"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The route of a call made now.
    pub route: Route,
    /// The route by the policy. Differs from `route` only in a
    /// [dry run](crate::policy::PolicyBuilder::dry_run).
    pub advised: Route,
    /// The state; in a [dry run](crate::policy::PolicyBuilder::dry_run), what it would be.
    pub state: State,
    /// Whether an operator forced the route.
    pub forced: bool,
    /// Whether the policy is a [dry run](crate::policy::PolicyBuilder::dry_run), which diverts no
    /// call.
    #[cfg_attr(feature = "serde", serde(default))]
    pub dry_run: bool,
    /// The primary's calls in the window. Empty on the fallback.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tally: Tally,
    /// The primary's current streak of failures. 0 without
    /// [`consecutive_failures`](crate::policy::PolicyBuilder::consecutive_failures).
    #[cfg_attr(feature = "serde", serde(default))]
    pub consecutive_failures: u64,
    /// The primary's calls in flight for too long. 0 without
    /// [`stalled_calls`](crate::policy::PolicyBuilder::stalled_calls).
    #[cfg_attr(feature = "serde", serde(default))]
    pub stalled_calls: u64,
    /// How long until the revert; `None` if no timer runs.
    #[cfg_attr(feature = "serde", serde(default, with = "crate::text::scalar::optional_time"))]
    pub reverts_in: Option<Duration>,
    /// The current epoch, from 0 to 2^20 − 1. Each transition begins a new one;
    /// the first is not always 0.
    pub epoch: u32,
}
