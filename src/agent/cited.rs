//! What of its memory place the model says that it used: marks such as `[M1]` in its own words.

use super::session::Session;
use crate::domain::{
    memory::{RecalledMemory, RecalledTask},
    plan::Planning,
};

/// Adds those of what was recalled that `text`, words of the model, names. Marks that stand for nothing are none.
pub(super) fn note(session: &mut Session, text: &str) {
    if session.recalled.is_empty() && session.recalled_tasks.is_empty() {
        return;
    }
    let marks = marks(text).filter(|mark| {
        session.recalled.iter().any(|memory| memory.mark == *mark)
            || session.recalled_tasks.iter().any(|task| task.mark == *mark)
    });
    let marks: Vec<String> = marks.map(str::to_owned).collect();
    session.used.cited.extend(marks);
}

/// The same of a plan.
pub(super) fn note_plan(session: &mut Session, planning: &Planning) {
    let approaches = planning.approaches.iter().flat_map(|approach| {
        [Some(&approach.name), approach.in_favour.as_ref(), approach.against.as_ref()].into_iter().flatten()
    });
    let steps = planning.steps.iter().map(|step| &step.step);
    let texts: Vec<String> = steps.chain(&planning.criteria).chain(approaches).cloned().collect();
    for text in &texts {
        note(session, text);
    }
}

/// What was recalled, each with whether this run's words cite it. What has no mark is of an earlier build, which asked for
/// no citations.
pub(super) fn memories(session: &Session) -> Vec<RecalledMemory> {
    let told = |memory: &RecalledMemory| RecalledMemory {
        cited: (!memory.mark.is_empty()).then(|| session.used.cited.contains(&memory.mark)),
        ..memory.clone()
    };
    session.recalled.iter().map(told).collect()
}

/// The same of earlier tasks.
pub(super) fn tasks(session: &Session) -> Vec<RecalledTask> {
    let told =
        |task: &RecalledTask| RecalledTask { cited: Some(session.used.cited.contains(&task.mark)), ..task.clone() };
    session.recalled_tasks.iter().map(told).collect()
}

/// `M1` and `T2` of `[M1]` and `[M1, T2]`.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    let inner = text.split('[').skip(1).filter_map(|rest| rest.split_once(']').map(|(inner, _)| inner));
    let marks = inner.filter(|inner| inner.split(',').all(|part| is_mark(part.trim())));
    marks.flat_map(|inner| inner.split(',').map(str::trim))
}

fn is_mark(text: &str) -> bool {
    let digits = text.strip_prefix(['M', 'T']);
    digits.is_some_and(|digits| (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
