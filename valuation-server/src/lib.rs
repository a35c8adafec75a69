//! The valuation server.
//!
//! ```text
//! main ─► run ─► app ─┬─► http ──────► valuer ──► domain
//!         │           ├─► valuer ────► (its traits Records and Place; app gives it the store)
//!         ├─► cli ─► config ─► providers::BaseUrl, store::Durability
//!         └─► demo    ├─► store ─────► domain
//!                     ├─► providers ─► domain
//!                     ├─► audit ─────► domain
//!                     └─► failover (the crate)
//! ```
//!
//! `providers`, `audit`, `store` and `http` do not know one another. `http` sees the valuer and the
//! domain, and never learns which provider is primary. The crate `failover` is named in `app` and
//! `config` alone. `tests/it/layering.rs` holds these rules against the `use` lines.

pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod http;
pub mod providers;
pub mod store;
pub mod telemetry;
pub mod valuer;

#[cfg(unix)]
mod system;

mod run;
mod signals;
mod unwind;

pub use run::run;
