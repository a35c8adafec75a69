//! PostgreSQL as the writer's engine.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::ClientWrapper;

use super::batch;
use super::connect::{Connector, Events, Purpose};
use super::error::PgError;
use super::session::{Session, in_time};
use super::statements::{BEFORE_COMMIT, LOCK_HEAD, Statements};
use super::{migrations, partitions};
use crate::domain::{LogHead, Vrm};
use crate::store::StoreConfig;
use crate::store::chain;
use crate::store::config::PostgresConfig;
use crate::store::derived::Piece;
use crate::store::engine::{Engine, WriteError, Written};
use crate::store::error::{Cause, OpenProblem};
use crate::store::migration_mark;
use crate::store::queue::Job;
use crate::store::sql::{Sql, SqlError, ValueRef};
use crate::store::stats::Shared;

/// How long an unhealthy writer waits for a lock. Together with the interval of its tries it is below the second
/// within which it must recover.
const IMPATIENT: Duration = Duration::from_millis(400);

/// How long a statement may take beyond its wait for a lock.
const STATEMENT: Duration = Duration::from_secs(1);

/// The answer to a statement that the server ends by its own time-out is awaited for this much longer.
const MARGIN: Duration = Duration::from_millis(400);

/// How often the partitions of the next months are looked for.
const PARTITIONS: Duration = Duration::from_secs(3_600);

/// The bytes that a probe writes: more than most transactions, so that the next one finds room if it did.
const PROBE_SIZE: usize = 64 << 10;

/// The one connection that writes.
pub(in crate::store) struct PostgresEngine {
    connector: Connector,
    /// How long a new connection may take.
    connect_wait: Duration,
    /// `None` while it is broken.
    link: Option<Link>,
    signals: Arc<Signals>,
    lock_wait: Duration,
    patient: bool,
    partitions_due: Instant,
}

/// The connection, and the statements that are prepared on it.
struct Link {
    client: ClientWrapper,
    statements: Statements,
}

/// What the connection tells by itself.
struct Signals {
    shared: Arc<Shared>,
    database: String,
}

impl Events for Signals {
    fn changed(&self) {
        self.shared.outdated.inc();
    }

    /// Known at once, so that no provider is asked for what can't be stored.
    fn broken(&self, cause: PgError) {
        let (failure, cause): (_, Cause) = (cause.failure(), Arc::new(cause));
        self.shared.health.failed(&cause, failure, &self.database);
    }
}

impl PostgresEngine {
    /// Connects, and creates or migrates the schema. Blocks the thread.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub(super) fn open(
        server: &PostgresConfig,
        config: &StoreConfig,
        shared: &Arc<Shared>,
        connector: Connector,
    ) -> Result<Self, OpenProblem> {
        let signals =
            Arc::new(Signals { shared: Arc::clone(shared), database: server.address.to_string() });
        let events = Arc::clone(&signals) as Arc<dyn Events>;
        let handle = connector.handle().clone();
        // A try a host.
        let hosts = u32::try_from(server.address.config().get_hosts().len().max(1)).unwrap_or(1);
        let connect_wait = server.address.config().get_connect_timeout().copied();
        let connect_wait = connect_wait.unwrap_or(config.lock_wait).saturating_mul(hosts);
        let link = handle.block_on(async {
            let client = connector.client(Purpose::Write(events));
            let mut client = in_time(connect_wait, client).await?;
            migrations::migrate(&mut client).await?;
            let statements = Statements::prepare(&client).await?;
            Ok::<_, OpenProblem>(Link { client, statements })
        })?;
        let mut engine = Self {
            connect_wait,
            connector,
            link: Some(link),
            signals,
            lock_wait: config.lock_wait,
            patient: true,
            partitions_due: Instant::now(),
        };
        migration_mark::serve(&engine.session().map_err(SqlError::from)?)?;
        // Not only at the first batch, whose providers were asked by then.
        engine.rehearse()?;
        engine.ensure_partitions();
        if engine.session().is_err() {
            engine.reconnect()?;
        }
        if let Some(head) = chain::end(&engine.session().map_err(SqlError::from)?)? {
            config.newest_head.set(head);
        }
        Ok(engine)
    }

    fn session(&self) -> Result<Session<'_>, PgError> {
        match &self.link {
            Some(link) if !link.client.is_closed() => Ok(self.session_of(&link.client)),
            _ => Err(PgError::Lost),
        }
    }

    fn session_of<'a>(&'a self, client: &'a ClientWrapper) -> Session<'a> {
        let patience = Some(self.patience() + STATEMENT + MARGIN);
        Session { client, handle: self.connector.handle(), patience }
    }

    fn patience(&self) -> Duration {
        if self.patient { self.lock_wait } else { IMPATIENT.min(self.lock_wait) }
    }

    /// Begins a transaction whose statements the server ends in time.
    fn begin(&self) -> String {
        // 0 would be no limit.
        let lock = self.patience().as_millis().max(1);
        let statement = (self.patience() + STATEMENT).as_millis();
        // Each statement must see what was committed while it waited for the lock of the head.
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; \
             SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}"
        )
    }

    /// Ends what is left of a failed transaction, or gives the connection up.
    fn settle_failed(&mut self, error: &SqlError) {
        let usable = match error {
            SqlError::Postgres(error) => error.leaves_connection(),
            SqlError::Sqlite(_) => true,
        };
        let rolled_back =
            usable && self.session().is_ok_and(|session| session.batch("ROLLBACK").is_ok());
        if !rolled_back {
            self.link = None;
        }
    }

    /// Connects anew. What happened meanwhile nobody has told.
    fn reconnect(&mut self) -> Result<(), PgError> {
        self.link = None;
        let events = Arc::clone(&self.signals) as Arc<dyn Events>;
        let linking = async {
            let client = self.connector.client(Purpose::Write(events)).await?;
            let statements = Statements::prepare(&client).await?;
            Ok::<_, PgError>(Link { client, statements })
        };
        let linked = self.connector.handle().block_on(in_time(self.connect_wait, linking));
        self.link = Some(linked?);
        self.signals.changed();
        Ok(())
    }

    /// Prepares the statements anew, since the tables may not be those of before, and tries them.
    fn rehearse(&mut self) -> Result<(), SqlError> {
        let begin = self.begin();
        let Some(mut link) = self.link.take() else { return Err(PgError::Lost.into()) };
        let session = self.session_of(&link.client);
        let rehearsed = session.wait(Statements::prepare(&link.client)).map_err(SqlError::from);
        let rehearsed = rehearsed.and_then(|statements| {
            batch::rehearse(session, &statements, &begin)?;
            Ok(statements)
        });
        let rehearsed = rehearsed.map(|statements| link.statements = statements);
        self.link = Some(link);
        rehearsed
    }

    fn ensure_partitions(&mut self) {
        let made = match self.session() {
            Ok(session) => partitions::ensure(&session, SystemTime::now()),
            Err(lost) => Err(lost.into()),
        };
        self.partitions_due = Instant::now() + PARTITIONS;
        if let Err(error) = made {
            self.settle_failed(&error);
            tracing::warn!(
                %error,
                "the next months' partitions of ProviderLogs cannot be made: rows go to ProviderLogs_other until \
                 they can. It is tried again in an hour"
            );
        }
    }

    fn in_transaction<T>(
        &mut self,
        write: impl FnOnce(&Session<'_>) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let begin = self.begin();
        let written = self.session().map_err(SqlError::from).and_then(|session| {
            session.batch(&begin)?;
            (&session as &dyn Sql).first(LOCK_HEAD, &[], |_| Ok(()))?;
            let written = write(&session)?;
            session.batch(&format!("{BEFORE_COMMIT}; COMMIT"))?;
            Ok(written)
        });
        written.inspect_err(|error| self.settle_failed(error))
    }
}

impl Engine for PostgresEngine {
    fn write(&mut self, jobs: &[Job]) -> Result<Written, WriteError> {
        let begin = self.begin();
        let written = match (&self.link, self.session()) {
            (Some(link), Ok(session)) => batch::write(session, &link.statements, &begin, jobs),
            _ => Err(PgError::Lost.into()),
        };
        written.inspect_err(|error| match error {
            WriteError::Failed(error) | WriteError::InDoubt(error, _) => self.settle_failed(error),
        })
    }

    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&dyn Sql) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        self.in_transaction(|session| write(session))
    }

    fn forget(&mut self, vrm: &Vrm) -> Result<bool, SqlError> {
        let delete = r#"DELETE FROM "vehicle_valuation" WHERE "vrm" = $1"#;
        let deleted = self
            .in_transaction(|session| session.execute(delete, &[ValueRef::from(vrm.as_str())]))?;
        Ok(deleted > 0)
    }

    /// All rows are derived from when they are written. What has its time is the partitions.
    fn catch_up(&mut self) -> Result<Piece, SqlError> {
        if Instant::now() >= self.partitions_due {
            self.ensure_partitions();
        }
        Ok(Piece { more: false, head: None })
    }

    /// The lock of the head is that of the batch in doubt: when this transaction has it, that one has ended.
    fn has_head(&mut self, head: &LogHead) -> Result<bool, SqlError> {
        let id = head.last_id;
        let record = self.in_transaction(|session| chain::ending_with(session, id))?;
        Ok(record.is_some_and(|record| record.head == head.hash))
    }

    fn probe(&mut self) -> Result<(), SqlError> {
        if self.session().is_err() {
            self.reconnect()?;
        }
        let filler = vec![0; PROBE_SIZE];
        for filler in [filler.as_slice(), &[]] {
            let update = r#"UPDATE "writer_probe" SET "filler" = $1 WHERE "id" = 1"#;
            self.in_transaction(|session| session.execute(update, &[ValueRef::Blob(filler)]))?;
        }
        let rehearsed = self.rehearse();
        rehearsed.inspect_err(|error| self.settle_failed(error))
    }

    fn be_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    /// The connection tells it by itself, at once.
    fn outdated(&mut self) -> bool {
        false
    }

    fn wait<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.connector.handle().block_on(future)
    }

    /// A server that is gone without a word is found by asking. Its answer brings all notifications of before.
    fn rest(&mut self) -> Result<(), SqlError> {
        let asked = self.session().and_then(|session| session.batch("SELECT 1"));
        asked.map_err(|error| {
            let error = SqlError::from(error);
            self.settle_failed(&error);
            error
        })
    }
}
