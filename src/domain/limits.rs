//! What a task may spend.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A task's limits, all of them set. `cost_usd` alone may be absent: no cap in money.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    /// Model calls of one run.
    pub turns: u32,
    /// Seconds of one run, waiting for people not counted.
    pub wall_seconds: u32,
    /// Seconds that one validation may take, all checks together.
    pub validation_seconds: u32,
    /// Input and output tokens of one run, cached ones included.
    pub tokens: u64,
    pub cost_usd: Option<f64>,
    /// How often failed checks are sent back to the model in one run.
    pub refinements: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turns: 200,
            wall_seconds: 7_200,
            validation_seconds: 1_800,
            tokens: 20_000_000,
            cost_usd: None,
            refinements: 3,
        }
    }
}

/// Limits as a caller gives them: what is absent keeps its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refinements: Option<u32>,
}

impl Limits {
    /// The largest values a caller may ask for.
    pub const MAX: Self = Self {
        turns: 10_000,
        wall_seconds: 604_800,
        validation_seconds: 86_400,
        tokens: 10_000_000_000,
        cost_usd: Some(1_000_000.0),
        refinements: 50,
    };

    /// All of them, as one would ask for them.
    pub fn as_patch(self) -> LimitsPatch {
        LimitsPatch {
            turns: Some(self.turns),
            wall_seconds: Some(self.wall_seconds),
            validation_seconds: Some(self.validation_seconds),
            tokens: Some(self.tokens),
            cost_usd: self.cost_usd,
            refinements: Some(self.refinements),
        }
    }

    #[must_use]
    pub fn patched(self, patch: LimitsPatch) -> Self {
        Self {
            turns: patch.turns.unwrap_or(self.turns),
            wall_seconds: patch.wall_seconds.unwrap_or(self.wall_seconds),
            validation_seconds: patch.validation_seconds.unwrap_or(self.validation_seconds),
            tokens: patch.tokens.unwrap_or(self.tokens),
            cost_usd: patch.cost_usd.or(self.cost_usd),
            refinements: patch.refinements.unwrap_or(self.refinements),
        }
    }
}
