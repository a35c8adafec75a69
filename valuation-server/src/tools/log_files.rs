//! The files that the commands for the log of provider calls read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigError};
use crate::document::PlaceArg;
use crate::store::LogPlace;

/// The database.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// The database; a running server may use it [env: VALUATION_DATABASE; default: valuations.sqlite]
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,

    /// The server's configuration, a file or a URL, of which the database's path is read [env: VALUATION_CONFIG]
    #[arg(long, value_name = "FILE|URL")]
    pub config: Option<PlaceArg>,
}

/// The files of a log: the database, and archives of its older rows.
#[derive(Args, Clone, Debug, Default)]
pub struct LogFiles {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// An archive of older rows; may be given again, in any order
    #[arg(long, value_name = "FILE")]
    pub archive: Vec<PathBuf>,
}

impl DatabaseArgs {
    /// The path, as `serve` would have it: of the flag, the environment, the file, or the
    /// default.
    ///
    /// # Errors
    /// [`ConfigError`] if the environment or the file has what is no setting.
    pub fn path(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<PathBuf, ConfigError> {
        let place = self.config.as_ref().map(PlaceArg::as_os_str);
        Config::database_path(self.database.as_deref(), place, environment)
    }

    /// Where the log is: what the path names.
    ///
    /// # Errors
    /// As [`path`](Self::path).
    pub fn place(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<LogPlace, ConfigError> {
        Ok(self.path(environment)?.into())
    }
}

impl LogFiles {
    /// All places: the database first.
    ///
    /// # Errors
    /// As [`DatabaseArgs::path`].
    pub fn places(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<LogPlace>, ConfigError> {
        let mut places = vec![self.database.place(environment)?];
        places.extend(self.archive.iter().map(LogPlace::from));
        Ok(places)
    }
}
