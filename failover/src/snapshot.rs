//! What was true of a failover at one moment.

use std::time::Duration;

use crate::route::Route;
use crate::state::State;
use crate::tally::Tally;

/// What was true at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Where a call would go.
    pub route: Route,
    /// Where the policy would send a call. Other than the route only in a
    /// [dry run](crate::policy::PolicyBuilder::dry_run).
    pub advised: Route,
    /// How calls are routed; in a [dry run](crate::policy::PolicyBuilder::dry_run), how they would be.
    pub state: State,
    /// Whether an operator forced the route.
    pub forced: bool,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// The primary's calls in the window. Empty on the fallback.
    pub tally: Tally,
    /// How many of the primary's calls in a row have failed last. 0 unless the policy asks for
    /// [`consecutive_failures`](crate::policy::PolicyBuilder::consecutive_failures).
    pub consecutive_failures: u64,
    /// How many of the primary's calls have been in flight for too long. 0 unless the policy asks
    /// for [`stalled_calls`](crate::policy::PolicyBuilder::stalled_calls).
    pub stalled_calls: u64,
    /// How long until the revert; `None` where no timer runs.
    pub reverts_in: Option<Duration>,
    /// The number of the running epoch, from 0 to 2^20 − 1. Each transition begins another one.
    pub epoch: u32,
}
