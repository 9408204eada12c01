//! What one run has used up.

use super::Weakening;
use crate::{
    agent::{circles::Moves, progress::Progress, review::SentBack, structured::OutputUse},
    domain::event::LimitKind,
};
use std::{collections::BTreeSet, time::Duration};

/// What people were asked about weakened tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeakeningUse {
    pub times: u32,
    pub last: Option<Weakening>,
}

/// What one run has used up; starts anew with each run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunUse {
    pub model_calls: u32,
    pub tokens: u64,
    pub cost_usd: f64,
    /// Running time of earlier stretches, without waiting.
    pub ran: Duration,
    pub refinements: u32,
    pub cycles: u32,
    /// Replies in a row that neither called a tool nor ended the work.
    pub nudges: u32,
    /// Edits refused for want of a plan.
    pub refusals: u32,
    /// Limits of which it was said that they come near.
    pub warned: Vec<LimitKind>,
    /// The newest calls, as far as circles are concerned.
    pub moves: Moves,
    /// How often the model was told that it goes in circles.
    pub circles: u32,
    /// Calls since it was last told so.
    pub calls_since_circle: u32,
    pub progress: Progress,
    /// A validation of this run found a path changed that the request forbids.
    pub forbidden: bool,
    /// A shared budget has nothing left, in words.
    pub over_budget: Option<String>,
    /// Replies in a row that ended nothing and called nothing, after checks that failed.
    pub idle_words: u32,
    /// What reviews have sent back.
    pub sent_back: SentBack,
    pub output: OutputUse,
    pub weakening: WeakeningUse,
    /// Marks of what was recalled that the model has cited.
    pub cited: BTreeSet<String>,
    /// Calls about which the reviewer was asked.
    pub approver_calls: u32,
}
