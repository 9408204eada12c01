//! Plans: whole when they are new, their changes afterwards.

use crate::{
    cli::screen::{Line, Tone, clean},
    domain::plan::{PlanOrigin, PlanStep, Planning, StepStatus},
};

/// The whole plan: approaches, steps, criteria.
pub fn whole(planning: &Planning, indent: usize) -> Vec<Line> {
    let origin = match planning.origin {
        PlanOrigin::Model => "",
        PlanOrigin::Server => "  (from the model's own words)",
        PlanOrigin::Person => "  (as a person edited it)",
    };
    let mut lines = vec![Line::at(indent).with("Plan", Tone::Strong).dim(origin)];
    for approach in &planning.approaches {
        let (mark, tone) = if approach.chosen { ("→ ", Tone::Accent) } else { ("· ", Tone::Dim) };
        let name_tone = if approach.chosen { Tone::Plain } else { Tone::Dim };
        let mut line = Line::at(indent + 2).with(mark, tone).with(clean(&approach.name), name_tone);
        let reasons = [("for", &approach.in_favour), ("against", &approach.against)];
        for (word, reason) in reasons.into_iter().filter_map(|(word, reason)| Some((word, reason.as_ref()?))) {
            line = line.dim(format!("; {word}: {}", clean(reason)));
        }
        lines.push(line.hang(2));
    }
    lines.extend(planning.steps.iter().map(|each| step(each, indent + 2)));
    for criterion in &planning.criteria {
        lines.push(Line::at(indent + 2).dim("done when  ").plain(clean(criterion)).hang(11));
    }
    lines
}

/// What a new revision changes: the steps that moved, or all of it where the steps are others.
pub(super) fn changes(before: Option<&Planning>, after: &Planning, indent: usize) -> Vec<Line> {
    let Some(before) = before.filter(|before| same_steps(before, after)) else { return whole(after, indent) };
    let moved = before.steps.iter().zip(&after.steps).filter(|(before, after)| before.status != after.status);
    moved.map(|(_, after)| step(after, indent)).collect()
}

fn same_steps(before: &Planning, after: &Planning) -> bool {
    let texts = |planning: &Planning| planning.steps.iter().map(|step| step.step.clone()).collect::<Vec<_>>();
    texts(before) == texts(after) && before.approaches == after.approaches && before.criteria == after.criteria
}

fn step(step: &PlanStep, indent: usize) -> Line {
    let (mark, mark_tone, tone) = match step.status {
        StepStatus::Completed => ("✔ ", Tone::Good, Tone::Dim),
        StepStatus::InProgress => ("▸ ", Tone::Accent, Tone::Plain),
        StepStatus::Pending => ("○ ", Tone::Dim, Tone::Plain),
    };
    Line::at(indent).with(mark, mark_tone).with(clean(&step.step), tone).hang(2)
}
