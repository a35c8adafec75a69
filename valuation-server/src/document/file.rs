//! A document in a file.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use super::{Document, LONGEST, Place, Unread};

/// Reads a file. Blocks.
pub(super) fn read(path: &Path) -> Result<Document, Unread> {
    read_from(File::open(path)?, path)
}

fn read_from(file: File, path: &Path) -> Result<Document, Unread> {
    let read_at = SystemTime::now();
    let modified = file.metadata()?.modified().unwrap_or(read_at);
    let mut bytes = Vec::new();
    // One more byte than allowed tells a document that is too long.
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(Unread::TooLong);
    }
    let text = String::from_utf8(bytes).map_err(|_| Unread::NotUtf8)?;
    Ok(Document { place: Place::File(path.to_owned()), text, read_at, modified })
}

/// What differs when a file was written or replaced, also by a swapped symbolic link on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Differs also if `modified` was set back.
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(of: &Metadata) -> Self {
        Self {
            device: of.dev(),
            inode: of.ino(),
            size: of.size(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }
}

/// A file that is looked at again and again.
///
/// Not by inotify: it reports neither a symbolic link on the path that is swapped, as Kubernetes does with a
/// `ConfigMap`, nor what another machine writes to a network file system.
///
/// A change is read when two looks in a row have seen the same metadata. So what an editor has written by half is
/// not read unless it takes its time, and a second write within the coarse unit of time stamps is not missed.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    path: PathBuf,
    /// Of the last look; `None` if there was no file.
    seen: Option<Stamp>,
    /// Whether the file has been read since it has these metadata.
    is_read: bool,
}

impl Watched {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, is_read: false }
    }

    /// Reads the file if it has changed and the change has settled, or if it must be read `now`. After an error
    /// `None` means that it is not settled. Blocks.
    pub(super) fn look(&mut self, now: bool) -> Result<Option<Document>, Unread> {
        let before = self.seen.take();
        let file = open_regular(&self.path)?;
        self.seen = Some(Stamp::from(&file.metadata()?));
        let is_settled = before == self.seen;
        self.is_read &= is_settled;
        let is_due = is_settled && !self.is_read;
        if !is_due && !now {
            return Ok(None);
        }
        // Unless the read succeeds.
        self.is_read = false;
        let document = read_from(file, &self.path)?;
        self.is_read = is_settled;
        Ok(Some(document))
    }
}

/// Opens a regular file. A pipe that has replaced it would block its reader for good, and later changes would not be
/// seen.
fn open_regular(path: &Path) -> Result<File, Unread> {
    // To open a pipe blocks as well, until there is a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Unread::NoFile) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// The texts that four looks give.
    fn looks(watched: &mut Watched) -> Vec<String> {
        let looks = (0..4).filter_map(|_| watched.look(false).unwrap());
        looks.map(|document| document.text).collect()
    }

    #[test]
    fn a_file_is_read_once_when_two_looks_have_seen_the_same_and_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(path);
        let read: Vec<bool> = (0..5).map(|_| watched.look(false).unwrap().is_some()).collect();
        assert_eq!(read, [false, true, false, false, false]);
        assert!(watched.look(true).unwrap().is_some(), "on demand");
        assert!(watched.look(false).unwrap().is_none());
    }

    #[test]
    fn each_way_of_replacing_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let path = at("c.toml");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(path.clone());
        assert_eq!(looks(&mut watched), ["a"]);
        // In place.
        fs::write(&path, "bb").unwrap();
        assert_eq!(looks(&mut watched), ["bb"]);
        // By rename, with the same size and modification time.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(at("new"), "cc").unwrap();
        File::options().write(true).open(at("new")).unwrap().set_modified(modified).unwrap();
        fs::rename(at("new"), &path).unwrap();
        assert_eq!(looks(&mut watched), ["cc"]);
        // Removed, and put back.
        fs::rename(&path, at("away")).unwrap();
        assert!(watched.look(false).is_err() && watched.look(false).is_err());
        fs::rename(at("away"), &path).unwrap();
        assert_eq!(looks(&mut watched), ["cc"]);
        // A folder in its place can't be read.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(watched.look(true).is_err() && watched.look(false).is_err());
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "cc").unwrap();
        assert_eq!(looks(&mut watched), ["cc"]);
    }

    #[test]
    fn a_pipe_or_a_folder_in_the_place_of_the_file_is_an_error_and_blocks_no_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::new(path.clone());
        assert_eq!(looks(&mut watched), ["a"]);
        for kind in [FileType::Fifo, FileType::Directory] {
            fs::remove_file(&path).unwrap();
            match kind {
                FileType::Fifo => mknodat(CWD, &path, kind, Mode::RUSR | Mode::WUSR, 0).unwrap(),
                _ => fs::create_dir(&path).unwrap(),
            }
            for now in [false, false, true] {
                assert!(matches!(watched.look(now), Err(Unread::NoFile)), "{kind:?}");
            }
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
            fs::write(&path, "b").unwrap();
            assert_eq!(looks(&mut watched), ["b"]);
        }
    }

    /// As Kubernetes mounts a `ConfigMap`: the file is a link into `..data`, which is swapped.
    #[test]
    fn a_swapped_symbolic_link_on_the_path_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "a"), ("v2", "b")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("c.toml"), text).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/c.toml", at("c.toml")).unwrap();
        let mut watched = Watched::new(at("c.toml"));
        assert_eq!(looks(&mut watched), ["a"]);
        symlink("v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(looks(&mut watched), ["b"]);
    }

    #[test]
    fn a_document_that_is_too_long_or_not_utf8_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, vec![b'#'; LONGEST + 1]).unwrap();
        assert!(matches!(read(&path), Err(Unread::TooLong)));
        fs::write(&path, vec![b'#'; LONGEST]).unwrap();
        assert_eq!(read(&path).unwrap().text.len(), LONGEST);
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read(&path), Err(Unread::NotUtf8)));
    }
}
