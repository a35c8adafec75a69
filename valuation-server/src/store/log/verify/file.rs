//! The pass over a file's records and rows.

use std::collections::BTreeMap;

use super::Verified;
use super::findings::{Findings, Problem};
use super::sums::Sums;
use super::witnesses::Witnesses;
use crate::domain::LogHead;
use crate::store::location::Location;
use crate::store::log::chain::{self, Hash, Head, ID_AT, START, TAG};
use crate::store::log::rollup;
use crate::store::log::rows::{self, Rows};
use crate::store::log::source::LogSnapshot;
use crate::store::sql::{Sql, SqlError, ValueRef};

/// How many changed rows are kept, to find those that were swapped.
const KEPT: usize = 64;
/// How many ranges of changed rows of one record are kept, until its head is known.
const RANGES: usize = 1_000;
/// The progress is reported after so many rows.
const STEP: u64 = 10_000;
/// How many records of the chain are held in memory.
const RECORDS: i64 = 64;

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
    file: Location,
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

    /// Verifies a log; those with lower ids come first. `next` is the last id of the next one's first record.
    pub(super) fn file(
        &mut self,
        log: &LogSnapshot<'_>,
        next: Option<i64>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), SqlError> {
        let (mut encoded, mut highest) = (Vec::new(), None);
        // Some records at a time, and the rows up to the last of them.
        let (mut from, mut after) = (Some(i64::MIN), None);
        while let Some(first) = from {
            let mut stored = stored_records(log.sql(), after)?.into_iter();
            // After the last record: all rows that are left.
            let last = stored.as_slice().last().map_or(i64::MAX, |record| record.last);
            let is_end = stored.as_slice().is_empty();
            let mut record = self.next_record(log.place, &mut stored);
            rows::each_whole(log.sql(), &Rows::Between { first, last }, |row| {
                highest = highest.max(Some(row.id));
                while let Some(done) = record.take_if(|record| record.last < row.id) {
                    self.close(log.place, done, next);
                    record = self.next_record(log.place, &mut stored);
                }
                match &mut record {
                    Some(record) if record.first <= row.id => {
                        chain::encode(row.values(), &mut encoded)?;
                        self.row(log.place, record, row.id, &encoded);
                    }
                    None if next.is_none() => self.unsealed += 1,
                    _ => self.findings.add(log.place, Problem::Inserted(row.id, row.id)),
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
                Ok(())
            })?;
            while let Some(done) = record {
                highest = highest.max(Some(done.last));
                self.close(log.place, done, next);
                record = self.next_record(log.place, &mut stored);
            }
            (from, after) = (last.checked_add(1).filter(|_| !is_end), Some(last));
        }
        progress(self.rows);
        let counted_to = rollup::counted_to(log.sql())?.unwrap_or(0);
        let end = self.end.map_or(0, |end| end.last_id);
        if counted_to > end {
            self.findings.add(log.place, Problem::Cut(end.saturating_add(1), counted_to));
        }
        self.sequence(log, highest)
    }

    /// The next record, and whether it follows the one before.
    fn next_record(
        &mut self,
        file: &Location,
        stored: &mut impl Iterator<Item = StoredRecord>,
    ) -> Option<Record> {
        let StoredRecord { first, last, previous, head, tags } = stored.next()?;
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
        Some(Record {
            first,
            last,
            head,
            repeated,
            tags,
            hashed: Head::after(&previous.unwrap_or(START)),
            next: first,
            rows_missing: false,
            changed: Vec::new(),
        })
    }

    fn row(&mut self, file: &Location, record: &mut Record, id: i64, encoded: &[u8]) {
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
            let (file, encoded) = (file.clone(), encoded.to_vec());
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
    fn close(&mut self, file: &Location, record: Record, next_file: Option<i64>) {
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

    /// The engine keeps the highest id that it has given, also when its row is deleted.
    fn sequence(&mut self, log: &LogSnapshot<'_>, highest: Option<i64>) -> Result<(), SqlError> {
        let (file, given) = (log.place, log.recorded_id()?);
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
    pub(super) fn end(mut self, last: Option<&Location>) -> Verified {
        for (at, one) in self.changed.iter().enumerate() {
            for other in &self.changed[..at] {
                if one.is_sealed_as(other) && other.is_sealed_as(one) {
                    self.findings.add(&one.file, Problem::Swapped(other.id, one.id));
                }
            }
        }
        let end = self.end.map(|end| end.last_id);
        if let Some(last) = last {
            self.witnesses.finish(last, self.start, end, &mut self.findings);
        }
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

/// A record as it is stored.
struct StoredRecord {
    first: i64,
    last: i64,
    previous: Option<Hash>,
    head: Option<Hash>,
    tags: Vec<u8>,
}

/// The first [`RECORDS`] after the one that ends with this id.
fn stored_records(sql: &dyn Sql, after: Option<i64>) -> Result<Vec<StoredRecord>, SqlError> {
    let condition = if after.is_some() { r#"WHERE "lastId" > $2"# } else { "" };
    let select = format!(
        r#"SELECT "lastId", "firstId", "previous", "head", "rowTags" FROM "log_chain" {condition}
            ORDER BY "lastId" LIMIT $1"#
    );
    let values = [RECORDS, after.unwrap_or(0)].map(ValueRef::Integer);
    sql.all(&select, &values[..if after.is_some() { 2 } else { 1 }], |row| {
        let last = row.integer(0)?;
        Ok(StoredRecord {
            first: row.value(1)?.as_i64().unwrap_or(last),
            last,
            previous: chain::hash(row, 2)?,
            head: chain::hash(row, 3)?,
            tags: row.value(4)?.as_blob().unwrap_or_default().to_vec(),
        })
    })
}
