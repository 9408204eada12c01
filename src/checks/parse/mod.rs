//! Logs and reports of test runners into named tests.

use crate::domain::check::TestReport;

/// The tests of one run. `reports` are the contents of report files (JUnit XML, TAP) that the run
/// wrote, and go before the log. Absent where neither says for sure what ran: an unknown runner, a
/// cut log, a summary that does not agree with the tests named.
pub fn parse(_command: &str, _log: &[u8], _reports: &[Vec<u8>]) -> Option<TestReport> {
    None
}
