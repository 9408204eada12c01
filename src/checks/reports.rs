//! Report files that a check's command leaves: JUnit XML of Maven, Gradle, sbt and of whatever the command is told to
//! write. They name every test, where such logs name failures alone.
//!
//! Only what this run wrote counts, and no link is followed. What is found is as hostile as a log is.

use crate::{
    domain::check::Check,
    workspace::{RunCommand, Workspace, WorkspaceError},
};
use std::{fmt::Write, time::Duration};

/// Reports of one run; more are no report of it.
const FILES_MAX: usize = 500;
/// Of one report, and of all.
const FILE_BYTES_MAX: u64 = 8 << 20;
const ALL_BYTES_MAX: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
/// What the reports of this run are newer than. Lies outside of the copy.
const MARK: &str = "/tmp/.journeyman-check";
/// Where builds of the JVM and runners by habit leave theirs.
const PLACES: &str = "-path '*/surefire-reports/*.xml' -o -path '*/failsafe-reports/*.xml' \
    -o -path '*/build/test-results/*.xml' -o -path '*/target/test-reports/*.xml' -o -name junit.xml -o -name TESTS-TestSuites.xml";
/// Options whose value names a report.
const OPTIONS: [&str; 6] =
    ["--junitxml", "--junit-xml", "--junitfile", "--log-junit", "--output-junit", "--outputFile"];
/// What builds by the JVM's tools are known by.
const MANIFESTS: [&str; 6] = ["pom.xml", "build.gradle", "build.gradle.kts", "build.sbt", "build.xml", "build.mill"];

/// The reports that a check may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reports {
    named: Vec<String>,
    /// Look in the usual places too.
    places: bool,
}

impl Reports {
    /// Absent where the check leaves none, as far as its command and the base's paths tell.
    pub(super) fn of(check: &Check, paths: &[String]) -> Option<Self> {
        let named = named(&check.command);
        let is_manifest = |path: &String| MANIFESTS.contains(&path.rsplit('/').next().unwrap_or(path));
        let places = check.command.contains("junit") || paths.iter().any(is_manifest);
        (places || !named.is_empty()).then_some(Self { named, places })
    }

    /// To be called before the command runs.
    pub(super) async fn begin(&self, workspace: &Workspace) -> Result<(), WorkspaceError> {
        workspace.run(RunCommand::new(format!("rm -rf {MARK} && : > {MARK}"), PATIENCE), None).await.map(drop)
    }

    /// The contents of those that the command has written, none where there are too many or they are too large:
    /// a part of them would tell of a part of the tests.
    pub(super) async fn collect(&self, workspace: &Workspace, check: &Check) -> Result<Vec<Vec<u8>>, WorkspaceError> {
        let mut find = RunCommand::new(self.script(), PATIENCE);
        find.workdir.clone_from(&check.workdir);
        let found = workspace.run(find, None).await?;
        if found.omitted_bytes > 0 {
            return Ok(Vec::new());
        }
        let text = String::from_utf8_lossy(&found.output);
        let mut paths: Vec<&str> = text.lines().filter(|line| line.starts_with('/')).collect();
        paths.sort_unstable();
        paths.dedup();
        if paths.len() > FILES_MAX {
            return Ok(Vec::new());
        }
        let (mut reports, mut bytes) = (Vec::new(), 0);
        for path in paths {
            match workspace.read(path, FILE_BYTES_MAX).await {
                Ok(read) if !read.truncated && bytes + read.bytes.len() <= ALL_BYTES_MAX => {
                    bytes += read.bytes.len();
                    reports.push(read.bytes);
                }
                Ok(_) => return Ok(Vec::new()),
                Err(WorkspaceError::NotFound { .. } | WorkspaceError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    fn script(&self) -> String {
        let fresh = format!("-type f -newer {MARK}");
        let mut script = String::new();
        for path in &self.named {
            let _ =
                write!(script, "find \"$PWD\"/{path} {path} -maxdepth 0 {fresh} 2>/dev/null; ", path = quoted(path));
        }
        if self.places {
            let skip = "\\( -name node_modules -o -name .git \\) -prune";
            let _ =
                write!(script, "find \"$PWD\" {skip} -o {fresh} \\( {PLACES} \\) -print 2>/dev/null | head -n 1000; ");
        }
        script + "true"
    }
}

/// What options of the command name, as plain words say it.
fn named(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut named = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let (option, value) = word.split_once('=').map_or((*word, None), |(option, value)| (option, Some(value)));
        if OPTIONS.contains(&option)
            && let Some(value) = value.or_else(|| words.get(at + 1).copied())
        {
            let value = value.trim_end_matches([';', '&', '|', ')']).trim_matches(['"', '\'']);
            let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
            if value.rsplit_once('.').is_some_and(|(_, end)| end == "xml")
                && value.chars().all(plain)
                && !value.starts_with('-')
            {
                named.push(value.to_owned());
            }
        }
    }
    named
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}
