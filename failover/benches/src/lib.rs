//! What a call through `failover` costs, beside a bare `service_fn`, beside a floor, and beside the
//! neighbours. One command measures all of it and prints one Markdown table:
//!
//! ```console
//! $ cargo bench --manifest-path failover/benches/Cargo.toml
//! ```
//!
//! # How it is measured
//! - A call is what a caller of a tower service does: `poll_ready`, `call`, and the future polled to
//!   its end. What is no tower service is wrapped into one (`peers`), without a box or a reference
//!   count that it would not have anyway.
//! - A round gives each row a slice of a few milliseconds, in turn, beginning with another row each
//!   time; the bare call and the floor are rows like all others. What is printed is the median over
//!   the rounds of the difference to the bare call *of the same round*, and the quartiles beside it.
//!   So a machine that changes its speed falls on all rows alike. Time is the processor's, by the
//!   thread's own clock, and for tasks by the process's: a busy machine takes less part in it.
//! - The floor is one relaxed `fetch_add` in a cache line that only the thread itself writes: less
//!   than what any count that is shared by reference costs.
//! - Two threads call clones of one service at once; each has its own time, and the mean of the two
//!   is a round's value. Slices in which one of them had to wait for a processor are left out. Eight tasks on a runtime of two workers yield after every 64 calls.
//! - Allocations are counted by the binary `allocations`, whose allocator does nothing else
//!   differently; instructions by the binary `instructions` under valgrind, if it is on the `PATH`.
//!   There the clock is a system call, whose instructions are the kernel's and not in the figure.
//! - Each row is asked, when it has been measured, whether it was what it says: whether calls still
//!   go where they should.
//!
//! The build is the default one of `cargo bench`: optimised, no link-time optimisation, since that
//! is what users have unless they ask for more.

pub mod measure;
mod peers;
pub mod rows;
mod services;
pub mod subject;
pub mod table;
