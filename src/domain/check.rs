//! Checks, their results, and the verdict that they give.

use super::BlobHash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    #[default]
    Test,
    Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckSource {
    /// Named by the task.
    Task,
    /// Named by the repository's configuration for the service or its environment.
    Repository,
    /// Found by the analysis.
    Detected,
}

/// A command whose exit code says whether the work holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    pub name: String,
    /// Run by `bash -c`, or `sh -c` where there is no bash.
    pub command: String,
    /// Below the working copy; absent: its root.
    pub workdir: Option<String>,
    pub required: bool,
    /// Absent: what is left of `limits.validation_seconds`.
    pub timeout_seconds: Option<u32>,
    pub network: bool,
    pub kind: CheckKind,
    /// For `measure`: a regular expression whose first group, in its last match, is the figure; absent: the
    /// duration. The smaller figure is the better one.
    pub metric: Option<String>,
    /// For `measure`: the part by which the median of three runs may be worse than the base's; absent: 0.1.
    /// More is a `performance` finding; the outcome is still the exit code's.
    pub max_regression: Option<f64>,
    pub source: CheckSource,
}

impl Check {
    /// A required test command with nothing else set.
    pub fn command(command: impl Into<String>, source: CheckSource) -> Self {
        let command = command.into();
        Self {
            name: command.clone(),
            command,
            workdir: None,
            required: true,
            timeout_seconds: None,
            network: false,
            kind: CheckKind::Test,
            metric: None,
            max_regression: None,
            source,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Pass,
    Fail,
    CouldNotRun,
}

/// One test's outcome as parsed from a check's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    Passed,
    Failed,
    Skipped,
}

/// The named tests of one run of a check. `None` in [`CheckRun::tests`] means that the log could
/// not be parsed, which is different from an empty list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct TestResult {
    pub name: String,
    pub status: TestStatus,
    /// Where the log tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// How many tests one run reported, named or not. Every failing test is always named: a log whose
/// summary counts more failures than it names is not parsed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestCounts {
    /// Absent where the runner does not say (plain `go test`).
    pub passed: Option<u32>,
    pub failed: u32,
    pub skipped: u32,
    /// Every test that ran (passed or failed) is in [`CheckRun::tests`] by name. False for quiet
    /// runners, which name failures alone.
    pub all_named: bool,
}

/// What a log says of its tests: what [`CheckRun`] keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// Sorted by name; of tests that share a name the worst stands.
    pub tests: Vec<TestResult>,
    pub counts: TestCounts,
}

/// Why a check could not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    CommandMissing,
    DependencyMissing,
    /// A tool is there, in a version that the repository does not accept.
    ToolVersion,
    NetworkBlocked,
    MemoryLimit,
    ProcessLimit,
    DiskLimit,
    OutputLimit,
    TimeLimit,
    /// Killed by a signal that the service did not send.
    Killed,
    /// The workspace broke: the service's own failure.
    Workspace,
}

/// One run of one check on one tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckRun {
    pub outcome: CheckOutcome,
    /// Absent where the command was killed or never started.
    pub exit_code: Option<i32>,
    pub duration_ms: u64,
    /// Names of the failing tests, sorted; empty where the log names none.
    pub failing: Vec<String>,
    /// Every named test, sorted by name; absent where the log could not be parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Vec<TestResult>>,
    /// Present exactly where `tests` was parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<TestCounts>,
    /// For `could_not_run`: what was in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// For `could_not_run`: which thing was missing or which limit struck, and the mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What failed in it at first and then passed on the same tree, unchanged; counts as passed
    /// in every other field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<Flaky>,
    /// The last 16 KiB of the output.
    pub log: String,
    /// The whole output, where it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_blob: Option<BlobHash>,
}

/// What failed and then passed on the same tree, unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flaky {
    /// Names of tests, sorted; empty where the log names none: then the whole command.
    pub tests: Vec<String>,
}

/// The figures of a `measure`, in the order of its runs, which alternate between the trees; the smaller
/// figure is the better one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    pub base: Vec<f64>,
    #[serde(rename = "final")]
    pub last: Vec<f64>,
    pub base_median: f64,
    pub final_median: f64,
    /// By which part the final median is more than the base's: 0.1 is ten per cent worse. Absent
    /// where the base's is 0.
    pub change: Option<f64>,
}

/// Earlier builds did not say.
fn required() -> bool {
    true
}

/// A check with what it gave on the base and on the final tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckResult {
    pub name: String,
    pub command: String,
    pub source: CheckSource,
    /// Whether it decides; what is optional is run and told of alone.
    #[serde(default = "required")]
    pub required: bool,
    pub baseline: Option<CheckRun>,
    #[serde(rename = "final")]
    pub final_run: Option<CheckRun>,
    /// For `measure`, where both trees gave figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The last 16 KiB of the final run's output.
    pub log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Verified,
    Unverified,
    NoChange,
    BrokenBefore,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    TestsWeakened,
    /// Tests of the base that pass only as the patch has edited them.
    TestsEdited,
    Secret,
    Binary,
    Large,
    /// Fails and passes on one and the same tree.
    Flaky,
    /// Slower than on the base.
    Performance,
    /// What users of the code may miss: removed exports, a higher required version.
    Compatibility,
    /// A file lacks the licence header that its neighbours carry.
    LicenceHeader,
    /// A package that the base does not depend on.
    Dependency,
    /// A path that steers who may do what with the repository.
    ProtectedPath,
    /// A file that the model made is ignored by git and so in no patch.
    IgnoredFile,
    /// A file of the working copy that the patch cannot hold, such as one that is too large.
    LeftOut,
    /// The repository's own formatter changed what the model had written.
    Formatted,
    /// What a reviewer, another model with a fresh view, says of the patch; or that there was no review.
    Review,
}

/// How much a finding asks for a person's look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    #[default]
    Warning,
    Serious,
}

/// Something that a person should look at before the patch is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    pub kind: FindingKind,
    #[serde(default)]
    pub severity: Severity,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Finding {
    pub fn new(kind: FindingKind, severity: Severity, message: impl Into<String>) -> Self {
        Self { kind, severity, message: message.into(), path: None, line: None }
    }

    /// The same, about a file.
    #[must_use]
    pub fn at(self, path: impl Into<String>, line: Option<u32>) -> Self {
        Self { path: Some(path.into()), line, ..self }
    }
}

/// How a patch weakened a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weakening {
    Removed,
    Emptied,
    Skipped,
}

/// A test of the base that the patch weakened, as its file's text shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct WeakenedTest {
    pub path: String,
    pub name: String,
    pub how: Weakening,
}

/// What a patch does to tests, as its text shows: what the verdict needs besides the runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestChange {
    /// The final tree is the base's.
    pub empty_patch: bool,
    /// Every path that the patch touches, sorted.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The base has files that are tests by their paths.
    pub base_has_tests: bool,
    /// The base's test files that the patch changed, moved or removed, sorted: what is put back.
    pub touched: Vec<String>,
    /// Of these, the files in which a test, or what stands beside the tests, is another afterwards; sorted.
    #[serde(default)]
    pub edited: Vec<String>,
    /// Test files that the patch adds, sorted.
    pub added: Vec<String>,
    /// Files that steer how tests run and that the patch adds or changes so that tests may pass by it, sorted.
    #[serde(default)]
    pub steering: Vec<String>,
    /// Of these, the files that the checks' commands run or take their commands from, sorted.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Sorted.
    pub weakened: Vec<WeakenedTest>,
}
