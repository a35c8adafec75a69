//! The files that the commands for the log of provider calls read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::config::Setting;

/// The variable that names the database, as for `serve`.
const DATABASE: &str = "VALUATION_DATABASE";

/// The files of a log.
#[derive(Args, Clone, Debug, Default)]
pub struct LogFiles {
    /// The database; a running server may use it [default: VALUATION_DATABASE, or valuations.sqlite]
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,

    /// An archive of older rows; may be given again, in any order
    #[arg(long, value_name = "FILE")]
    pub archive: Vec<PathBuf>,
}

impl LogFiles {
    /// The path of the database: of the flag, of the environment, or the default.
    pub fn database(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> PathBuf {
        let given = || environment.into_iter().find(|(name, _)| name == DATABASE);
        let default = || Setting::Database.row().default.text().unwrap_or_default().into();
        let given = self.database.clone().or_else(|| given().map(|(_, path)| path.into()));
        given.unwrap_or_else(default)
    }
}
