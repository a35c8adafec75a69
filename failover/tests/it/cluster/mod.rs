//! A fleet's parts that touch the network.

#[cfg(feature = "cluster-tls")]
mod brokers;
mod bus_contract;
#[cfg(feature = "cluster-tls")]
mod certificates;
#[cfg(feature = "cluster-kafka")]
mod kafka_log;
#[cfg(feature = "cluster-udp")]
mod mesh;
#[cfg(feature = "cluster-nats")]
mod nats_access;
mod node;
#[cfg(feature = "cluster-tls")]
mod program;
#[cfg(feature = "cluster-tls")]
mod proxy;
#[cfg(feature = "cluster-redis")]
mod redis_modes;
