//! The checksum of a finished archive, as `sha256sum --check` reads it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::store::part_file::PartFile;
use crate::store::sqlite::open::{beside, sync_folder};

/// Where the checksum of a file stands.
pub(super) fn path(file: &Path) -> PathBuf {
    beside(file, ".sha256")
}

/// Computes it and writes it next to the file. No connection of this process may be open: closing a handle
/// would release SQLite's locks.
pub(super) fn write(file: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut reader = File::open(file)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            length => digest.update(&buffer[..length]),
        }
    }
    let sum = digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let path = path(file);
    let part = PartFile::create(&path, Some(file))?;
    writeln!(part.file(), "{sum}  {name}")?;
    part.file().sync_all()?;
    part.rename(&path, true)?;
    Ok(sum)
}

/// Removes it before the file changes, so that no wrong one is left by a kill.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(path(file)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(file),
    }
}
