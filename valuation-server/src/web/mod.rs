//! What people look at: the pages, with their files embedded.
//!
//! It knows the domain alone. `http` serves the customer's page, `admin` the operators'. A page is an
//! HTML file that askama compiles; its script only spares reloads, by showing what the server renders.

pub mod assets;
pub mod customer;
pub mod openapi;
