//! A fleet of nodes that fail over as one.

pub mod bus;

mod decision;
mod label;
mod members;
mod node;
mod wire;

pub use label::{Label, LabelError, Scope};
pub use wire::{Secret, Suspicion};
