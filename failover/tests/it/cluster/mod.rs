//! A fleet's parts that touch the network.

mod bus_contract;
#[cfg(feature = "cluster-udp")]
mod mesh;
mod node;
