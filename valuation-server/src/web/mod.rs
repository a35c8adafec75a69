//! The pages, with what belongs to them embedded.

pub mod customer;
