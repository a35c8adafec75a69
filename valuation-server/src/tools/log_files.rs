//! The files that the commands for the log of provider calls read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::ToolError;
use crate::config::{Config, ConfigError, DatabaseArg};
use crate::document::PlaceArg;
use crate::store::Location;

/// The database.
#[derive(Args, Clone, Debug, Default)]
pub struct DatabaseArgs {
    /// The database, a file or a URL postgres://…; a running server may use it [env: VALUATION_DATABASE; default:
    /// valuations.sqlite]
    #[arg(long, value_name = "FILE|URL")]
    pub database: Option<DatabaseArg>,

    /// The server's configuration, a file or a URL, of which the settings of the database are read [env: VALUATION_CONFIG]
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
    /// Where the database is, as `serve` would have it: of the flag, the environment, the configuration, or the
    /// default; with the password and the authorities for a server, of the last three.
    ///
    /// # Errors
    /// [`ConfigError`] if the environment or the configuration has what is no setting, or the database can't be used
    /// so.
    pub fn place(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Location, ConfigError> {
        let place = self.config.as_ref().map(PlaceArg::as_os_str);
        Config::database_location(self.database.as_ref(), place, environment)
    }

    /// The place that another flag or argument names.
    fn named(
        &self,
        path: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Location, ConfigError> {
        let database = Some(path.to_owned().into());
        Self { database, config: self.config.clone() }.place(environment)
    }

    /// The file that the database is, for `command`, which does not work on a server.
    ///
    /// # Errors
    /// As [`place`](Self::place), and [`ToolError::NotAFile`].
    pub(super) fn file(
        &self,
        command: &'static str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<PathBuf, ToolError> {
        match self.place(environment)? {
            Location::File(path) => Ok(path),
            place @ Location::Server(_) => Err(ToolError::NotAFile { command, place }),
        }
    }
}

impl LogFiles {
    /// All places: the database first.
    ///
    /// # Errors
    /// As [`DatabaseArgs::place`].
    pub fn places(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<Location>, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let database = self.database.place(environment.clone())?;
        let archives = self.located(&self.archive, environment)?;
        Ok([vec![database], archives].concat())
    }

    /// The places that are named so: a URL of a server is none of a file, and has the server's password.
    ///
    /// # Errors
    /// As [`DatabaseArgs::place`].
    pub(super) fn located(
        &self,
        paths: &[PathBuf],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<Location>, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        paths.iter().map(|path| self.database.named(path, environment.clone())).collect()
    }
}
