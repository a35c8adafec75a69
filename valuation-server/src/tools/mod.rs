//! The commands on the log of provider calls, next to a running server or without one: their flags and their
//! work. All of them block, and read a flag that a signal to stop sets.
//!
//! | command | does | changes |
//! |---|---|---|
//! | `report` | figures for a service level agreement, by [`report`](crate::report) | nothing |
//! | `report --verify` | holds the log against its hash chain | nothing |
//! | `logs` | shows rows, and follows the log | nothing |
//! | `export` | writes rows for other programs | an output file |
//! | `backup` | copies the database, and verifies the copy | an output file |
//! | `archive` | moves old rows to a file of their own | the database and the archive |
//! | `migrate` | moves a database to PostgreSQL or back, and compares both | another database |
//! | `rollups` | builds the sums and the hash chain of an older log | the database |

mod archive;
mod backup;
mod call_args;
mod error;
mod export;
mod lines;
mod log_files;
mod logs;
mod migrate;
mod part_file;
mod progress;
mod report;
mod rollups;
mod verify;

pub use archive::ArchiveArgs;
pub use backup::BackupArgs;
pub use call_args::CallArgs;
pub use error::{ToolError, WitnessError};
pub use export::{ExportArgs, ExportFormat};
pub use log_files::{DatabaseArgs, LogFiles};
pub use logs::{LogsArgs, LogsFormat};
pub use migrate::MigrateArgs;
pub use part_file::PartFileError;
pub use report::{Format, ReportArgs};
pub use rollups::RollupsArgs;
pub use verify::VerifyArgs;
