//! Runs checks on a clean copy, parses their logs into tests, scans patches.
//!
//! Decides nothing: the verdict is `agent::verdict`'s. Never claims more of a log than it says: a
//! log whose summary does not agree with the tests that it names is not parsed. Start with
//! [`run()`], then [`parse()`].

mod commands;
mod condense;
mod judge;
mod lacks;
mod measure;
mod mend;
mod named;
mod parse;
mod report;
mod reports;
mod run;
mod runners;
mod scan;
mod select;
mod steer;
mod testcode;
mod weaken;

pub use commands::may_run;
pub use judge::{LOG_TAIL_BYTES, Output, judge, not_reached, tail};
pub use measure::figure;
pub use named::{Named, may_name};
pub use parse::parse;
pub use report::failure_report;
pub use run::{READS, Ran, run};
pub use scan::{Exported, ScanInput, api_changes, forbidden, is_manifest, neighbours, new_dependencies, scan};
pub use select::select;
pub use steer::may_steer;
pub use weaken::{ChangedFile, is_test_path, test_change};
