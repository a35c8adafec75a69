//! A small number for each thread that counts calls.
//!
//! A number belongs to one living thread at a time, in the whole process: whoever holds it is the
//! only writer of the shard with that number in every window, so that counting needs no
//! read-modify-write instruction. Numbers are dealt lowest first and come back when their thread
//! ends, so that they stay as small as the greatest number of counting threads alive at once.

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
        // Without a destructor, so that reading it is one load.
        static MINE: Cell<usize> = const { Cell::new(NONE) };
        // Gives the number back when the thread ends.
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

        /// The lowest number that nobody holds.
        fn deal(&mut self) -> usize {
            let returned = self.returned.pop().map(|Reverse(number)| number);
            returned.unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            })
        }
    }

    static DECK: Mutex<Deck> = Mutex::new(Deck::new());

    /// The right to one number. The deck's lock orders the old holder's last write before the new
    /// holder's first.
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

    /// This thread's number, if it has one already.
    #[inline]
    pub(crate) fn number() -> Option<usize> {
        let mine = MINE.get();
        (mine != NONE).then_some(mine)
    }

    /// Runs `f` with this thread's number.
    #[inline]
    pub(crate) fn with<T>(f: impl FnOnce(usize) -> T) -> T {
        match number() {
            Some(mine) => f(mine),
            None => first(f),
        }
    }

    #[cold]
    fn first<T>(f: impl FnOnce(usize) -> T) -> T {
        let lease = ThreadIdGuard::deal();
        let number = lease.0;
        let mut lease = Some(lease);
        match GUARD.try_with(|held| held.set(lease.take())) {
            Ok(()) => MINE.set(number),
            // The thread is ending and its thread-locals are gone: `lease` still holds the number,
            // for this one call, and gives it back below.
            Err(_) => MINE.set(NONE),
        }
        let result = f(number);
        drop(lease);
        result
    }

    #[cfg(test)]
    mod tests {
        use super::{Deck, Reverse, with};
        use std::sync::Barrier;
        use std::thread;

        #[test]
        fn the_lowest_number_that_nobody_holds_is_dealt() {
            let mut deck = Deck::new();
            assert_eq!([deck.deal(), deck.deal(), deck.deal()], [0, 1, 2]);
            deck.returned.extend([Reverse(1), Reverse(0)]);
            assert_eq!([deck.deal(), deck.deal(), deck.deal()], [0, 1, 3]);
        }

        #[test]
        fn no_two_living_threads_hold_one_number_and_numbers_come_back() {
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
            // Miri takes its time for each thread.
            let (threads, rounds) = if cfg!(miri) { (4, 3) } else { (32, 100) };
            together(threads);
            // Other tests of this process hold numbers too, but never thousands.
            for _ in 0..rounds {
                assert!(together(threads) < 1_000);
            }
        }

        #[test]
        fn a_thread_that_is_ending_still_counts_under_a_number_of_its_own() {
            struct Last;
            impl Drop for Last {
                fn drop(&mut self) {
                    with(|_| ());
                }
            }
            thread_local!(static LAST: Last = const { Last });
            thread::spawn(|| {
                // Registered before the lease, so that it may be dropped after it.
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

    /// This thread's number.
    pub(crate) fn number() -> Option<usize> {
        Some(MINE.with(Cell::get))
    }

    /// Runs `f` with this thread's number.
    pub(crate) fn with<T>(f: impl FnOnce(usize) -> T) -> T {
        let mine = MINE.with(Cell::get);
        f(mine)
    }
}
