//! What discovery finds: commands by purpose, packages, pinned toolchains, each with where it
//! stands.

use super::manifests::Repository;
use crate::domain::check::{Check, CheckSource};
use std::collections::BTreeSet;

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Setup,
    Build,
    Test,
    /// Holds a placeholder in capitals: `NAME`, `PATH`, `CLASS`, `LINE`, `PACKAGE`.
    SingleTest,
    Lint,
    TypeCheck,
    Format,
}

impl Purpose {
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Build => "build",
            Self::Test => "test",
            Self::SingleTest => "single test",
            Self::Lint => "lint",
            Self::TypeCheck => "type-check",
            Self::Format => "format",
        }
    }
}

/// Who says so. Where several do, the first of these goes before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// A conventions file, in a fenced block or backticks.
    Conventions,
    /// A package's script, or a target of make and the like.
    Script,
    ContinuousIntegration,
    /// What everybody does in this ecosystem.
    Ecosystem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub purpose: Purpose,
    pub line: String,
    /// Below the repository; empty: its root.
    pub directory: String,
    /// File and key or line that show it.
    pub origin: String,
    pub authority: Authority,
}

/// A package of the repository: something with a manifest of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// No other of its ecosystem has it: packages that share a name are named by directory.
    pub name: String,
    /// Empty: the root.
    pub directory: String,
    /// Such as `Cargo` or `npm`.
    pub ecosystem: &'static str,
    /// Names of packages of this repository and ecosystem, sorted; those for development too.
    pub depends_on: Vec<String>,
    /// What tests it alone.
    pub test: Option<Check>,
}

/// A tool whose version a file pins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// As people call it: `Rust`, `Python`, `Node`, `pnpm`.
    pub tool: String,
    /// As the file has it, such as `>=3.11` or `stable`.
    pub version: String,
    pub origin: String,
}

/// All that discovery found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Discovery {
    /// Package managers and build tools.
    pub managers: Vec<String>,
    /// Each with the manifest that shows it; empty where that is not known.
    pub frameworks: Vec<(String, String)>,
    /// By purpose, authority, and how near to the root.
    pub commands: Vec<Command>,
    /// What validates a patch unless the task says otherwise.
    pub checks: Vec<Check>,
    /// By ecosystem and directory.
    pub packages: Vec<Package>,
    pub pins: Vec<Pin>,
    /// Programs that the commands need and the workspace has not; empty where that is unknown.
    pub missing: Vec<String>,
    /// Manifests that cannot be read as what they should be.
    pub broken: Vec<String>,
}

impl Discovery {
    pub(super) fn manager(&mut self, name: &str) {
        if !self.managers.iter().any(|one| one == name) {
            self.managers.push(name.to_owned());
        }
    }

    pub(super) fn framework(&mut self, name: &str, origin: &str) {
        if !self.frameworks.iter().any(|(one, _)| one == name) {
            self.frameworks.push((name.to_owned(), origin.to_owned()));
        }
    }

    /// Those of `known` that are among `names`, in the order of `known`; the manifest that shows one is the nearest to
    /// the root that is of these and has its name.
    pub(super) fn frameworks_among(
        &mut self,
        names: &BTreeSet<String>,
        known: &[&str],
        repository: &Repository<'_>,
        is_one: impl Fn(&str) -> bool,
    ) {
        for name in known.iter().filter(|name| names.contains(**name)) {
            let shows = |path: &&&str| is_one(path) && repository.text(path).is_some_and(|text| text.contains(name));
            let origin = repository.manifests.iter().find(shows).copied().unwrap_or_default();
            self.framework(name, origin);
        }
    }

    pub(super) fn add(
        &mut self,
        authority: Authority,
        purpose: Purpose,
        directory: &str,
        line: impl Into<String>,
        origin: &str,
    ) {
        let (line, directory) = (line.into(), directory.to_owned());
        self.commands.push(Command { purpose, line, directory, origin: origin.to_owned(), authority });
    }

    /// What everybody does in this ecosystem.
    pub(super) fn usual(&mut self, purpose: Purpose, directory: &str, line: impl Into<String>, origin: &str) {
        self.add(Authority::Ecosystem, purpose, directory, line, origin);
    }

    pub(super) fn script(&mut self, purpose: Purpose, directory: &str, line: impl Into<String>, origin: &str) {
        self.add(Authority::Script, purpose, directory, line, origin);
    }

    /// A test command of the ecosystem that validates patches too.
    pub(super) fn check(&mut self, directory: &str, line: impl Into<String>, origin: &str) {
        self.check_by(Authority::Ecosystem, directory, line, origin);
    }

    pub(super) fn check_by(&mut self, authority: Authority, directory: &str, line: impl Into<String>, origin: &str) {
        let line = line.into();
        self.checks.push(check_in(directory, &line));
        self.add(authority, Purpose::Test, directory, line, origin);
    }

    pub(super) fn pin(&mut self, tool: &str, version: impl AsRef<str>, origin: &str) {
        let version = version.as_ref().trim();
        if !version.is_empty() && version.len() <= 60 {
            self.pins.push(Pin { tool: tool.to_owned(), version: version.to_owned(), origin: origin.to_owned() });
        }
    }
}

/// A detected check in a directory.
pub(super) fn check_in(directory: &str, line: &str) -> Check {
    let mut check = Check::command(line, CheckSource::Detected);
    check.workdir = (!directory.is_empty()).then(|| directory.to_owned());
    check
}
