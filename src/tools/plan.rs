//! The arguments of `update_plan` as the domain's nouns.

use crate::domain::plan::{Approach, PlanStep, StepStatus};
use serde_json::{Map, Value};

/// The steps, with at most one of them in progress: of several the first stays, the others are
/// pending again.
pub(super) fn steps(list: &[Value]) -> Vec<PlanStep> {
    let mut busy = false;
    let mut steps = Vec::with_capacity(list.len());
    for item in list {
        let mut status = match item["status"].as_str() {
            Some("completed") => StepStatus::Completed,
            Some("in_progress") => StepStatus::InProgress,
            _ => StepStatus::Pending,
        };
        if status == StepStatus::InProgress {
            if busy {
                status = StepStatus::Pending;
            }
            busy = true;
        }
        steps.push(PlanStep { step: text(&item["step"]), status });
    }
    steps
}

/// Approaches given as texts or as objects.
pub(super) fn approaches(list: &[Value]) -> Vec<Approach> {
    let of_object = |map: &Map<String, Value>| {
        let optional = |name: &str| map.get(name).map(text).filter(|t| !t.is_empty());
        Approach {
            name: map.get("name").map(text).unwrap_or_default(),
            in_favour: optional("for"),
            against: optional("against"),
            chosen: map.get("chosen").and_then(Value::as_bool).unwrap_or(false),
        }
    };
    let of_value = |value: &Value| match value {
        Value::Object(map) => of_object(map),
        other => Approach { name: text(other), in_favour: None, against: None, chosen: false },
    };
    list.iter().map(of_value).filter(|approach| !approach.name.is_empty()).collect()
}

pub(super) fn criteria(list: &[Value]) -> Vec<String> {
    list.iter().map(text).filter(|text| !text.is_empty()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}
