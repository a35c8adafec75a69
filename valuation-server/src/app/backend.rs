//! The database as the configuration has it.

use crate::config::{Config, Location};
use crate::store::{Backend, PostgresAddress, PostgresConfig, SqliteConfig};
use crate::system::host_name;

/// The database; a file is read through this many connections.
pub(super) fn backend(config: &Config, readers: u32) -> Backend {
    match config.location() {
        Location::File(path) => Backend::Sqlite(SqliteConfig {
            readers,
            durability: config.durability,
            ..SqliteConfig::new(path)
        }),
        Location::Server(address) => Backend::Postgres(PostgresConfig {
            address: PostgresAddress::clone(&address),
            connections: config.database_connections,
            node: config.node_name.clone().unwrap_or_else(host_name),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn built(variables: &[(&str, &str)]) -> Backend {
        let urls = [("VALUATION_SUPERCAR_URL", "http://s"), ("VALUATION_PREMIUM_URL", "http://p")];
        let all = variables.iter().chain(&urls).map(|(name, value)| (name.into(), value.into()));
        backend(&Config::load(&BTreeMap::new(), None, all).unwrap(), 3)
    }

    #[test]
    fn a_file_has_the_readers_and_a_server_its_connections_its_password_and_a_name() {
        let Backend::Sqlite(file) = built(&[("VALUATION_DATABASE", "v.sqlite")]) else {
            panic!("a path is a file")
        };
        assert_eq!((file.path.to_str(), file.readers), (Some("v.sqlite"), 3));
        let server = |more: &[(&str, &str)]| {
            let url = ("VALUATION_DATABASE", "postgres://u@localhost/v");
            match built(&[&[url], more].concat()) {
                Backend::Postgres(server) => server,
                other => panic!("{other}"),
            }
        };
        let plain = server(&[]);
        assert_eq!((plain.connections, plain.node), (8, host_name()));
        assert!(!plain.address.has_password());
        let given = server(&[
            ("VALUATION_DATABASE_PASSWORD", "secret"),
            ("VALUATION_DATABASE_CONNECTIONS", "3"),
            ("VALUATION_NODE_NAME", "node-1"),
        ]);
        assert_eq!((given.connections, given.node.as_str()), (3, "node-1"));
        assert!(given.address.has_password());
        assert!(!format!("{given:?} {}", given.address).contains("secret"));
    }
}
