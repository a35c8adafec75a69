//! Vehicles, and requests about them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Unused registration marks: seven letters and digits.
#[derive(Debug, Default)]
pub(crate) struct Marks(AtomicU64);

impl Marks {
    pub(crate) fn next(&self) -> String {
        mark(self.number())
    }

    /// The next one's number.
    pub(crate) fn number(&self) -> u64 {
        // Ordering: Relaxed. It only matters that no number is given twice.
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// How many were given.
    pub(crate) fn given(&self) -> u64 {
        // Ordering: as in `number`.
        self.0.load(Ordering::Relaxed)
    }

    /// Skips this many.
    pub(crate) fn skip(&self, marks: u64) {
        // Ordering: as in `number`.
        self.0.fetch_add(marks, Ordering::Relaxed);
    }
}

/// The registration mark with this number.
pub(crate) fn mark(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut mark = [b'0'; 7];
    for place in mark.iter_mut().rev() {
        *place = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    mark.iter().map(|digit| char::from(*digit)).collect()
}

pub(crate) fn get(buffer: &mut Vec<u8>, mark: &str) {
    buffer.extend_from_slice(b"GET /valuations/");
    buffer.extend_from_slice(mark.as_bytes());
    buffer.extend_from_slice(b" HTTP/1.1\r\nhost: x\r\n\r\n");
}

pub(crate) fn put(buffer: &mut Vec<u8>, mark: &str) {
    buffer.extend_from_slice(b"PUT /valuations/");
    buffer.extend_from_slice(mark.as_bytes());
    buffer.extend_from_slice(
        b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n\
          {\"mileage\":10000}",
    );
}
