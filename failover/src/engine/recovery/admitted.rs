//! Where a call goes.

use super::ProbeLease;
use crate::engine::phase::{Epoch, Phase};
use crate::route::Route;

/// Where a call goes, in which epoch, and the permit that it holds if it is a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) route: Route,
    pub(crate) epoch: Epoch,
    pub(crate) probe: Option<ProbeLease>,
}

/// What a call that waits has to do with the permits of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    None,
    /// It would take one, if one came free.
    Wanted,
    /// It has one, with this lease.
    Held(ProbeLease),
}

impl Admitted {
    #[inline]
    pub(crate) fn to(route: Route, phase: Phase) -> Self {
        Self { route, epoch: phase.admits_in(), probe: None }
    }
}
