//! `report --verify`: the flags, and what it prints.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fs, io};

use clap::Args;

use super::{LogFiles, LogToolError, progress};
use crate::domain::{LogHead, LogHeadError};
use crate::store::{Verified, verify};

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

/// Why `--witness` makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// A text.
    #[error("--witness: {0}")]
    Head(#[from] LogHeadError),
    /// A line of a file.
    #[error("--witness {file}, line {line}: {source}")]
    Line {
        /// The file.
        file: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: LogHeadError,
    },
    /// The file can't be read.
    #[error("--witness {0}: {1}; name a text file with one head per line")]
    File(String, io::Error),
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
        Ok(heads)
    }

    /// Verifies the files, or the database and the archives named with it if there is none, with a progress bar on a terminal.
    ///
    /// # Errors
    /// [`LogToolError`] if a file can't be read.
    pub fn run(
        &self,
        database: &LogFiles,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        witnesses: &[LogHead],
    ) -> Result<Verified, LogToolError> {
        let files = match &self.verify {
            Some(files) if !files.is_empty() => files.clone(),
            _ => database.paths(environment)?,
        };
        let bar = progress(0, "verifying rows");
        let verified = verify(&files, witnesses, |rows, all| {
            bar.set_length(all);
            bar.set_position(rows);
        });
        bar.finish_and_clear();
        Ok(verified?)
    }
}

/// The result as text: a line per finding, and one about all.
#[must_use]
pub fn verified(result: &Verified) -> String {
    let mut text = String::new();
    for finding in &result.findings {
        let _ = writeln!(text, "{finding}");
    }
    let shown = result.findings.len() as u64;
    if result.count > shown {
        let _ = writeln!(text, "… and {} more findings", result.count - shown);
    }
    let sealed = result.rows - result.unsealed;
    text += &match (result.count, result.ids, result.head) {
        (0, Some((first, last)), Some(head)) => format!(
            "verified: {sealed} rows, ids {first} to {last}, are as they were sealed; the head is {head}"
        ),
        (0, ..) => "verified: no row is sealed yet".to_owned(),
        (1, ..) => format!("not as it was sealed: 1 finding in {sealed} rows"),
        (count, ..) => format!("not as it was sealed: {count} findings in {sealed} rows"),
    };
    text += &match result.unsealed {
        0 => "\n".to_owned(),
        1 => "; 1 row at the end is not sealed yet\n".to_owned(),
        rows => format!("; {rows} rows at the end are not sealed yet\n"),
    };
    text
}
