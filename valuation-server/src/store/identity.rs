//! Whether the path still names the file that was opened.
//!
//! A file that is moved or deleted stays open: everything written to it would be answered, and be
//! gone with the process. And a file that is put in its place must not be opened beside it: its
//! write-ahead log and shared memory have the same names, and the two would destroy one another.
//! So a server whose file is not there can't store, until that file is back or it is restarted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Cause;

/// The file that was opened, and where.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    path: Arc<Path>,
    file: Option<(u64, u64)>,
}

/// Why the path no longer names that file.
#[derive(Debug, thiserror::Error)]
enum Elsewhere {
    #[error("the file {} is no longer there; put it back, or restart the server", .0.display())]
    Gone(PathBuf),
    #[error(
        "the file {} was replaced while the server ran; put the old one back, or restart the server",
        .0.display()
    )]
    Replaced(PathBuf),
    #[error("the file {} cannot be looked at: {}", .0.display(), .1)]
    Hidden(PathBuf, io::Error),
}

impl Opened {
    /// To be called right after the file was opened.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.into(), file: identity(path).ok() }
    }

    /// Looks at the path. One system call; the file itself is not touched.
    ///
    /// # Errors
    /// A sentence that says what became of the file and what to do.
    pub(super) fn is_still_there(&self) -> Result<(), Cause> {
        let path = || self.path.to_path_buf();
        match (self.file, identity(&self.path)) {
            (Some(opened), Ok(there)) if opened == there => Ok(()),
            (Some(_), Ok(_)) => Err(Arc::new(Elsewhere::Replaced(path()))),
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Arc::new(Elsewhere::Gone(path())))
            }
            (_, Err(error)) => Err(Arc::new(Elsewhere::Hidden(path(), error))),
            // It could not be told which file was opened.
            (None, Ok(_)) => Ok(()),
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().map(|found| (found.dev(), found.ino()))
}

/// Where files have no number, only their absence is noticed.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|_| (0, 0))
}
