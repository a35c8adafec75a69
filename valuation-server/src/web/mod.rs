//! What people look at: the pages, with their files embedded.
//!
//! It knows the domain alone; the operator's page also the words of the crate `failover`. `http` serves
//! the customer's page, `admin` the operator's. A page is HTML that askama compiles; its script only
//! spares reloads, by showing what the server renders.

pub mod accept;
pub mod assets;
pub mod customer;
pub mod form;
pub mod login;
pub mod openapi;
pub mod operator;
pub mod report;
pub mod site;

pub(crate) mod csv;
pub(crate) mod number;
