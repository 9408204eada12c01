//! The layers of instructions that a task is given: the operator's, then its team's, as they are when
//! it starts. What comes later is for later tasks.

use super::{
    drive::Driver,
    journal::{Halt, patiently},
};
use crate::{
    agent::prompt,
    domain::{
        BlobHash,
        instructions::{InstructionLayer, InstructionVersion},
    },
    store,
};

/// The layers that are not empty, the highest first.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) versions: Vec<InstructionVersion>,
    /// As they stand in the prompt.
    pub(super) texts: Vec<String>,
}

impl Driver {
    pub(super) async fn layers(&self) -> Result<Layers, Halt> {
        let (store, team) = (&self.deps.store, self.claimed.team);
        let team = patiently(&self.deps.cut, || store::instructions::newest(store, team)).await?;
        let mut layers = Layers::default();
        self.add(&mut layers, InstructionLayer::Operator, None, &self.deps.instructions);
        if let Some(row) = team {
            self.add(&mut layers, InstructionLayer::Team, Some(row.version), &row.text);
        }
        Ok(layers)
    }

    fn add(&self, layers: &mut Layers, layer: InstructionLayer, version: Option<u32>, text: &str) {
        if text.is_empty() {
            return;
        }
        let digest = BlobHash::of(text.as_bytes());
        layers.versions.push(InstructionVersion { layer, version, digest });
        let text = self.redactor.redact_known(text);
        layers.texts.push(prompt::layer_text(layer, &text, self.facts().window_tokens));
    }
}
