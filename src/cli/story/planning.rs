//! Plans: whole when they are new, their changes afterwards.

use crate::{
    cli::screen::{Line, Tone, clean},
    domain::plan::{Approach, PlanOrigin, PlanStep, Planning, StepStatus},
};

/// The whole plan: approaches, steps, criteria.
pub fn whole(planning: &Planning, indent: usize) -> Vec<Line> {
    let mut lines = vec![head(planning, indent)];
    lines.extend(planning.approaches.iter().map(|each| approach(each, indent + 2)));
    lines.extend(planning.steps.iter().map(|each| step(each, indent + 2)));
    lines.extend(planning.criteria.iter().map(|each| criterion(each, indent + 2)));
    lines
}

/// What a new revision changes: the steps that moved; where the steps are others all of them,
/// with the approaches and criteria that are new.
pub(super) fn changes(before: Option<&Planning>, after: &Planning, indent: usize) -> Vec<Line> {
    let Some(before) = before else { return whole(after, indent) };
    let approaches = after.approaches.iter().filter(|each| !before.approaches.contains(each) && each.chosen);
    let criteria = after.criteria.iter().filter(|each| !before.criteria.contains(each));
    let other = before.steps.len() != after.steps.len()
        || before.steps.iter().zip(&after.steps).any(|(before, after)| before.step != after.step);
    let mut lines = Vec::new();
    lines.extend(approaches.map(|each| approach(each, indent + 2)));
    if other {
        lines.extend(after.steps.iter().map(|each| step(each, indent + 2)));
    }
    lines.extend(criteria.map(|each| criterion(each, indent + 2)));
    if !lines.is_empty() {
        lines.insert(0, head(after, indent));
    }
    if !other {
        let moved = before.steps.iter().zip(&after.steps).filter(|(before, after)| before.status != after.status);
        lines.extend(moved.map(|(_, after)| step(after, indent)));
    }
    lines
}

fn head(planning: &Planning, indent: usize) -> Line {
    let origin = match planning.origin {
        PlanOrigin::Model => "",
        PlanOrigin::Server => "  (from the model's own words)",
        PlanOrigin::Person => "  (as a person edited it)",
    };
    Line::at(indent).with("Plan", Tone::Strong).dim(origin)
}

fn approach(approach: &Approach, indent: usize) -> Line {
    let (mark, tone) = if approach.chosen { ("→ ", Tone::Accent) } else { ("· ", Tone::Dim) };
    let name_tone = if approach.chosen { Tone::Plain } else { Tone::Dim };
    let mut line = Line::at(indent).with(mark, tone).with(clean(&approach.name), name_tone);
    let reasons = [("+", &approach.in_favour, Tone::Added), ("−", &approach.against, Tone::Removed)];
    for (mark, reason, tone) in reasons {
        if let Some(reason) = reason {
            line = line.with(format!("  {mark} "), tone).dim(clean(reason));
        }
    }
    line.hang(2)
}

fn criterion(criterion: &str, indent: usize) -> Line {
    Line::at(indent).dim("done when  ").plain(clean(criterion)).hang(11)
}

fn step(step: &PlanStep, indent: usize) -> Line {
    let (mark, mark_tone, tone) = match step.status {
        StepStatus::Completed => ("✔ ", Tone::Good, Tone::Dim),
        StepStatus::InProgress => ("▸ ", Tone::Accent, Tone::Plain),
        StepStatus::Pending => ("○ ", Tone::Dim, Tone::Plain),
    };
    Line::at(indent).with(mark, mark_tone).with(clean(&step.step), tone).hang(2)
}
