//! The log of provider calls: `ProviderLogs`, and what is derived from its rows.
//!
//! ```text
//! logs, rows                          the rows, as they are written and read
//! rollup, chain ─► derived            the sums and the hash chain over them
//! source ─► trail                     whole rows, for `logs` and `export`
//!        ─► audit_log                 what a report needs
//!        ─► verify                    the rows against their chain and their sums
//!        ─► archive                   older rows to a file of their own
//! ```

pub(super) mod audit_file;
pub(super) mod chain;
pub(super) mod derived;
pub(super) mod log_tables;
pub(super) mod logs;

mod archive;
mod audit_log;
mod id_ranges;
mod rollup;
mod rows;
mod source;
mod trail;
mod verify;

pub use archive::{
    ArchiveError, ArchivePlan, Archived, Archiver, Piece, Refusal, StopReason, archive_plan,
    is_archive,
};
pub use audit_log::{AuditLog, AuditSnapshot, CallRows, Interrupt, Interval};
pub use derived::DerivedState;
pub use logs::LoggedCall;
pub use trail::{Pieces, Trail, TrailFilter};
pub use verify::{Finding, Problem, Verified, verify};
