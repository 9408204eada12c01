//! What a reviewer, a model with a fresh view, says of a patch. Words of a model: they are shown and sent back,
//! and set no verdict.

use super::{
    check::{Finding, FindingKind, Severity},
    task::CriterionStatus,
};
use serde::{Deserialize, Serialize};

/// The most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewSeverity {
    /// The patch is wrong, does harm, or misses what was asked.
    Blocker,
    /// Wrong in a case that matters.
    Major,
    Minor,
}

impl ReviewSeverity {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocker => "blocker",
            Self::Major => "major",
            Self::Minor => "minor",
        }
    }

    /// It goes back to the model.
    pub fn is_serious(self) -> bool {
        self <= Self::Major
    }
}

/// One thing that a reviewer found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewFinding {
    pub severity: ReviewSeverity,
    /// A file of the patch; absent: of the patch as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Of the new file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub text: String,
}

impl ReviewFinding {
    /// As people find it in a result: blockers are serious, major ones warnings.
    pub fn to_finding(&self) -> Finding {
        let severity = match self.severity {
            ReviewSeverity::Blocker => Severity::Serious,
            ReviewSeverity::Major => Severity::Warning,
            ReviewSeverity::Minor => Severity::Info,
        };
        let finding = Finding::new(FindingKind::Review, severity, self.text.clone());
        match &self.file {
            Some(file) => finding.at(file.clone(), self.line),
            None => finding,
        }
    }
}

/// A criterion of the plan, or a prohibition of the request, as a reviewer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewedCriterion {
    /// As the plan or the request has it.
    pub text: String,
    pub status: CriterionStatus,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}
