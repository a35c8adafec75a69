//! The terms of the business, without serde, HTTP, SQL and tower.

mod accounted;
mod attempt;
mod bucket;
mod call;
mod counts;
mod entry;
mod log_head;
mod mileage;
mod money;
mod printable;
mod provider;
mod quote;
mod trace;
mod valuation;
mod vrm;

pub use accounted::{AccountedCall, HourCell, log_seconds, row_outcome};
pub use attempt::{Answer, Describe, Failure};
pub use bucket::DurationBucket;
pub use call::{CallOutcome, CallTrail, ErrorCode, ProviderCall};
pub use counts::{Counts, Latencies};
pub use entry::Entry;
pub use log_head::{LogHead, LogHeadError, NewestHead};
pub use mileage::{Mileage, MileageError};
pub use money::{Money, MoneyError};
pub use printable::{printable, shortened};
pub use provider::Provider;
pub use quote::{Quote, QuoteError, QuoteRequest};
pub use trace::{Trace, TraceId};
pub use valuation::Valuation;
pub use vrm::{Vrm, VrmError};
