//! The server as it is seen from outside. One binary; one module per behaviour.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees tests by their attribute, and not their helpers"
)]

mod admin_crowd;
mod admin_guard;
mod admin_login;
mod admin_orders;
mod admin_page;
mod admin_pages;
mod admin_valuations;
mod app_calls;
mod app_client_errors;
mod app_failover;
mod app_hangs;
mod app_harness;
mod app_neighbours;
mod app_options;
mod app_orders;
mod app_paused;
mod app_process;
mod app_restart;
mod app_secrets;
mod app_shortage;
mod app_signals;
mod app_stop;
mod app_unstored;
mod audit;
mod check;
mod cluster;
mod config;
mod config_printed;
mod conforms;
mod demo_fleet;
mod http2;
mod http2_answers;
mod http_connections;
mod http_cors;
mod http_crowd;
mod http_errors;
mod http_floods;
mod http_harness;
mod http_page;
mod http_smuggling;
mod http_stop;
mod http_streams;
mod http_tags;
mod http_traces;
mod http_valuations;
mod layering;
mod openapi;
mod ops;
mod process_harness;
mod providers_faults;
mod providers_http2;
mod providers_proxy;
mod providers_secrets;
mod providers_status;
mod providers_tls;
mod providers_unasked;
mod providers_wire;
mod providers_xml;
mod simulator;
mod store_end;
mod store_files;
mod store_health;
mod store_history;
mod store_older_service;
mod store_support;
mod store_writer;
mod stub;
mod tls_stub;
mod valuer_flights;
mod valuer_stubs;
