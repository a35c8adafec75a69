//! The algorithm. It reads no clock: the time is an argument.
//!
//! `transitions` owns the phase and `evidence` the counts. [`Engine`] joins them: `admission`,
//! `counting`, `dropped`, `evaluate`, `look`, `view`, `reconfigure` and `restore` use both.

mod admission;
mod carried;
mod counting;
mod dropped;
mod evaluate;
mod evidence;
pub(crate) mod look;
pub(crate) mod observers;
pub(crate) mod phase;
pub(crate) mod pool;
mod reconfigure;
pub(crate) mod recovery;
mod restore;
mod rules;
pub(crate) mod saved;
mod streak;
pub(crate) mod sync;
pub(crate) mod thread_id;
pub(crate) mod ticket;
pub(crate) mod time;
mod transitions;
mod view;
pub(crate) mod waiters;
mod window;

#[cfg(all(test, failover_loom))]
mod loom;

use crate::clock::Moment;
use crate::engine::evidence::Evidence;
use crate::engine::rules::Options;
use crate::engine::sync::{Ordering, fence};
use crate::engine::transitions::Transitions;
use crate::engine::window::{Dropped, Window, Windows};
use crate::policy::Policy;

/// The state that all clones of one service share.
// In this order: the window's address without an offset saves each call an instruction.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Engine {
    evidence: Evidence,
    pub(crate) transitions: Transitions,
    dropped: Dropped,
}

impl Engine {
    /// `threads`: how many threads can count before more memory is needed.
    pub(crate) fn new(policy: &Policy, origin: Moment, threads: usize) -> Self {
        let options = Options::new(policy, Windows::FIRST);
        Self {
            transitions: Transitions::new(policy, options, origin),
            evidence: Evidence::new(policy, threads),
            dropped: Dropped::new(policy),
        }
    }

    /// The window of the policy in force.
    #[inline]
    fn window(&self) -> &Window {
        self.evidence.window(self.transitions.options())
    }

    /// Erases the counts of all epochs of a retired engine. A call that began before and is
    /// counted at this moment is of an epoch that is over, and is erased before the epochs wrap
    /// around to it.
    pub(crate) fn erase(&self) {
        self.evidence.erase(self.transitions.phase().epoch());
        self.transitions.erased();
    }

    /// Begins a new use of a retired engine, by a policy of the shape that it was made for.
    pub(crate) fn renew(&self, policy: &Policy, origin: Moment) {
        // Ordering: a thread that sees any of the new rules also sees that the old epoch is over.
        fence(Ordering::Release);
        let options = Options::new(policy, Windows::FIRST);
        self.evidence.adopt(policy, options);
        self.dropped.adopt(policy);
        self.transitions.renew(policy, options, origin);
    }

    /// The memory in bytes, without the observers and waiting tasks.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.evidence.bytes() + self.transitions.recovery.bytes();
        size_of::<Self>() + parts + self.dropped.bytes()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests;
