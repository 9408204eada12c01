//! Where a new memory belongs among those that are there: it is new, says what another says, or takes its place.

use super::{
    judge::Judged,
    likeness::{Likeness, likeness},
};
use crate::domain::memory::{Memory, MemoryState};

/// What becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Place<'a> {
    New,
    /// One that is there says the same: it gains evidence, and is active from then on where the new one would be.
    Into(&'a Memory),
    /// A new one, in place of one that is there.
    InPlaceOf(&'a Memory),
    /// A proposal that would take another's place once somebody confirms it.
    Against(&'a Memory),
    /// A person has turned the like of it down.
    Unwanted,
}

/// Finds the place of a memory among `known`, which may hold others than those of its owner and scope.
pub fn place<'a>(judged: &Judged, known: &'a [Memory]) -> Place<'a> {
    let active = judged.state == MemoryState::Active;
    let mut alike = None;
    let mut opposed = None;
    for memory in known.iter().filter(|memory| is_beside(judged, memory) && memory.superseded_by.is_none()) {
        match likeness(&judged.text, &memory.text) {
            // One that holds before one that does not.
            Likeness::Same if alike.is_none_or(|other: &Memory| rank(memory) < rank(other)) => alike = Some(memory),
            Likeness::Opposed if opposed.is_none_or(|other: &Memory| rank(memory) < rank(other)) => {
                opposed = Some(memory);
            }
            _ => {}
        }
    }
    if let Some(memory) = alike {
        // His own newer words outdo a person's no.
        return if memory.state == MemoryState::Rejected && !active { Place::Unwanted } else { Place::Into(memory) };
    }
    let named = known.iter().find(|memory| {
        Some(memory.id) == judged.replaces && is_beside(judged, memory) && memory.superseded_by.is_none()
    });
    match named.or(opposed).filter(|memory| memory.state != MemoryState::Rejected) {
        Some(memory) if active => Place::InPlaceOf(memory),
        Some(memory) => Place::Against(memory),
        None => Place::New,
    }
}

/// Of one owner, scope and repository: what one is told by another's words is no contradiction of his.
fn is_beside(judged: &Judged, memory: &Memory) -> bool {
    use crate::domain::memory::MemoryScope::TeamRepository;
    judged.scope == memory.scope
        && judged.repository == memory.repository
        && (judged.user == memory.user || judged.scope == TeamRepository)
}

fn rank(memory: &Memory) -> u8 {
    match memory.state {
        MemoryState::Active => 0,
        MemoryState::Proposed => 1,
        MemoryState::Stale => 2,
        MemoryState::Rejected => 3,
    }
}
