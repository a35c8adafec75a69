//! The valuation server, for Unix.
//!
//! ```text
//! main ─► run ─► app ─┬─► http ──────► valuer, web ─► domain
//!         │           ├─► admin ─────► web, and its traits Operated and Failover, which app implements
//!         │           ├─► valuer ────► (its traits Records and Permit; app gives it the store)
//!         │           ├─► telemetry ─► reads http, store, valuer and the failover's metrics
//!         ├─► cli ─► config ─► document, providers::BaseUrl, store::Durability
//!         ├─► reload ─► config, document
//!         ├─► tools ─┬─► report ─► store, web
//!         ├─► check ─┼─► store ─────► domain
//!         └─► demo   ├─► providers ─► domain
//!                    ├─► audit ─────► domain
//!                    └─► failover (the crate)
//! ```
//!
//! `providers`, `audit`, `store`, `http` and `admin` do not know one another. `http` sees the valuer,
//! the domain and the pages in `web`, and never learns which provider is primary. The crate `failover` is
//! named in `app`, `config`, `telemetry` and `web::operator` alone. `tests/it/layering.rs` holds these rules
//! against the `use` lines.

pub mod admin;
pub mod app;
pub mod audit;
pub mod check;
pub mod cli;
pub mod config;
pub mod demo;
pub mod document;
pub mod domain;
pub mod http;
pub mod providers;
pub mod reload;
pub mod report;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod valuer;
pub mod web;

mod listener;
mod log_throttle;
mod notify;
mod panics;
mod run;
mod signals;
mod system;
mod write_deadline;

pub use run::run;
