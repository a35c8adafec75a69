//! The valuation server.

pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod http;
pub mod providers;
pub mod store;
pub mod valuer;

mod unwind;
