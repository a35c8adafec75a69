//! Implements the valuer's records by the store.

use std::future::ready;

use futures_util::future::Either;

use crate::domain::{Entry, Vrm};
use crate::store::{Reservation, Store, StoreError};
use crate::valuer::{Commit, Find, Permit, Records, RecordsError, Reserve};

/// The store as the valuer's records.
#[derive(Debug)]
pub struct Stored(pub Store);

impl Records for Stored {
    fn find(&self, vrm: &Vrm) -> Find<'_> {
        match self.0.find(vrm) {
            Either::Left(found) => Either::Left(ready(found.into_inner().map_err(records_error))),
            Either::Right(found) => {
                Either::Right(Box::pin(async { found.await.map_err(records_error) }))
            }
        }
    }

    fn version(&self) -> u64 {
        self.0.version()
    }

    fn reserve(&self) -> Reserve<'_> {
        Box::pin(async {
            let permit: Box<dyn Permit> = Box::new(self.0.reserve().await.map_err(records_error)?);
            Ok(permit)
        })
    }

    fn submit(&self, entry: Entry) {
        self.0.submit(entry);
    }
}

impl Permit for Reservation {
    fn commit(self: Box<Self>, entry: Entry) -> Commit {
        Box::pin(async move { (*self).commit(entry).await.map_err(records_error) })
    }

    fn submit(self: Box<Self>, entry: Entry) {
        (*self).submit(entry);
    }
}

fn records_error(error: StoreError) -> RecordsError {
    match error {
        // Permanent: a retry would read or write the same row.
        StoreError::Corrupt { .. } | StoreError::Rejected(_) => RecordsError::corrupt(error),
        _ => RecordsError::unavailable(error),
    }
}
