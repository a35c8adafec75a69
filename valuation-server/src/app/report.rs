//! Makes reports for the operators' page: one at a time, on a blocking thread, through a connection of its own
//! that can only read.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use crate::admin::{Refusal, ReportFormat, ReportProblem, ReportRequest, Reporting};
use crate::domain::Money;
use crate::report::{self, Method, PeriodError, ReportError, Source, TermArgs, Terms, WrongTerm};
use crate::store::{AuditLog, Interrupt, Location};

/// The most periods of a report: some 15 MB for three providers.
const MOST_PERIODS: usize = 2_000;
/// The longest time for a report: less than the operators' side waits.
const LONGEST: Duration = Duration::from_secs(8);
/// How often a report that takes longer is interrupted, until it has ended.
const INTERRUPT_EVERY: Duration = Duration::from_millis(100);

/// Makes reports from a database.
#[derive(Debug)]
pub(super) struct Reports {
    database: Location,
    running: Arc<Semaphore>,
}

impl Reports {
    /// From this database.
    pub(super) fn new(database: Location) -> Self {
        Self { database, running: Arc::new(Semaphore::new(1)) }
    }

    /// The report, unless another one is being made.
    pub(super) fn make(&self, request: ReportRequest, price: Option<Money>) -> Reporting {
        let running = Arc::clone(&self.running);
        let database = self.database.clone();
        Box::pin(async move {
            let terms = terms(&request.terms, price)?;
            let Some(format) = request.format else { return Ok(String::new()) };
            let Ok(permit) = running.try_acquire_owned() else {
                let message = "another report is being made; ask again in a moment".to_owned();
                return Err(ReportProblem::Unavailable(message));
            };
            let interrupt = Arc::new(OnceLock::new());
            let interrupts = Arc::clone(&interrupt);
            let work = spawn_blocking(move || {
                // Held until the thread is free, even if nobody waits.
                let _permit = permit;
                write(&database, &terms, format, &interrupts)
            });
            // A task of its own: a report that nobody waits for ends as well.
            tokio::spawn(in_time(work, interrupt)).await.unwrap_or_else(ended)
        })
    }
}

/// The result of the work, which is interrupted after [`LONGEST`].
async fn in_time(
    mut work: tokio::task::JoinHandle<Result<String, ReportError>>,
    interrupt: Arc<OnceLock<Interrupt>>,
) -> Result<String, ReportProblem> {
    let (mut wait, mut is_late) = (LONGEST, false);
    loop {
        match timeout(wait, &mut work).await {
            Ok(Ok(Err(ReportError::Store(_)))) if is_late => {
                return Err(ReportProblem::Unavailable(format!(
                    "it would take longer than {} s: hours that are not summed yet, or that a period or an \
                     excluded time divides, are read from their rows; the command \
                     `valuation-server report` has no limit",
                    LONGEST.as_secs()
                )));
            }
            Ok(Ok(result)) => return result.map_err(|error| problem(&error)),
            Ok(Err(error)) => return ended(error),
            Err(_) => {
                (wait, is_late) = (INTERRUPT_EVERY, true);
                if let Some(interrupt) = interrupt.get() {
                    interrupt.interrupt();
                }
            }
        }
    }
}

/// A panic goes on to the operators' side, which answers it.
fn ended(error: JoinError) -> Result<String, ReportProblem> {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(ReportProblem::Unavailable("the server is stopping".to_owned())),
    }
}

fn write(
    database: &Location,
    terms: &Terms,
    format: ReportFormat,
    interrupt: &OnceLock<Interrupt>,
) -> Result<String, ReportError> {
    let made = Timestamp::now();
    let mut log = AuditLog::open(database)?;
    let _ = interrupt.set(log.interrupt());
    let snapshot = log.snapshot()?;
    let report = report::report(&snapshot, terms, Method::Rollups, made)?;
    let source = Source { database: database.to_string(), method: Method::Rollups, made };
    Ok(match format {
        ReportFormat::Article => report::article(&report, &source),
        ReportFormat::Html => report::html(&report, &source),
        ReportFormat::Table => report::table(&report, &source),
        ReportFormat::Csv => report::csv(&report, &source),
        ReportFormat::Json => report::json(&report, &source),
    })
}

fn terms(given: &[(String, String)], price: Option<Money>) -> Result<Terms, ReportProblem> {
    let (mut terms, mut wrong) = (TermArgs::default(), Vec::new());
    for (name, text) in given {
        if !terms.set(name, text) {
            let known = TermArgs::NAMES.join(", ");
            let message = format!("there is no such parameter; there are {known} and format");
            wrong.push(Refusal { field: name.clone(), message });
        }
    }
    match terms.terms(price, MOST_PERIODS) {
        Ok(terms) if wrong.is_empty() => return Ok(terms),
        Ok(_) => {}
        Err(found) => wrong.extend(
            found
                .into_iter()
                .map(|WrongTerm { term, message }| Refusal { field: term.to_owned(), message }),
        ),
    }
    Err(ReportProblem::Wrong(wrong))
}

/// What is wrong with the terms, or with the log.
fn problem(error: &ReportError) -> ReportProblem {
    let field = match error {
        ReportError::Period(PeriodError::Empty { .. }) => "to",
        ReportError::Period(PeriodError::TooMany(_)) => "by",
        ReportError::Period(_) | ReportError::NoCalls | ReportError::AllLater => "from",
        ReportError::NoProvider(_) => "provider",
        ReportError::Store(error) => return ReportProblem::Unavailable(error.to_string()),
    };
    ReportProblem::Wrong(vec![Refusal { field: field.to_owned(), message: error.to_string() }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[tokio::test]
    async fn one_report_is_made_at_a_time() {
        let reports = Reports::new(Location::File("no folder/valuations.sqlite".into()));
        let request = || ReportRequest { terms: Vec::new(), format: Some(ReportFormat::Json) };
        let message = async || match reports.make(request(), None).await {
            Err(ReportProblem::Unavailable(message)) => message,
            other => panic!("{other:?}"),
        };
        let permit = Arc::clone(&reports.running).try_acquire_owned().unwrap();
        assert_eq!(message().await, "another report is being made; ask again in a moment");
        drop(permit);
        // The permit is given back after a report that can't be made.
        for _ in 0..2 {
            let message = message().await;
            assert!(message.contains("no folder/valuations.sqlite"), "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_takes_too_long_is_ended_and_says_so() {
        let work = |takes, result: Result<String, ReportError>| {
            tokio::spawn(async move {
                tokio::time::sleep(takes).await;
                result
            })
        };
        let ended = || Err(ReportError::Store(StoreError::Closed));
        let late = in_time(work(LONGEST * 2, ended()), Arc::default()).await;
        let Err(ReportProblem::Unavailable(message)) = late else { panic!("{late:?}") };
        assert!(message.starts_with("it would take longer than 8 s"), "{message}");
        // What was ready before it could be interrupted is not thrown away.
        let ready = in_time(work(LONGEST * 2, Ok("it".to_owned())), Arc::default()).await;
        assert_eq!(ready, Ok("it".to_owned()));
        let wrong = in_time(work(Duration::ZERO, ended()), Arc::default()).await;
        let message = StoreError::Closed.to_string();
        assert_eq!(wrong, Err(ReportProblem::Unavailable(message)));
    }
}
