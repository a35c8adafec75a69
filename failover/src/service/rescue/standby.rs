//! The clone of the other service, for the second attempt of a call.

use crate::service::observed::Observed;

/// Clones a service for a rescue.
pub trait CloneStandby<T> {
    /// The clone.
    fn clone_standby(&self, service: &T) -> T;
}

/// A plain clone. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainClone;

impl<T: Clone> CloneStandby<T> for PlainClone {
    #[inline]
    fn clone_standby(&self, service: &T) -> T {
        service.clone()
    }
}

/// The clone reports its calls as [`rescued`](crate::service::on_call::Call::rescued).
#[derive(Clone, Copy, Debug, Default)]
pub struct RescuedClone;

impl<S: Clone, O: Clone, D: Clone> CloneStandby<Observed<S, O, D>> for RescuedClone {
    #[inline]
    fn clone_standby(&self, service: &Observed<S, O, D>) -> Observed<S, O, D> {
        let mut clone = service.clone();
        clone.attempt = clone.attempt.rescue();
        clone
    }
}
