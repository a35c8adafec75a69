//! The valuation server.

pub mod domain;
pub mod store;
