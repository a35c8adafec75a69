//! The room that the database takes, and what is left.

use std::path::Path;

use super::open::beside;
use crate::store::reading::DiskUse;

/// Only looks at the names: opening the file would release SQLite's locks.
pub(super) fn of(path: &Path) -> DiskUse {
    let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
    let system = path.parent().and_then(|folder| rustix::fs::statvfs(folder).ok());
    DiskUse {
        database: size(path) + size(&beside(path, "-wal")),
        free: system.map(|system| system.f_bavail.saturating_mul(system.f_frsize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_counts_as_the_database_and_a_missing_one_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.sqlite");
        assert_eq!(of(&path).database, 0);
        std::fs::write(&path, [0; 512]).unwrap();
        std::fs::write(beside(&path, "-wal"), [0; 100]).unwrap();
        assert_eq!(of(&path).database, 612);
        assert!(of(&path).free.is_some());
        assert_eq!(of(Path::new("/nowhere/v.sqlite")), DiskUse { database: 0, free: None });
    }
}
