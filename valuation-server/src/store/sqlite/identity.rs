//! Whether the path still names the file that was opened.
//!
//! A file that is moved or deleted stays open: writes would be answered, and be lost with the process. A
//! file that replaces it must not be opened at the same time: its write-ahead log and shared memory
//! have the same names, and the two would destroy each other. So a server whose file is missing can't
//! store until the file is back or the server is restarted.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::error::Cause;

/// The file that was opened, and its path.
#[derive(Clone, Debug)]
pub(in crate::store) struct Opened {
    path: Arc<Path>,
    file: Option<(u64, u64)>,
}

/// Why the path does not name that file.
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
    /// Call it right after the file was opened.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.into(), file: identity(path).ok() }
    }

    /// Checks the path. One system call; the file itself is not touched.
    ///
    /// # Errors
    /// What happened to the file, and what to do.
    pub(super) fn is_still_there(&self) -> Result<(), Cause> {
        let path = || self.path.to_path_buf();
        match (self.file, identity(&self.path)) {
            (Some(opened), Ok(there)) if opened == there => Ok(()),
            (Some(_), Ok(_)) => Err(Arc::new(Elsewhere::Replaced(path()))),
            (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Arc::new(Elsewhere::Gone(path())))
            }
            (_, Err(error)) => Err(Arc::new(Elsewhere::Hidden(path(), error))),
            // The identity of the opened file is unknown.
            (None, Ok(_)) => Ok(()),
        }
    }
}

/// The file's device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|found| (found.dev(), found.ino()))
}
