//! A file that is there as a whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::sqlite::open::{beside, sync_folder};

/// A file that is written as `FILE.part`, and gets its name when it is complete and on the disk. Dropped before,
/// it is deleted; a kill leaves it, and the next run replaces it.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: File,
    path: PathBuf,
}

impl PartFile {
    /// Where the part of a file is written.
    pub(crate) fn path_of(target: &Path) -> PathBuf {
        beside(target, ".part")
    }

    /// Creates it empty. The same users may read and write it as the file `like`, or its owner alone.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] if another program is writing it.
    pub(crate) fn create(target: &Path, like: Option<&Path>) -> io::Result<Self> {
        let path = Self::path_of(target);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between opening and locking, another program may have finished it and given it its name.
        let is_it = |found: fs::Metadata, own: fs::Metadata| {
            (found.dev(), found.ino()) == (own.dev(), own.ino())
        };
        if !path.metadata().is_ok_and(|found| file.metadata().is_ok_and(|own| is_it(found, own))) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        file.set_len(0)?;
        if let Some(found) = like.and_then(|like| like.metadata().ok()) {
            file.set_permissions(Permissions::from_mode(found.mode() & 0o666))?;
        }
        Ok(Self { file, path })
    }

    /// The path to write to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for writing.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name; with `replaces` also if there is one of that name. What was written must be on
    /// the disk. After a power loss the name is there too.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one that must not be replaced.
    pub(crate) fn rename(self, target: &Path, replaces: bool) -> io::Result<()> {
        if replaces {
            fs::rename(&self.path, target)?;
        } else {
            rename_to_new(&self.path, target)?;
        }
        sync_folder(target)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After `rename` there is none. An error has been reported, or is the cause of the drop.
        let _ = fs::remove_file(&self.path);
    }
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

    #[test]
    fn a_file_that_another_program_writes_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let first = PartFile::create(&target, None).unwrap();
        let second = PartFile::create(&target, None).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::ResourceBusy);
        first.rename(&target, true).unwrap();
        drop(PartFile::create(&target, None).unwrap());
        assert!(target.exists() && !PartFile::path_of(&target).exists());
    }
}
