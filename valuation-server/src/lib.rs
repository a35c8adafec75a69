//! The valuation server.

pub mod domain;
