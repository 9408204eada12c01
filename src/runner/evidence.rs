//! Evidence: what the checks give on the base and on the final tree, what failed once more, the figures
//! of measures, and the verdict that `agent::verdict` makes of them.

use super::{
    beside::Beside,
    clean::Clean,
    drive::Driver,
    journal::Halt,
    pass::{Budget, Pass, Tree},
};
use crate::{
    agent::verdict::{
        ComparedCheck, Decided, Decision, Doubt, RUNS, RunOf, Scope, VerdictInput, decide, doubt, edited,
        is_unedited_due, measured, order,
    },
    checks,
    domain::{
        BlobHash,
        check::{Check, CheckKind, CheckOutcome, CheckResult, CheckRun, TestChange, Verdict},
        event::TreeDelta,
        task::PatchStat,
    },
    workspace::repository::Base,
};

pub(super) fn is_test(check: &Check) -> bool {
    check.kind == CheckKind::Test
}

/// The passes of one validation and what they gave so far.
struct Evidence<'a> {
    clean: &'a Clean,
    delta: &'a TreeDelta,
    compared: Vec<ComparedCheck>,
    /// Names of checks that the change does not reach.
    left_out: Vec<String>,
    budget: Budget,
    base: Pass,
    last: Pass,
    put_back: Option<Pass>,
    /// People approved that this tree weakens tests.
    weakening_approved: bool,
}

impl<'a> Evidence<'a> {
    fn new(clean: &'a Clean, delta: &'a TreeDelta, checks: Scope, weakening_approved: bool) -> Self {
        let budget = Budget::start(clean.allowed);
        let base = Pass::new(clean, Tree::Base, TreeDelta::default(), budget, false);
        let last = Pass::new(clean, Tree::Final, delta.clone(), budget, false);
        let compared = checks.run.into_iter().map(|check| ComparedCheck::new(check, None, None)).collect();
        let left_out = checks.left_out.into_iter().map(placed).collect();
        Self { clean, delta, compared, left_out, budget, base, last, put_back: None, weakening_approved }
    }

    /// Decides, with all that it takes to, and tells of tests that pass only as the patch has edited them.
    async fn decide(&mut self, beside: &mut Beside, change: &TestChange) -> Result<Decided, Halt> {
        let (mut decided, put_back) = self.by_rules(beside, change).await?;
        let is_open = change.edited.iter().any(|path| !put_back.contains(path));
        if decided.verdict == Verdict::Verified && is_open {
            self.unedited(&change.edited).await?;
            decided.findings.extend(edited(&self.compared, &change.edited));
        }
        Ok(decided)
    }

    /// The verdict, with the files that were put back for it.
    async fn by_rules(&mut self, beside: &mut Beside, change: &TestChange) -> Result<(Decided, Vec<String>), Halt> {
        self.runs(beside).await?;
        self.settle(false).await?;
        let put_back = match self.decision(change, false) {
            Decision::Decided(decided) => return Ok((decided, Vec::new())),
            Decision::NeedsRerun { put_back } => put_back,
        };
        self.put_back(&put_back).await?;
        self.settle(true).await?;
        match self.decision(change, true) {
            Decision::Decided(decided) => Ok((decided, put_back)),
            Decision::NeedsRerun { .. } => {
                Err(crate::store::StoreError::corrupt("verdict", "rerun", self.clean.task).into())
            }
        }
    }

    fn decision(&self, change: &TestChange, reran: bool) -> Decision {
        decide(VerdictInput {
            checks: &self.compared,
            change,
            reran,
            weakening_approved: self.weakening_approved,
            left_out: &self.left_out,
        })
    }

    /// Each check on the base and on the final tree.
    async fn runs(&mut self, beside: &mut Beside) -> Result<(), Halt> {
        let beside = beside.runs().await.unwrap_or_default();
        for one in self.compared.iter_mut().filter(|one| is_test(&one.check)) {
            one.baseline = beside.iter().find(|(check, _)| *check == one.check).map(|(_, run)| run.clone());
        }
        let missing = |one: &&mut ComparedCheck| is_test(&one.check) && one.baseline.is_none();
        let tests: Vec<Check> = self.compared.iter_mut().filter(missing).map(|one| one.check.clone()).collect();
        let baseline = self.clean.baseline(&tests, false).await?;
        for (one, run) in self.compared.iter_mut().filter(missing).zip(baseline) {
            one.baseline = Some(run);
        }
        let changed = !self.delta.changed.is_empty() || !self.delta.deleted.is_empty();
        let checks: Vec<Check> = self.compared.iter().map(|one| one.check.clone()).collect();
        let took = |at: usize| self.compared[at].baseline.as_ref().map(|run| run.duration_ms);
        for at in order(&checks, took) {
            if !is_test(&checks[at]) {
                self.measure(at, changed).await?;
            } else if changed {
                self.compared[at].final_run = Some(self.last.run(&checks[at]).await?);
            } else {
                let one = &mut self.compared[at];
                one.final_run.clone_from(&one.baseline);
            }
        }
        Ok(())
    }

    /// Runs a measure on both trees by turns, so that what else the machine does falls on both. Of each
    /// tree the first run stands, or the first that does not pass.
    async fn measure(&mut self, at: usize, changed: bool) -> Result<(), Halt> {
        let check = self.compared[at].check.clone();
        let mut figures: [Vec<f64>; 2] = Default::default();
        let mut stands: [Option<CheckRun>; 2] = Default::default();
        for _ in 0..if changed { RUNS } else { 1 } {
            for (tree, pass) in [&mut self.base, &mut self.last].into_iter().enumerate() {
                if tree == 1 && !changed {
                    continue;
                }
                let (run, figure) = pass.figure(&check).await?;
                figures[tree].extend(figure);
                let passed = run.outcome == CheckOutcome::Pass;
                if stands[tree].is_none() || !passed {
                    stands[tree] = Some(run);
                }
            }
            if stands.iter().flatten().any(|run| run.outcome != CheckOutcome::Pass) {
                break;
            }
        }
        let [base, last] = stands;
        let [base_figures, last_figures] = figures;
        let one = &mut self.compared[at];
        one.final_run = if changed { last } else { base.clone() };
        one.baseline = base;
        one.measured = measured(base_figures, last_figures);
        Ok(())
    }

    /// The checks on the patch with these files as the base has them.
    async fn put_back(&mut self, paths: &[String]) -> Result<(), Halt> {
        let mut pass = Pass::new(self.clean, Tree::PutBack, without(self.delta, paths), self.budget, false);
        let checks: Vec<Check> = self.compared.iter().map(|one| one.check.clone()).collect();
        let took = |at: usize| self.compared[at].final_run.as_ref().map(|run| run.duration_ms);
        let mut result = Ok(());
        for at in order(&checks, took) {
            match pass.run(&checks[at]).await {
                Ok(run) => self.compared[at].rerun = Some(run),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.put_back = Some(pass);
        result
    }

    /// The checks on the patch with these files as the base has them, in what is left of the time; the verdict stands
    /// whatever becomes of it.
    async fn unedited(&mut self, files: &[String]) -> Result<(), Halt> {
        if let Some(mut pass) = self.put_back.take() {
            pass.close().await;
        }
        let mut pass = Pass::new(self.clean, Tree::PutBack, without(self.delta, files), self.budget, false);
        let mut result = Ok(());
        for one in self.compared.iter_mut().filter(|one| is_unedited_due(one)) {
            match pass.run(&one.check).await {
                Ok(run) => one.unedited = Some(run),
                Err(Halt::Workspace(error)) => {
                    tracing::warn!(task.id = %self.clean.task, %error, "the base's tests could not be run on the patch");
                    break;
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.put_back = Some(pass);
        result
    }

    /// Runs again what failed and decides something.
    async fn settle(&mut self, reran: bool) -> Result<(), Halt> {
        while let Some(doubt) = doubt(&self.compared, reran) {
            self.again(&doubt).await?;
        }
        Ok(())
    }

    async fn again(&mut self, doubt: &Doubt) -> Result<(), Halt> {
        let one = &self.compared[doubt.check];
        let check = one.check.clone();
        let Some(first) = one.doubted_run(doubt.of) else {
            self.compared[doubt.check].settle(doubt, None, false);
            return Ok(());
        };
        let selected = checks::select(&check, &first, &doubt.tests);
        let asked = selected.as_ref().unwrap_or(&check);
        let again = match (doubt.of, &mut self.put_back) {
            (RunOf::Baseline, _) => self.clean.on_base(&mut self.base, asked, Some(&first)).await?,
            (RunOf::Final, _) => self.last.again(asked, &first).await?,
            (RunOf::PutBack, Some(pass)) => pass.again(asked, &first).await?,
            (RunOf::PutBack, None) => None,
        };
        self.compared[doubt.check].settle(doubt, again.as_ref(), selected.is_some());
        Ok(())
    }

    async fn close(mut self) -> Vec<ComparedCheck> {
        self.base.close().await;
        self.last.close().await;
        if let Some(mut pass) = self.put_back.take() {
            pass.close().await;
        }
        self.compared
    }
}

/// What a validation found.
pub(super) struct Judged {
    pub(super) decided: Decided,
    pub(super) results: Vec<CheckResult>,
    pub(super) patch: Option<(PatchStat, BlobHash)>,
    /// Changed paths that the request forbids to change.
    pub(super) forbidden: Vec<String>,
}

impl Driver {
    pub(super) async fn judge(
        &self,
        beside: &mut Beside,
        base: &Base,
        delta: &TreeDelta,
        checks: Scope,
    ) -> Result<Judged, Halt> {
        let changed = !delta.changed.is_empty() || !delta.deleted.is_empty();
        let patch = if changed { Some(self.patch(base, delta).await?) } else { None };
        let change = self.change(base, delta).await?;
        let clean = self.clean(base);
        let named = self.named(base, &change, &checks.run).await?;
        let to_tests = change.to_tests(base, named).await?;
        let mut evidence = Evidence::new(&clean, delta, checks, self.journal.session.weakening_approved());
        let decided = evidence.decide(beside, &to_tests).await;
        let compared = evidence.close().await;
        let mut decided = decided?;
        let forbidden = self.forbidden_paths(base, delta);
        if let Some((_, blob)) = &patch {
            let protected: Vec<String> = forbidden.iter().map(|path| globset::escape(path)).collect();
            decided.findings.extend(self.scan(base, &change, blob, protected).await?);
            decided.findings.extend(self.compatibility(base, delta).await?);
        }
        decided.findings.extend(self.copy.left_out());
        let results = compared
            .into_iter()
            .map(|c| CheckResult {
                name: c.check.name,
                command: c.check.command,
                source: c.check.source,
                required: c.check.required,
                log: c.final_run.as_ref().map(|run| run.log.clone()).unwrap_or_default(),
                baseline: c.baseline,
                final_run: c.final_run,
                measured: c.measured,
            })
            .collect();
        Ok(Judged { decided, results, patch, forbidden })
    }
}

/// A check by its name and place: packages have checks of one name.
fn placed(check: Check) -> String {
    match check.workdir {
        Some(directory) => format!("`{}` in `{directory}`", check.name),
        None => format!("`{}`", check.name),
    }
}

/// A delta with these paths as the base has them.
fn without(delta: &TreeDelta, paths: &[String]) -> TreeDelta {
    TreeDelta {
        changed: delta.changed.iter().filter(|e| !paths.contains(&e.path)).cloned().collect(),
        deleted: delta.deleted.iter().filter(|p| !paths.contains(p)).cloned().collect(),
    }
}
