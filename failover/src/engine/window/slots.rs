//! The windows that a monitor has had: one, unless its policy was swapped.

use std::sync::OnceLock;

use super::Window;
use crate::policy::Policy;

/// The window that a monitor was made with, and those that other policies needed.
///
/// At most one of each kind is added, since that of the last so many calls is added with room for
/// as many as a policy may ask for, and that over time grows.
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

    /// Where the window of that policy is, or will be.
    pub(crate) fn slot(&self, policy: &Policy) -> u64 {
        match policy.last_calls() {
            _ if self.first.can_be(policy) => Self::FIRST,
            Some(_) => Self::COUNT,
            None => Self::TIME,
        }
    }

    /// Makes the window in that slot a policy's. Whoever calls this begins a new epoch before and
    /// after it.
    pub(crate) fn adopt(&self, slot: u64, policy: &Policy) {
        if slot != Self::FIRST {
            // Threads add their shards when they come.
            let new = || Box::new(Window::roomy(policy));
            self.more[usize::from(slot == Self::COUNT)].get_or_init(new);
        }
        self.at(slot).cut(policy);
    }

    /// Erases what was counted in any epoch.
    pub(crate) fn erase(&self) {
        self.first.erase();
        self.more.iter().filter_map(OnceLock::get).for_each(|window| window.erase());
    }

    /// The memory behind them, in bytes, the first itself not included.
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
    fn a_window_is_made_only_where_none_can_be_the_policys_and_its_memory_is_counted() {
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
