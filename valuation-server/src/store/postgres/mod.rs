//! PostgreSQL: a database that several servers share, its connections, and what is said to it alone.
//!
//! One connection writes, the writer's; a pool of others reads. A thread of their own drives all of them, so that
//! code that blocks its thread can use one as well.
//!
//! Servers take turns by the row of `log_head`, which each transaction that writes locks first: see
//! `statements`. So their rows have one order of ids, and one hash chain.

pub(super) mod address;
pub(super) mod archiving;
mod batch;
mod columns;
pub(super) mod command;
mod connect;
pub(super) mod engine;
pub(super) mod error;
mod link;
pub(super) mod log;
pub(super) mod look;
mod migrations;
pub(super) mod open;
pub(super) mod partitions;
mod reactor;
pub(super) mod readers;
mod recorder;
mod session;
mod statements;
mod tls;
mod value;
