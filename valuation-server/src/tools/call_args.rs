//! Which calls of the log a command is asked for.

use clap::Args;
use jiff::tz::TimeZone;

use super::error::ToolError;
use crate::domain::Provider;
use crate::report::{self, NoProvider, PeriodError};
use crate::store::{Location, Trail, TrailFilter};

/// The flags that `logs` and `export` have in common.
#[derive(Args, Clone, Debug, Default)]
pub struct CallArgs {
    /// Only this provider: its name, or the beginning of it [default: all]
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// Only calls from this time on: a month 2026-10, a day 2026-10-25, a time 2026-10-25T01:30 in UTC or with
    /// its offset, as in 2026-10-25T01:30+01:00
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,

    /// Only calls before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

impl CallArgs {
    /// The calls of this provider and time.
    ///
    /// # Errors
    /// [`PeriodError`] if a time can't be read, or the end is not after the start.
    pub(super) fn filter(&self) -> Result<TrailFilter, PeriodError> {
        let time = |text: &String| report::time(text, &TimeZone::UTC);
        let from = self.from.as_ref().map(time).transpose()?;
        let to = self.to.as_ref().map(time).transpose()?;
        if let ((Some(start), Some(end)), Some(from), Some(to)) = ((from, to), &self.from, &self.to)
            && start >= end
        {
            return Err(PeriodError::Empty { from: from.clone(), to: to.clone() });
        }
        let provider = self.provider.as_deref().map(report::provider);
        Ok(TrailFilter { provider, from, to, ..TrailFilter::default() })
    }
}

/// Opens the log, and refuses the name of no provider. This server's own need no call in it.
pub(super) fn open(places: &[Location], filter: &TrailFilter) -> Result<Trail, ToolError> {
    let trail = Trail::open(places)?;
    let unknown = filter.provider.as_deref().filter(|name| Provider::from_name(name).is_none());
    if let Some(name) = unknown
        && let Some(error) = NoProvider::found(name, trail.providers_unless(name)?)
    {
        return Err(ToolError::NoProvider(error));
    }
    Ok(trail)
}
