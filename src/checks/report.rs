//! What goes back to the model when checks fail.

use crate::domain::check::CheckResult;

/// The failures that the base does not have, cut to what matters: at most 6,000 characters.
pub fn failure_report(_results: &[CheckResult]) -> String {
    String::new()
}
