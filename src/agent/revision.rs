//! Plans that replace an approved one: which of them people have to be asked about again.

use crate::domain::{
    plan::{PlanStep, Planning, StepStatus},
    tool::ToolCall,
};
use std::collections::BTreeSet;

/// Whether these steps are the approved ones, in whatever order and state: none is new, and none is dropped before it
/// was done.
pub(super) fn keeps_to<'a>(approved: &Planning, steps: impl Iterator<Item = &'a str>) -> bool {
    let named: BTreeSet<String> = steps.map(plain).collect();
    let known: BTreeSet<String> = approved.steps.iter().map(|step| plain(&step.step)).collect();
    let open = |step: &&PlanStep| step.status != StepStatus::Completed;
    named.is_subset(&known) && approved.steps.iter().filter(open).all(|step| named.contains(&plain(&step.step)))
}

/// The same of the plan that a call brings; one that cannot be read keeps to nothing.
pub(super) fn call_keeps_to(approved: &Planning, call: &ToolCall) -> bool {
    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let Some(steps) = arguments["plan"].as_array() else { return false };
    let texts: Option<Vec<&str>> = steps.iter().map(|step| step["step"].as_str()).collect();
    texts.is_some_and(|texts| keeps_to(approved, texts.into_iter()))
}

/// A step without what spacing, case and marks at its ends differ in.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase()
}
