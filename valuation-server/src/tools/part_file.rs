//! An output file that is there as a whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::{self, beside, is_archive};

/// A [`PartFile`](store::PartFile) whose target may be replaced if a user says so, and is none of what is read.
#[derive(Debug)]
pub(super) struct PartFile {
    part: store::PartFile,
    target: PathBuf,
    force: bool,
}

/// Why the file can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartFileError {
    /// There is such a file.
    #[error("{} exists; name another file, or give --force to replace it", .0.display())]
    Exists(PathBuf),
    /// It would replace what is no file.
    #[error("{} is not a regular file; name a file", .0.display())]
    NotAFile(PathBuf),
    /// It would replace what is read.
    #[error("{} is the database itself, or a file next to it that SQLite needs; name another file", .0.display())]
    IsSource(PathBuf),
    /// It would replace the only copy of archived rows.
    #[error("{} is an archive, which has the only copy of its rows; name another file", .0.display())]
    IsArchive(PathBuf),
    /// It would replace a database in use, or get the log of another one.
    #[error(
        "{} is a database in use, or one with the log of a killed program ({}-wal or {}-journal exists); name another file",
        .0.display(), .0.display(), .0.display()
    )]
    InUse(PathBuf),
    /// Another program is writing the same file.
    #[error("another program is writing {}; name another file", .0.display())]
    Busy(PathBuf),
    /// The file can't be created, written or renamed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl PartFile {
    /// Creates the part file, which the same users may read and write as the first of `sources`. An existing
    /// `target` is replaced only with `force`, and never if it is one of `sources`.
    pub(super) fn create(
        target: &Path,
        force: bool,
        sources: &[PathBuf],
    ) -> Result<Self, PartFileError> {
        let failed = |path: &Path, source| PartFileError::Io { path: path.to_owned(), source };
        let target = std::path::absolute(target).map_err(|source| failed(target, source))?;
        if target.file_name().is_none() {
            return Err(PartFileError::NotAFile(target));
        }
        check_target(&target, force, sources)?;
        let part = store::PartFile::create(&target, sources.first().map(PathBuf::as_path));
        let part = part.map_err(|source| match source.kind() {
            io::ErrorKind::ResourceBusy => PartFileError::Busy(store::PartFile::path_of(&target)),
            _ => failed(&store::PartFile::path_of(&target), source),
        })?;
        Ok(Self { part, target, force })
    }

    /// The path to write to.
    pub(super) fn part(&self) -> &Path {
        self.part.path()
    }

    /// The file, for writing.
    pub(super) fn file(&self) -> &File {
        self.part.file()
    }

    pub(super) fn failed(&self, source: io::Error) -> PartFileError {
        PartFileError::Io { path: self.part().to_owned(), source }
    }

    /// Gives the file its name. After a power loss it is there too.
    pub(super) fn finish(self) -> Result<(), PartFileError> {
        self.file().sync_all().map_err(|source| self.failed(source))?;
        check_target(&self.target, self.force, &[])?;
        let Self { part, target, force } = self;
        part.rename(&target, force).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => PartFileError::Exists(target),
            _ => PartFileError::Io { path: target, source },
        })
    }
}

fn check_target(target: &Path, force: bool, sources: &[PathBuf]) -> Result<(), PartFileError> {
    let found = fs::symlink_metadata(target).ok();
    let of_source = |source: &PathBuf| {
        let source = source.canonicalize().unwrap_or_else(|_| source.clone());
        let target =
            target.parent().and_then(|folder| folder.canonicalize().ok()).zip(target.file_name());
        let target = target.map(|(folder, name)| folder.join(name));
        ["-wal", "-shm", "-journal"]
            .iter()
            .any(|suffix| target.as_ref() == Some(&beside(&source, suffix)))
    };
    if sources.iter().any(of_source) {
        return Err(PartFileError::IsSource(target.to_owned()));
    }
    if let Some(found) = &found {
        if !found.is_file() {
            return Err(PartFileError::NotAFile(target.to_owned()));
        }
        let is_source = |source: &PathBuf| {
            source.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
        };
        if sources.iter().any(is_source) {
            return Err(PartFileError::IsSource(target.to_owned()));
        }
        if is_archive(target) {
            return Err(PartFileError::IsArchive(target.to_owned()));
        }
    }
    if ["-wal", "-journal"].iter().any(|suffix| beside(target, suffix).exists()) {
        return Err(PartFileError::InUse(target.to_owned()));
    }
    if found.is_none() || force { Ok(()) } else { Err(PartFileError::Exists(target.to_owned())) }
}
