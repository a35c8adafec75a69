//! The command `export`: all rows of the log, as a file for other programs.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};

use super::call_args::{self, CallArgs};
use super::error::{INCOMPLETE, ToolError, is_stopped};
use super::lines::{Lines, write, write_header};
use super::part_file::PartFile;

use super::log_files::LogFiles;
use super::progress::progress;
use crate::store::{Location, Pieces};

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  A month as a file for a spreadsheet:
    valuation-server export --format csv --from 2026-10 --to 2026-11 -o october.csv

  The whole log, compressed:
    valuation-server export --format jsonl | zstd > log.jsonl.zst";

/// How many bytes are written at once.
const BUFFER: usize = 1 << 16;

/// The flags of `export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// What is read.
    #[command(flatten)]
    pub files: LogFiles,

    /// The format
    #[arg(long, value_enum)]
    pub format: ExportFormat,

    /// Which calls.
    #[command(flatten)]
    pub calls: CallArgs,

    /// The file to write; - is the standard output [default: -]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values, with a header
    Csv,
    /// A JSON object a line
    Jsonl,
}

impl ExportArgs {
    /// Writes the rows that there are now, unless `stopped`.
    ///
    /// # Errors
    /// [`ToolError`]. Then there is no output file, or the one from before.
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let places = self.files.places(environment)?;
        let filter = self.calls.filter()?;
        let trail = call_args::open(&places, &filter)?;
        let pieces = trail.pieces(&filter)?;
        let Some(target) = self.output.as_deref().filter(|path| *path != Path::new("-")) else {
            return self.write(pieces, io::stdout().lock(), stopped, |_| ());
        };
        let files: Vec<_> = places.iter().filter_map(Location::file).map(Path::to_owned).collect();
        let file = PartFile::create(target, self.force, &files)?;
        let total = pieces.left();
        let bar = progress(total, "exporting");
        self.write(pieces, file.file(), stopped, |left| bar.set_position(total - left)).map_err(
            |error| match error {
                ToolError::Print(error) => file.failed(error).into(),
                error => error,
            },
        )?;
        bar.finish_and_clear();
        Ok(file.finish()?)
    }

    fn write(
        &self,
        mut pieces: Pieces<'_>,
        out: impl Write,
        stopped: &AtomicBool,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ToolError> {
        let lines = match self.format {
            ExportFormat::Csv => Lines::Csv,
            ExportFormat::Jsonl => Lines::Jsonl,
        };
        let mut out = BufWriter::with_capacity(BUFFER, out);
        write_header(&mut out, lines)?;
        while let Some(calls) = pieces.next() {
            write(&mut out, lines, &calls?)?;
            progress(pieces.left());
            if is_stopped(stopped) {
                return Err(INCOMPLETE);
            }
        }
        Ok(out.flush()?)
    }
}
