//! The windows of a monitor: one, unless its policy was swapped.

use std::sync::OnceLock;

use super::Window;
use crate::policy::Policy;

/// The window that a monitor was made with, and those that later policies needed.
///
/// At most one of each kind is added: a count window is added with room for any policy, and a time
/// window grows.
#[derive(Debug)]
pub(crate) struct Windows {
    pub(crate) first: Window,
    more: [OnceLock<Box<Window>>; 2],
}

impl Windows {
    /// The slot of the window that the monitor was made with.
    pub(crate) const FIRST: u64 = 0;
    const TIME: u64 = 1;
    const COUNT: u64 = 2;

    pub(crate) fn new(policy: &Policy, threads: usize) -> Self {
        Self { first: Window::new(policy, threads), more: [OnceLock::new(), OnceLock::new()] }
    }

    /// The window in that slot.
    #[inline]
    pub(crate) fn at(&self, slot: u64) -> &Window {
        if slot == Self::FIRST { &self.first } else { self.at_slow(slot) }
    }

    #[cold]
    fn at_slow(&self, slot: u64) -> &Window {
        self.more[usize::from(slot == Self::COUNT)].get().map_or(&self.first, Box::as_ref)
    }

    /// The slot that the window of a policy has, or will have.
    pub(crate) fn slot(&self, policy: &Policy) -> u64 {
        match policy.last_calls() {
            _ if self.first.can_be(policy) => Self::FIRST,
            Some(_) => Self::COUNT,
            None => Self::TIME,
        }
    }

    /// Makes the window in a slot a policy's. The caller begins a new epoch before and after this.
    pub(crate) fn adopt(&self, slot: u64, policy: &Policy) {
        if slot != Self::FIRST {
            // Each thread adds its shard with its first call.
            let new = || Box::new(Window::roomy(policy));
            self.more[usize::from(slot == Self::COUNT)].get_or_init(new);
        }
        self.at(slot).cut(policy);
    }

    /// Erases the counts of all epochs.
    pub(crate) fn erase(&self) {
        self.first.erase();
        self.more.iter().filter_map(OnceLock::get).for_each(|window| window.erase());
    }

    /// The allocated memory in bytes, without `self`.
    pub(crate) fn bytes(&self) -> usize {
        let more = self.more.iter().filter_map(OnceLock::get);
        self.first.bytes() + more.map(|window| size_of::<Window>() + window.bytes()).sum::<usize>()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn a_window_is_added_only_if_none_fits_the_policy_and_its_memory_is_counted() {
        let of = |calls| Policy::builder().last_calls(calls).build().unwrap();
        let windows = Windows::new(&of(100), 1);
        let first = windows.bytes();
        assert_eq!(first, 128 * 8);
        for (policy, slot) in [(of(128), Windows::FIRST), (of(129), Windows::COUNT)] {
            assert_eq!(windows.slot(&policy), slot);
        }
        windows.adopt(Windows::FIRST, &of(128));
        assert_eq!(windows.bytes(), first);
        let time = Policy::default();
        assert_eq!(windows.slot(&time), Windows::TIME);
        windows.adopt(Windows::TIME, &time);
        let added = size_of::<Window>() + windows.at(Windows::TIME).bytes();
        assert_eq!(windows.bytes(), first + added);
    }
}
