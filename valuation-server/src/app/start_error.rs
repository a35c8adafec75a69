//! Why the server can't start, and what to do about it.

use std::io;
use std::net::SocketAddr;

use failover::cluster::bus::error::BusError;

use super::switch::ProvidersError;
use crate::store::{OpenProblem, StoreError};

/// Why the server can't start. The text names what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The providers, or the policy that chooses between them.
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus of the cluster.
    #[error("cannot join the cluster (--cluster): {0}")]
    Cluster(#[from] BusError),
    /// The address to listen on.
    #[error("cannot listen on {address}: {source}; {}", advice(source, "--listen"))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The address for operators to listen on.
    #[error(
        "cannot listen on {address} for operators: {source}; {}",
        advice(source, "--admin-listen")
    )]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl StartError {
    /// Whether a setting is wrong, so that another start would fail as well. A database that can't be reached is none:
    /// it may be there later.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::Providers(_) | Self::Store(StoreError::Open { problem: OpenProblem::Tls(_), .. })
        )
    }
}

/// What to do if an address can't be listened on.
fn advice(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps this server already: end it, or choose another \
             port with {flag}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "choose an address of this machine with {flag}, such as 0.0.0.0 for all of them"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a right of their own: choose a higher one with {flag}")
        }
        _ => format!("choose another address with {flag}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Location;

    #[test]
    fn a_database_that_can_not_be_reached_is_no_wrong_setting_and_a_wrong_file_of_authorities_is_one()
     {
        let start = |problem| {
            let place: Location = "postgres://u:secret@localhost/v".parse().unwrap();
            let error = StartError::from(StoreError::Open { place, problem });
            assert!(error.to_string().contains("postgres://u@localhost:5432/v: "), "{error}");
            error
        };
        let cause = || Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(!start(OpenProblem::Postgres(cause())).is_misuse());
        assert!(start(OpenProblem::Tls(cause())).is_misuse());
    }
}
