//! What the server does, seen from outside. One binary, one module a behaviour.

mod http_connections;
mod http_errors;
mod http_harness;
mod http_valuations;
mod valuer_flights;
mod valuer_stubs;
