//! Small ids for threads that count calls.
//!
//! An id belongs to one living thread of the process: the only writer of the shard with that id in
//! every window, so counting needs no read-modify-write. A thread gets the lowest free id and
//! returns it when it ends, so ids stay below the maximum of threads alive at once.

#[cfg(not(failover_loom))]
pub(crate) use dealt::{number, with};
#[cfg(failover_loom)]
pub(crate) use modelled::{number, with};

#[cfg(not(failover_loom))]
mod dealt {
    use std::cell::Cell;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::sync::{Mutex, PoisonError};

    const NONE: usize = usize::MAX;

    thread_local! {
        // Without a destructor, so reading it is one load.
        static MINE: Cell<usize> = const { Cell::new(NONE) };
        // Returns the id when the thread ends.
        static GUARD: Cell<Option<ThreadIdGuard>> = const { Cell::new(None) };
    }

    struct Deck {
        returned: BinaryHeap<Reverse<usize>>,
        next: usize,
    }

    impl Deck {
        const fn new() -> Self {
            Self { returned: BinaryHeap::new(), next: 0 }
        }

        /// Takes the lowest free id.
        fn deal(&mut self) -> usize {
            let returned = self.returned.pop().map(|Reverse(number)| number);
            returned.unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            })
        }
    }

    static DECK: Mutex<Deck> = Mutex::new(Deck::new());

    /// Ownership of one id. The lock orders the old owner's last write before the new owner's
    /// first.
    struct ThreadIdGuard(usize);

    impl ThreadIdGuard {
        fn deal() -> Self {
            Self(DECK.lock().unwrap_or_else(PoisonError::into_inner).deal())
        }
    }

    impl Drop for ThreadIdGuard {
        fn drop(&mut self) {
            MINE.set(NONE);
            let mut deck = DECK.lock().unwrap_or_else(PoisonError::into_inner);
            deck.returned.push(Reverse(self.0));
        }
    }

    /// This thread's id, if it already has one.
    #[inline]
    pub(crate) fn number() -> Option<usize> {
        let mine = MINE.get();
        (mine != NONE).then_some(mine)
    }

    /// Runs `f` with this thread's id.
    #[inline]
    pub(crate) fn with<T>(f: impl FnOnce(usize) -> T) -> T {
        match number() {
            Some(mine) => f(mine),
            None => with_slow(f),
        }
    }

    #[cold]
    fn with_slow<T>(f: impl FnOnce(usize) -> T) -> T {
        let guard = ThreadIdGuard::deal();
        let number = guard.0;
        let mut guard = Some(guard);
        match GUARD.try_with(|held| held.set(guard.take())) {
            Ok(()) => MINE.set(number),
            // The thread is ending and its thread-locals are gone: `guard` owns the id for this one
            // call, and returns it below.
            Err(_) => MINE.set(NONE),
        }
        let result = f(number);
        drop(guard);
        result
    }

    #[cfg(test)]
    mod tests {
        use super::{Deck, Reverse, with};
        use std::sync::Barrier;
        use std::thread;

        #[test]
        fn the_lowest_free_id_is_assigned() {
            let mut deck = Deck::new();
            assert_eq!([deck.deal(), deck.deal(), deck.deal()], [0, 1, 2]);
            deck.returned.extend([Reverse(1), Reverse(0)]);
            assert_eq!([deck.deal(), deck.deal(), deck.deal()], [0, 1, 3]);
        }

        #[test]
        fn living_threads_have_different_ids_and_ids_are_reused() {
            let together = |threads: usize| {
                let barrier = Barrier::new(threads);
                let mut numbers = thread::scope(|scope| {
                    let joins: Vec<_> = (0..threads)
                        .map(|_| {
                            scope.spawn(|| {
                                let number = with(|n| n);
                                barrier.wait();
                                assert_eq!(number, with(|n| n));
                                number
                            })
                        })
                        .collect();
                    joins.into_iter().map(|j| j.join().unwrap()).collect::<Vec<_>>()
                });
                numbers.sort_unstable();
                let held = numbers.len();
                numbers.dedup();
                assert_eq!(held, numbers.len());
                numbers.last().copied().unwrap_or(0)
            };
            // Miri is slow per thread.
            let (threads, rounds) = if cfg!(miri) { (4, 3) } else { (32, 100) };
            together(threads);
            // Other tests of this process own ids too, but never thousands.
            for _ in 0..rounds {
                assert!(together(threads) < 1_000);
            }
        }

        #[test]
        fn a_thread_that_is_ending_still_counts_under_its_own_id() {
            struct Last;
            impl Drop for Last {
                fn drop(&mut self) {
                    with(|_| ());
                }
            }
            thread_local!(static LAST: Last = const { Last });
            thread::spawn(|| {
                // Registered before the guard, so that it may be dropped after it.
                LAST.with(|_| ());
                with(|_| ());
            })
            .join()
            .unwrap();
        }
    }
}

#[cfg(failover_loom)]
mod modelled {
    use std::cell::Cell;

    loom::lazy_static! {
        static ref NEXT: loom::sync::atomic::AtomicUsize = loom::sync::atomic::AtomicUsize::new(0);
    }

    loom::thread_local! {
        static MINE: Cell<usize> = Cell::new(NEXT.fetch_add(1, loom::sync::atomic::Ordering::AcqRel));
    }

    /// This thread's id.
    pub(crate) fn number() -> Option<usize> {
        Some(MINE.with(Cell::get))
    }

    /// Runs `f` with this thread's id.
    pub(crate) fn with<T>(f: impl FnOnce(usize) -> T) -> T {
        let mine = MINE.with(Cell::get);
        f(mine)
    }
}
