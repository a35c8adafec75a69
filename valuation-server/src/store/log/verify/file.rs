//! The pass over a file's records and rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, Rows};

use super::Verified;
use super::findings::{Findings, Problem};
use super::sums::Sums;
use super::witnesses::Witnesses;
use crate::domain::LogHead;
use crate::store::log::chain::{self, Hash, Head, ID_AT, START, TAG};
use crate::store::log::rollup;
use crate::store::log::rows::{WHOLE, WholeRow};

/// How many changed rows are kept, to find those that were swapped.
const KEPT: usize = 64;
/// How many ranges of changed rows of one record are kept, until its head is known.
const RANGES: usize = 1_000;
/// The progress is reported after so many rows.
const STEP: u64 = 10_000;

/// What is carried from row to row, and from file to file.
pub(super) struct Walk {
    pub(super) findings: Findings,
    witnesses: Witnesses,
    /// The first sealed id.
    start: Option<i64>,
    end: Option<LogHead>,
    rows: u64,
    unsealed: u64,
    /// How many rows were in an earlier file as well, with the same record.
    repeated: u64,
    /// The records that the next file may have as well, by their last ids: their first ids, and heads.
    heads: BTreeMap<i64, (i64, Hash)>,
    /// What the rollups should have.
    pub(super) sums: Option<Sums>,
    changed: Vec<Changed>,
}

/// A row that is not as it was sealed.
struct Changed {
    file: PathBuf,
    id: i64,
    encoded: Vec<u8>,
    /// What its record has.
    tag: [u8; TAG],
}

/// A record, and its rows so far.
struct Record {
    first: i64,
    last: i64,
    head: Option<Hash>,
    /// Whether an earlier file has the same.
    repeated: bool,
    tags: Vec<u8>,
    hashed: Head,
    /// The next row.
    next: i64,
    rows_missing: bool,
    changed: Vec<(i64, i64)>,
}

impl Walk {
    pub(super) fn new(witnesses: Witnesses) -> Self {
        Self {
            findings: Findings::default(),
            witnesses,
            start: None,
            end: None,
            rows: 0,
            unsealed: 0,
            repeated: 0,
            heads: BTreeMap::new(),
            sums: None,
            changed: Vec::new(),
        }
    }

    /// Verifies a file; those with lower ids come first. `next` is the last id of the next file's first record.
    pub(super) fn file(
        &mut self,
        file: &Path,
        conn: &Connection,
        next: Option<i64>,
        progress: &mut dyn FnMut(u64),
    ) -> rusqlite::Result<()> {
        let mut records = conn.prepare(
            r#"SELECT "lastId", "firstId", "previous", "head", "rowTags" FROM "log_chain"
                ORDER BY "lastId""#,
        )?;
        let mut records = records.query([])?;
        let mut rows =
            conn.prepare(&format!(r#"SELECT {WHOLE} FROM "ProviderLogs" ORDER BY "id""#))?;
        let mut rows = rows.query([])?;
        let (mut encoded, mut highest) = (Vec::new(), None);
        let mut record = self.next_record(file, &mut records)?;
        while let Some(row) = rows.next()? {
            let row = WholeRow::of(row)?;
            highest = highest.max(Some(row.id));
            while let Some(done) = record.take_if(|record| record.last < row.id) {
                self.close(file, done, next);
                record = self.next_record(file, &mut records)?;
            }
            match &mut record {
                Some(record) if record.first <= row.id => {
                    chain::encode(row.values(), &mut encoded)?;
                    self.row(file, record, row.id, &encoded);
                }
                None if next.is_none() => self.unsealed += 1,
                _ => self.findings.add(file, Problem::Inserted(row.id, row.id)),
            }
            if record.as_ref().is_some_and(|record| record.repeated) {
                self.repeated += 1;
            } else if let Some(sums) = &mut self.sums {
                sums.add(&row.accounted()?);
            }
            self.rows += 1;
            if self.rows.is_multiple_of(STEP) {
                progress(self.rows);
            }
        }
        while let Some(done) = record {
            highest = highest.max(Some(done.last));
            self.close(file, done, next);
            record = self.next_record(file, &mut records)?;
        }
        progress(self.rows);
        let counted_to = rollup::counted_to(conn)?.unwrap_or(0);
        let end = self.end.map_or(0, |end| end.last_id);
        if counted_to > end {
            self.findings.add(file, Problem::Cut(end.saturating_add(1), counted_to));
        }
        self.sequence(file, conn, highest)
    }

    /// The next record, and whether it follows the one before.
    fn next_record(
        &mut self,
        file: &Path,
        records: &mut Rows<'_>,
    ) -> rusqlite::Result<Option<Record>> {
        let Some(row) = records.next()? else { return Ok(None) };
        let last: i64 = row.get(0)?;
        let first = row.get_ref(1)?.as_i64().unwrap_or(last);
        let previous = hash(row, 2)?;
        let head = hash(row, 3)?;
        let repeated = head.is_some_and(|head| self.heads.get(&last) == Some(&(first, head)));
        let end = self.end.map_or(0, |end| end.last_id);
        if repeated {
            // Archiving was interrupted between the copy and the deletion.
        } else if self.end.is_some() && first <= end {
            self.findings.add(file, Problem::Overlap(first));
        } else if self.end.is_none() && previous != Some(START) {
            self.findings.add(file, Problem::Front(first));
        } else if self.end.is_some_and(|end| previous != Some(end.hash)) {
            self.findings.add(file, Problem::Unlinked(end, first));
        }
        if self.start.is_none()
            && let Some(hash) = previous
        {
            let head = LogHead { last_id: first.saturating_sub(1), hash };
            self.witnesses.compare(file, &head, &mut self.findings);
        }
        self.start.get_or_insert(first);
        Ok(Some(Record {
            first,
            last,
            head,
            repeated,
            tags: row.get_ref(4)?.as_blob().unwrap_or_default().to_vec(),
            hashed: Head::after(&previous.unwrap_or(START)),
            next: first,
            rows_missing: false,
            changed: Vec::new(),
        }))
    }

    fn row(&mut self, file: &Path, record: &mut Record, id: i64, encoded: &[u8]) {
        if record.next < id {
            self.findings.add(file, Problem::Removed(record.next, id - 1));
            record.rows_missing = true;
        }
        record.next = id.saturating_add(1);
        let hash = chain::row_hash(encoded);
        record.hashed.add(&hash);
        let tag = record.tag(id);
        if tag == Some(&hash[..TAG]) {
            return;
        }
        if let Some(tag) = tag.and_then(|tag| tag.try_into().ok())
            && self.changed.len() < KEPT
        {
            let (file, encoded) = (file.to_owned(), encoded.to_vec());
            self.changed.push(Changed { file, id, encoded, tag });
        }
        if let Some((_, last)) = record.changed.last_mut()
            && *last + 1 == id
        {
            *last = id;
        } else if record.changed.len() < RANGES {
            record.changed.push((id, id));
        }
    }

    /// After the last row of a record.
    fn close(&mut self, file: &Path, record: Record, next_file: Option<i64>) {
        let Record { first, last, head, repeated, .. } = record;
        if record.next <= last {
            self.findings.add(file, Problem::Removed(record.next, last));
        }
        let is_whole = record.next > last && !record.rows_missing;
        let confirmed = is_whole && head == Some(record.hashed.hash());
        let counted = last.abs_diff(first).saturating_add(1).saturating_mul(TAG as u64);
        let tags_fit = first <= last && record.tags.len() as u64 == counted;
        if confirmed && (!record.changed.is_empty() || !tags_fit) {
            self.findings.add(file, Problem::Tags(first, last));
        } else if !record.changed.is_empty() && tags_fit {
            for (first, last) in record.changed {
                self.findings.add(file, Problem::Changed(first, last));
            }
        } else if !tags_fit || (is_whole && !confirmed) {
            self.findings.add(file, Problem::Record(first, last));
        }
        if repeated {
            return;
        }
        if next_file.is_some_and(|next| last >= next) {
            self.heads.insert(last, (first, head.unwrap_or(START)));
        }
        let head = LogHead { last_id: last, hash: head.unwrap_or(START) };
        self.witnesses.compare(file, &head, &mut self.findings);
        self.end = Some(head);
    }

    /// SQLite keeps the highest id that it has given, also when its row is deleted.
    fn sequence(
        &mut self,
        file: &Path,
        conn: &Connection,
        highest: Option<i64>,
    ) -> rusqlite::Result<()> {
        let given: Option<i64> = conn
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'ProviderLogs'", [], |row| {
                Ok(row.get_ref(0)?.as_i64().ok())
            })
            .optional()?
            .flatten();
        // Without a row here the ids go on from the files before.
        let end = self.end.map_or(0, |end| end.last_id);
        let (highest, end) = (highest.unwrap_or(end), end.max(highest.unwrap_or(end)));
        match given {
            Some(given) if given > end => {
                self.findings.add(file, Problem::Truncated(end.saturating_add(1), given));
            }
            Some(given) if given >= highest => {}
            _ if highest > 0 => self.findings.add(file, Problem::Sequence(highest)),
            _ => {}
        }
        Ok(())
    }

    /// After the last file.
    pub(super) fn end(mut self, files: &[PathBuf]) -> Verified {
        for (at, one) in self.changed.iter().enumerate() {
            for other in &self.changed[..at] {
                if one.is_sealed_as(other) && other.is_sealed_as(one) {
                    self.findings.add(&one.file, Problem::Swapped(other.id, one.id));
                }
            }
        }
        let end = self.end.map(|end| end.last_id);
        let last = files.last().cloned().unwrap_or_default();
        self.witnesses.finish(&last, self.start, end, &mut self.findings);
        self.findings.close();
        Verified {
            findings: self.findings.first,
            count: self.findings.count,
            rows: self.rows,
            ids: self.start.zip(end),
            head: self.end,
            unsealed: self.unsealed,
            repeated: self.repeated,
        }
    }
}

impl Record {
    fn tag(&self, id: i64) -> Option<&[u8]> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?.checked_mul(TAG)?;
        self.tags.get(at..at.checked_add(TAG)?)
    }
}

impl Changed {
    /// Whether this row's contents were sealed with the other's id.
    fn is_sealed_as(&self, other: &Self) -> bool {
        let mut encoded = self.encoded.clone();
        encoded[ID_AT].copy_from_slice(&other.id.to_le_bytes());
        chain::row_hash(&encoded)[..TAG] == other.tag
    }
}

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Hash>> {
    Ok(row.get_ref(column)?.as_blob().ok().and_then(|hash| hash.try_into().ok()))
}
