//! Whether refinement gets anywhere: what fails is counted at each validation, and the best tree seen is kept.

use super::session::{Checked, CheckpointRef};
use crate::domain::{
    Oid,
    check::{CheckOutcome, CheckResult, CheckRun, Verdict},
};

/// Validations in a row without fewer failures, after which nothing more is sent back.
const NOT_SHRUNK_MAX: u32 = 2;

/// Validations in which a worker died, after which none is begun by a limit.
const CUT_OFF_MAX: u32 = 1;

/// How much fails that the base does not fail, of what is required; less is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Checks that fail without a word on which tests: a build that breaks hides every test.
    pub unread: u32,
    pub failing: u32,
}

impl Score {
    /// Failed with nothing that fails: its tests were weakened, and no other tree is as bad.
    const WEAKENED: Self = Self { unread: u32::MAX, failing: u32::MAX };

    /// What a verdict's checks come to.
    pub fn of(verdict: Verdict, checks: &[CheckResult]) -> Self {
        match Self::counted(checks) {
            _ if verdict != Verdict::Failed => Self::default(),
            score if score == Self::default() => Self::WEAKENED,
            score => score,
        }
    }

    fn counted(checks: &[CheckResult]) -> Self {
        let mut score = Self::default();
        for check in checks.iter().filter(|check| check.required) {
            let Some(run) = check.final_run.as_ref().filter(|run| run.outcome != CheckOutcome::Pass) else { continue };
            let base = check.baseline.as_ref();
            if run.failing.is_empty() {
                let as_before = base.is_some_and(|base| base.outcome == run.outcome && base.failing.is_empty());
                score.unread += u32::from(!as_before);
            } else {
                let known = |name: &&String| base.is_some_and(|base| fails(base, name));
                score.failing += u32::try_from(run.failing.iter().filter(|n| !known(n)).count()).unwrap_or(u32::MAX);
            }
        }
        score
    }
}

fn fails(run: &CheckRun, name: &str) -> bool {
    run.failing.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
}

/// A tree that was validated, with what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    pub score: Score,
    pub checkpoint: Option<CheckpointRef>,
    pub checked: Checked,
}

/// The validations of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Begun and neither ended nor followed by a model call, nor given back by a drain, nor cut off for the first time.
    pub running: bool,
    /// Somebody has asked for more since it began.
    outdated: bool,
    /// Workers that died in a validation of this run.
    cut_off: u32,
    last: Option<Validated>,
    not_shrunk: u32,
    best: Option<Validated>,
    /// What held and was sent back by a review all the same: no end of the run is worse than this.
    held: Option<Validated>,
}

impl Progress {
    /// A drain has given the task back: what was under way begins anew.
    pub(super) fn given_back(&mut self) {
        self.running = false;
    }

    /// A worker has died: once a validation is begun anew, but not what kills its workers.
    pub(super) fn interrupted(&mut self) {
        if self.running {
            self.cut_off += 1;
            self.running = self.cut_off > CUT_OFF_MAX;
        }
    }

    /// What the request forbids is changed in a tree that is `forbidden`.
    pub(super) fn ended(&mut self, checked: &Checked, checkpoint: Option<&CheckpointRef>, forbidden: bool) {
        self.running = false;
        let score = Score::of(checked.verdict, &checked.checks);
        self.not_shrunk = self.not_shrunk_by(score);
        let validated = Validated { score, checkpoint: checkpoint.cloned(), checked: checked.clone() };
        let outdated = std::mem::take(&mut self.outdated);
        if !forbidden && !outdated && self.best.as_ref().is_none_or(|best| score < best.score) {
            self.best = Some(validated.clone());
        }
        self.last = Some(validated);
    }

    /// Keeps the last validation, which holds, for as long as nobody asks for more.
    pub(super) fn hold(&mut self) {
        self.held.clone_from(&self.last);
    }

    /// Somebody asks for more: a tree from before does not do what they ask for. Tasks of earlier builds went back
    /// to it all the same.
    pub(super) fn let_go(&mut self, loop_version: u32) {
        self.held = None;
        if loop_version >= 2 {
            self.best = None;
            self.outdated = self.running;
        }
    }

    /// What the run ends with where nothing better came of what a review had raised.
    pub(super) fn held(&self) -> Option<&Validated> {
        self.held.as_ref()
    }

    fn not_shrunk_by(&self, score: Score) -> u32 {
        let shrunk = self.last.as_ref().is_none_or(|before| score < before.score);
        if shrunk { 0 } else { self.not_shrunk + 1 }
    }

    /// With this it would be the second time running that what fails has not become less. Tasks of earlier builds
    /// do not see that weakened tests fail.
    pub(super) fn stands_still(&self, verdict: Verdict, checks: &[CheckResult], loop_version: u32) -> bool {
        let score = if loop_version == 0 { Score::counted(checks) } else { Score::of(verdict, checks) };
        self.not_shrunk_by(score) >= NOT_SHRUNK_MAX
    }

    /// At the last validation it was the second time running.
    pub(super) fn has_stood_still(&self) -> bool {
        self.not_shrunk >= NOT_SHRUNK_MAX
    }

    /// What the last validation said, where it was of this tree.
    pub(super) fn known(&self, checkpoint: Option<&CheckpointRef>) -> Option<&Checked> {
        let last = self.last.as_ref()?;
        let tree = |checkpoint: &CheckpointRef| checkpoint.tree.clone();
        (last.checkpoint.as_ref().map(tree) == checkpoint.map(tree)).then_some(&last.checked)
    }

    /// An earlier tree of the run that failed less than the last one.
    pub(super) fn better(&self) -> Option<&Validated> {
        let last = self.last.as_ref()?;
        self.held.as_ref().or(self.best.as_ref()).filter(|best| best.score < last.score)
    }

    /// What a validation had found of this tree, where it is the best.
    pub(super) fn restored(&mut self, tree: &Oid) -> Option<Checked> {
        let is_it = |best: &&Validated| best.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.tree == *tree);
        let best = self.held.as_ref().filter(is_it).or(self.best.as_ref().filter(is_it))?.clone();
        let checked = best.checked.clone();
        self.last = Some(best);
        Some(checked)
    }
}
