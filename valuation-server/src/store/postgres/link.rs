//! The connection of a command, or of a report: one database, and a thread that drives it.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::address::PostgresAddress;
use super::connect::{Connector, Purpose};
use super::error::PgError;
use super::migrations;
use super::reactor::Reactor;
use super::session::{Session, in_time};
use crate::store::error::OpenProblem;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// How long connecting may take, with all that the server asks and answers.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A connection to one database, and the reactor that drives it.
pub(super) struct Link {
    pub(super) client: ClientWrapper,
    pub(super) connector: Connector,
    /// Of its schema; 0 without one.
    pub(super) version: i32,
    /// How long one answer may take; `None` without a limit.
    pub(super) patience: Option<Duration>,
}

impl Link {
    /// Connects. Blocks the thread.
    ///
    /// # Errors
    /// [`OpenProblem`] says why the database can't be reached, or that it is of a newer program.
    pub(super) fn open(address: &PostgresAddress) -> Result<Self, OpenProblem> {
        let reactor = Reactor::start().map_err(|cause| OpenProblem::Thread(Arc::new(cause)))?;
        let connector = Connector::new(address, Arc::new(reactor))?;
        let connecting = async {
            let client = connector.client(Purpose::Command).await?;
            let version = migrations::version(&client).await?;
            Ok::<_, PgError>((client, version))
        };
        let connected = in_time(CONNECT_WAIT, connecting);
        let (client, version) = connector.handle().block_on(connected)?;
        let known = migrations::latest();
        if version > known {
            return Err(OpenProblem::Newer { found: version, known });
        }
        Ok(Self { client, connector, version, patience: None })
    }

    /// As [`open`](Self::open), if the database has a log.
    ///
    /// # Errors
    /// [`OpenProblem::NoTables`] too.
    pub(super) fn open_log(address: &PostgresAddress) -> Result<Self, OpenProblem> {
        let link = Self::open(address)?;
        if link.version == 0 { Err(OpenProblem::NoTables) } else { Ok(link) }
    }

    pub(super) fn session(&self) -> Session<'_> {
        Session { client: &self.client, handle: self.connector.handle(), patience: self.patience }
    }
}

impl Sql for Link {
    fn each(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.session().each(sql, values, each)
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, SqlError> {
        self.session().execute(sql, values)
    }
}
