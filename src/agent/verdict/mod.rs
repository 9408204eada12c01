//! The verdict on a patch: decided from exit codes, parsed tests and the patch's own text, never
//! from a model's words. Pure. Start with [`decide`], then [`compare`];
//! before it, [`order`] and [`doubt`] say what is run.

mod compare;
mod decide;
mod edited;
mod flaky;
mod measure;
mod order;
mod reach;
mod scope;
mod steer;
mod words;

pub use decide::decide;
pub use edited::{edited, is_unedited_due};
pub use flaky::{Doubt, Doubted, RunOf, doubt};
pub use measure::{RUNS, measured};
pub use order::order;
pub use scope::{Scope, scope};

use crate::domain::check::{Check, CheckRun, Finding, Measured, TestChange, Verdict};

/// One check with what it gave on each tree.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedCheck {
    pub check: Check,
    /// On the base alone; absent where there is no base or it was not run.
    pub baseline: Option<CheckRun>,
    /// On base + patch; absent where it was not run (the time for validation was used up).
    pub final_run: Option<CheckRun>,
    /// On base + patch with the base's test files put back; absent before [`Decision::NeedsRerun`].
    pub rerun: Option<CheckRun>,
    /// On base + patch with the test files that the patch edited as the base has them: for a finding alone.
    pub unedited: Option<CheckRun>,
    pub doubted: DoubtedRuns,
    /// Of a `measure`, where both trees gave figures.
    pub measured: Option<Measured>,
}

impl ComparedCheck {
    pub fn new(check: Check, baseline: Option<CheckRun>, final_run: Option<CheckRun>) -> Self {
        Self {
            check,
            baseline,
            final_run,
            rerun: None,
            unedited: None,
            doubted: DoubtedRuns::default(),
            measured: None,
        }
    }
}

/// Which of a check's failures have been run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoubtedRuns {
    pub baseline: Doubted,
    pub last: Doubted,
    pub rerun: Doubted,
}

/// What a verdict is decided from.
#[derive(Clone, Copy, Debug)]
pub struct VerdictInput<'a> {
    pub checks: &'a [ComparedCheck],
    pub change: &'a TestChange,
    /// The rerun was asked for and done: a check without one then counts as not passing.
    pub reran: bool,
    /// A person approved that the patch weakens tests.
    pub weakening_approved: bool,
    /// Names of the checks that the change does not reach and that were not run.
    pub left_out: &'a [String],
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Decided(Decided),
    /// Put these files as the base has them over the final tree (without those that it does not have),
    /// run the checks again, and decide with [`VerdictInput::reran`]. Never empty, never asked for twice.
    NeedsRerun {
        put_back: Vec<String>,
    },
}

/// A verdict with its reason in words for people, and what they should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub verdict: Verdict,
    pub reason: String,
    pub findings: Vec<Finding>,
    /// It failed for nothing but tests that the patch weakens.
    pub weakened: bool,
}
