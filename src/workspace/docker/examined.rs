//! What was seen in a workspace of each image, whatever makes the workspaces: bounded, and the image that most have stays.

use super::examine::Look;
use crate::workspace::{Capabilities, Capability, SandboxLimits};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Images of which it is known what they hold.
const IMAGES_MAX: usize = 256;

/// What one look gave.
#[derive(Debug)]
pub(in crate::workspace) struct Examined {
    /// Names of programs and modules, and versions of some as `name@version`; sorted.
    programs: Arc<[String]>,
    capabilities: Capabilities,
    /// Whoever runs the workspace really bounds its memory.
    bounds_memory: bool,
}

impl Examined {
    /// `lines` are what of what was asked for holds.
    pub(in crate::workspace) fn of(seen: Look, lines: Vec<Capability>) -> Self {
        Self {
            bounds_memory: seen.memory.is_some_and(|bytes| bytes <= SandboxLimits::default().memory_bytes),
            capabilities: Capabilities { lines },
            programs: seen.programs.into_iter().collect(),
        }
    }
}

/// By the images' names.
#[derive(Debug)]
pub(in crate::workspace) struct ExaminedImages {
    /// What workspaces are made from that name none.
    usual: String,
    all: Mutex<HashMap<String, Arc<Examined>>>,
}

impl ExaminedImages {
    pub(in crate::workspace) fn new(usual: &str) -> Self {
        Self { usual: usual.to_owned(), all: Mutex::default() }
    }

    pub(in crate::workspace) fn name<'a>(&'a self, wanted: Option<&'a str>) -> &'a str {
        wanted.unwrap_or(&self.usual)
    }

    pub(in crate::workspace) fn insert(&self, image: Option<&str>, examined: Examined) {
        let mut all = self.all();
        // Which of the others goes is all one: it is looked at again.
        if all.len() >= IMAGES_MAX
            && let Some(other) = all.keys().find(|other| **other != self.usual).cloned()
        {
            all.remove(&other);
        }
        all.insert(self.name(image).to_owned(), Arc::new(examined));
    }

    /// Absent where none was looked at.
    pub(in crate::workspace) fn programs(&self, image: Option<&str>) -> Option<Arc<[String]>> {
        self.get(image).map(|examined| Arc::clone(&examined.programs))
    }

    fn get(&self, image: Option<&str>) -> Option<Arc<Examined>> {
        self.all().get(self.name(image)).cloned()
    }

    /// Of the usual image: until it was looked at it is taken to bound memory.
    pub(in crate::workspace) fn bounds_memory(&self) -> bool {
        self.get(None).is_none_or(|examined| examined.bounds_memory)
    }

    pub(in crate::workspace) fn capabilities(&self) -> Capabilities {
        self.get(None).map(|examined| examined.capabilities.clone()).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Examined>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
