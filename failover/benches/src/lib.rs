//! The cost of a call through `failover`, next to a bare `service_fn`, a floor and three other crates.
//! One command measures everything and prints a Markdown table:
//!
//! ```console
//! $ cargo bench --manifest-path failover/benches/Cargo.toml
//! ```
//!
//! # How it is measured
//! - A call is `poll_ready`, `call`, and the future polled to its end. A crate that is not a tower
//!   service is wrapped in one (`peers`), without an additional box or reference count.
//! - A round gives each row, the bare call and the floor included, a slice of a few milliseconds; each
//!   round begins with another row. The table shows the median and the quartiles, over the rounds, of
//!   the difference from the bare call *of the same round*, so changes of the machine's speed affect
//!   all rows alike. Time is processor time, of the thread or, for tasks, of the process: other load
//!   has less effect.
//! - The floor is one relaxed `fetch_add` in a cache line that only this thread writes: less than any
//!   shared counter costs.
//! - Two threads call clones of one service at once; each has its own time, and the mean of the two
//!   is a round's value. Slices in which one of them had to wait for a processor are left out.
//! - Eight tasks on a runtime of two workers yield after every 64 calls.
//! - The binary `allocations` counts allocations; the binary `instructions` counts instructions under
//!   valgrind, if that is on the `PATH`. There the clock is a system call, whose instructions in the
//!   kernel are not counted.
//! - After its measurement each row is checked: calls still take the expected route.
//!
//! The build is the default one of `cargo bench`, as most users have it: optimised, without link-time
//! optimisation.

pub mod measure;
mod peers;
pub mod rows;
mod services;
pub mod subject;
pub mod table;
