//! `man`: manual pages, from the same description as the flags.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::Cli;

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  Read the main page:
    valuation-server man | man -l -

  Install a page for each command:
    valuation-server man --out /usr/local/share/man/man1";

/// The flags of `man`.
#[derive(Args, Clone, Debug, Default)]
pub struct ManArgs {
    /// Write a page for each command into this folder, which is created if it is missing [default: the main page,
    /// to standard output]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Why the pages can't be written.
#[derive(Debug, thiserror::Error)]
#[error("the manual pages cannot be written to {}: {source}; name another folder", path.display())]
pub struct ManError {
    path: PathBuf,
    source: io::Error,
}

impl ManArgs {
    /// The main page, in roff.
    ///
    /// # Errors
    /// None in practice: it is written to memory.
    pub fn page() -> io::Result<Vec<u8>> {
        page(&program())
    }

    /// Writes the main page and one for each command into a folder, such as `valuation-server-serve.1`.
    ///
    /// # Errors
    /// [`ManError`] names the file or folder.
    pub fn write_to(folder: &Path) -> Result<(), ManError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| ManError { path, source }
        };
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        let program = program();
        for command in [&program].into_iter().chain(program.get_subcommands()) {
            let file = folder.join(Man::new(command.clone()).get_filename());
            let page = page(command).map_err(at(&file))?;
            std::fs::write(&file, page).map_err(at(&file))?;
        }
        Ok(())
    }
}

/// The program and its commands with their full names.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

/// A page. The text below the flags is examples: its lines are kept.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let source = concat!("valuation-server ", env!("CARGO_PKG_VERSION"));
    let (mut page, man) = (Vec::new(), Man::new(command.clone()).source(source));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(below) = command.get_after_help() {
        // A heading is a line that begins at the margin and ends with a colon.
        for line in below.to_string().lines() {
            match line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
                Some(heading) => {
                    write!(page, ".fi\n.SH {}\n.nf\n", roff(heading).to_uppercase())?;
                }
                None => writeln!(page, "{}", roff(line))?,
            }
        }
        writeln!(page, ".fi")?;
    }
    Ok(page)
}

/// A line of text that roff shows as it is.
fn roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}
