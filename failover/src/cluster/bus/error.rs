//! Why a bus can't be built.

use std::net::SocketAddr;
use std::{error, fmt, io};

/// Why a bus can't be built. Its text never has a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum BusError {
    /// Its URL, or the address of a peer, can't be used.
    Url {
        /// What is wrong.
        problem: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The own certificate authorities, or those of the system, can't be used.
    Authorities(String),
    /// The address can't be bound.
    Bind(SocketAddr, io::Error),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { problem, expected } => write!(f, "{problem}; expected {expected}"),
            Self::Authorities(problem) => write!(
                f,
                "certificate authorities: {problem}; expected one or more certificates in PEM"
            ),
            Self::Bind(address, error) => write!(
                f,
                "{address} can't be bound: {error}; expected a free port of an address of this machine"
            ),
        }
    }
}

impl error::Error for BusError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Bind(_, error) => Some(error),
            Self::Url { .. } | Self::Authorities(_) => None,
        }
    }
}
