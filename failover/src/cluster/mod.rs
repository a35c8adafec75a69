//! A fleet of nodes that fail over as one.

pub mod bus;
