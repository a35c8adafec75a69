//! `report --verify`: the flags, and what it prints.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use clap::Args;

use super::error::{ToolError, WitnessError};
use super::log_files::LogFiles;
use super::progress::progress;
use crate::domain::LogHead;
use crate::store::verify;

/// The flags of `report --verify`.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// Instead of a report, verify the hash chain over the log in these files: the database and archives, in
    /// any order [default: the database]. The exit code is 1 if anything is found
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..,
        conflicts_with_all = [
            "from", "to", "provider", "by", "time_zone", "format", "target", "slow", "exclude",
            "fallback_price", "exact",
        ]
    )]
    pub verify: Option<Vec<PathBuf>>,

    /// A head that the chain must have: a value of the header audit-log-head from a provider's access log.
    /// @FILE reads one per line
    #[arg(long, value_name = "ID-HEX|@FILE", num_args = 1.., requires = "verify")]
    pub witness: Vec<String>,
}

impl VerifyArgs {
    /// The heads of `--witness`. Empty lines of a file, and `-` for a call without the header, are skipped.
    ///
    /// # Errors
    /// [`WitnessError`] names the text or the line that is no head, or the file.
    pub fn witnesses(&self) -> Result<Vec<LogHead>, WitnessError> {
        let mut heads = Vec::new();
        for given in &self.witness {
            let Some(path) = given.strip_prefix('@') else {
                heads.push(given.parse()?);
                continue;
            };
            let text = fs::read_to_string(path)
                .map_err(|error| WitnessError::File(path.to_owned(), error))?;
            for (at, line) in text.lines().enumerate() {
                let line = line.trim().trim_matches('"');
                if line.is_empty() || line == "-" {
                    continue;
                }
                heads.push(line.parse().map_err(|source| WitnessError::Line {
                    file: path.to_owned(),
                    line: at + 1,
                    source,
                })?);
            }
        }
        if heads.is_empty() && !self.witness.is_empty() {
            return Err(WitnessError::Empty);
        }
        Ok(heads)
    }

    /// Verifies the files, or the database and the archives named with it if there is none, and prints what is
    /// found.
    ///
    /// # Errors
    /// [`ToolError`]; [`ToolError::Altered`] if anything is found.
    pub(super) fn run(
        &self,
        database: &LogFiles,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ToolError> {
        let witnesses = self.witnesses()?;
        let places = match &self.verify {
            Some(files) if !files.is_empty() => database.located(files, environment)?,
            _ => database.places(environment)?,
        };
        let bar = progress(0, "verifying rows");
        let result = verify(&places, &witnesses, |rows, all| {
            bar.set_length(all);
            bar.set_position(rows);
        })?;
        bar.finish_and_clear();
        let mut out = io::stdout().lock();
        write!(out, "{result}")?;
        if result.count == 0 && !witnesses.is_empty() {
            let heads = witnesses.iter().collect::<BTreeSet<_>>().len();
            writeln!(out, "heads that others have seen, all of them in the chain: {heads}")?;
        }
        out.flush()?;
        if result.count > 0 { Err(ToolError::Altered) } else { Ok(()) }
    }
}
