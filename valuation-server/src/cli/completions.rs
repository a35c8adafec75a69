//! `completions`: a script with which a shell completes commands and flags.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  For your own shell, from the next one on:
    valuation-server completions bash > ~/.local/share/bash-completion/completions/valuation-server
    valuation-server completions fish > ~/.config/fish/completions/valuation-server.fish

  For zsh, in a folder of its fpath:
    valuation-server completions zsh > ~/.zfunc/_valuation-server";

/// The flags of `completions`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl CompletionsArgs {
    /// The script.
    #[must_use]
    pub fn script(self) -> Vec<u8> {
        let (mut script, mut command) = (Vec::new(), Cli::command());
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        script
    }
}
