//! The plan of a task, as the model made it and people may edit it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    #[default]
    Pending,
    InProgress,
    Completed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    pub step: String,
    #[serde(default)]
    pub status: StepStatus,
}

/// A way that was weighed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approach {
    pub name: String,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub in_favour: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    #[serde(default)]
    pub chosen: bool,
}

/// Who wrote the plan: the model, the server from the model's own words, or a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanOrigin {
    Model,
    Server,
    Person,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Planning {
    /// From 1, one more at each change.
    pub revision: u32,
    pub origin: PlanOrigin,
    pub approaches: Vec<Approach>,
    pub steps: Vec<PlanStep>,
    pub criteria: Vec<String>,
}
