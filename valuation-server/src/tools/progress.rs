//! How far a long command is: on a terminal alone.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr up to `total`, such as rows. Nothing is shown if stderr is no terminal; without colours, so
/// that there is nothing for `NO_COLOR` to turn off.
pub(super) fn progress(total: u64, what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let style = "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
}
