//! An output file that is there as a whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::store::{beside, is_archive, sync_folder};

/// A file that is written as `FILE.part`, and gets its name when it is complete and on the disk. Dropped before,
/// it is deleted; a kill leaves it, and the next run replaces it.
#[derive(Debug)]
pub(super) struct PartFile {
    file: File,
    part: PathBuf,
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
        let part = beside(&target, ".part");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&part)
            .map_err(|source| failed(&part, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PartFileError::Busy(part)),
            Err(TryLockError::Error(source)) => return Err(failed(&part, source)),
        }
        // Between opening and locking, another program may have finished it and given it its name.
        let same = |found: fs::Metadata, opened: fs::Metadata| {
            (found.dev(), found.ino()) == (opened.dev(), opened.ino())
        };
        if !part.metadata().is_ok_and(|found| file.metadata().is_ok_and(|own| same(found, own))) {
            return Err(PartFileError::Busy(part));
        }
        file.set_len(0).map_err(|source| failed(&part, source))?;
        if let Some(found) = sources.first().and_then(|source| source.metadata().ok()) {
            let mode = fs::Permissions::from_mode(found.mode() & 0o666);
            file.set_permissions(mode).map_err(|source| failed(&part, source))?;
        }
        Ok(Self { file, part, target, force })
    }

    /// The path to write to.
    pub(super) fn part(&self) -> &Path {
        &self.part
    }

    /// The file, for writing.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn failed(&self, source: io::Error) -> PartFileError {
        PartFileError::Io { path: self.part.clone(), source }
    }

    /// Gives the file its name. After a power loss it is there too.
    pub(super) fn finish(self) -> Result<(), PartFileError> {
        self.file.sync_all().map_err(|source| self.failed(source))?;
        check_target(&self.target, self.force, &[])?;
        let renamed = if self.force {
            fs::rename(&self.part, &self.target)
        } else {
            rename_to_new(&self.part, &self.target)
        };
        renamed.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => PartFileError::Exists(self.target.clone()),
            _ => self.failed(source),
        })?;
        sync_folder(&self.target).map_err(|source| {
            let path = self.target.parent().unwrap_or(&self.target).to_owned();
            PartFileError::Io { path, source }
        })
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After `finish` there is none. An error has been reported, or is the cause of the drop.
        let _ = fs::remove_file(&self.part);
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

/// Never replaces a file, also not one that was created a moment ago.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can do that.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_created_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        for path in [&from, &to] {
            fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
        }
        let error = rename_to_new(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), to.as_os_str().as_encoded_bytes());
        fs::remove_file(&to).unwrap();
        rename_to_new(&from, &to).unwrap();
        assert!(to.exists() && !from.exists());
    }
}
