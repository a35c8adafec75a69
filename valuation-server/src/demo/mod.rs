//! A world to try the server in.

pub mod simulator;
