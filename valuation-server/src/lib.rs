//! The valuation server.

pub mod domain;
pub mod http;
pub mod valuer;

mod unwind;
