//! What becomes of a memory that the model would have: the rule of trust, held by whose words the evidence is.
//!
//! A person's own words can make an active memory, for himself alone, and only where they bear the memory's text out.
//! Everything else is a proposal that a person confirms. A task for an outsider teaches nobody else anything.

use super::{
    answer::{Candidate, WantedScope},
    likeness::supports,
    sources::Source,
};
use crate::domain::{
    MemoryId, TaskId, UserId,
    learning::{MemorySource, Provenance},
    memory::{MemoryEvidence, MemoryKind, MemoryOrigin, MemoryScope, MemoryState},
};

/// Whose task it was and what it was about.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub task: TaskId,
    /// The task's creator.
    pub user: UserId,
    /// Those of the people whom the sources name that may write in the team now.
    pub members: &'a [UserId],
    /// The URL of the task's repository.
    pub repository: Option<&'a str>,
    /// It was run for somebody who is no member.
    pub outsider: bool,
}

/// A memory that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub text: String,
    pub kind: MemoryKind,
    pub scope: MemoryScope,
    pub repository: Option<String>,
    pub user: UserId,
    /// `active` or `proposed`.
    pub state: MemoryState,
    pub origin: MemoryOrigin,
    pub evidence: MemoryEvidence,
    /// Paths that it names; their contents are the caller's to look for.
    pub files: Vec<String>,
    pub replaces: Option<MemoryId>,
}

/// Judges what the model would have; none where nothing that was shown bears it out, or where it is for nobody.
pub fn judge(candidate: &Candidate, sources: &[Source], context: &Context<'_>) -> Option<Judged> {
    let cited: Vec<&Source> = sources.iter().filter(|source| candidate.evidence.contains(&source.name)).collect();
    let weightiest = cited.iter().map(|source| source.kind).min()?;
    let speaker = speaker(candidate, &cited, context);
    // What an outsider's task shows is for nobody; what a member says in it is for him.
    if speaker.is_none() && (context.outsider || !context.members.contains(&context.user)) {
        return None;
    }
    let scope = match (candidate.scope, context.repository) {
        (WantedScope::User, _) => MemoryScope::User,
        (WantedScope::Repository, Some(_)) => MemoryScope::UserRepository,
        (WantedScope::Team, Some(_)) if context.outsider => MemoryScope::UserRepository,
        (WantedScope::Team, Some(_)) => MemoryScope::TeamRepository,
        // About code that is in no repository of its own nothing can be known later.
        (WantedScope::Repository | WantedScope::Team, None) => return None,
    };
    let active = speaker.is_some() && scope != MemoryScope::TeamRepository;
    let source = |source: &&Source| MemorySource {
        provenance: source.provenance,
        events: source.events.clone(),
        feedback: source.feedback,
        user: source.user,
    };
    let mut events: Vec<i64> = cited.iter().flat_map(|source| source.events.iter().copied()).collect();
    events.sort_unstable();
    events.dedup();
    Some(Judged {
        text: candidate.text.clone(),
        kind: candidate.kind,
        scope,
        repository: context.repository.filter(|_| scope != MemoryScope::User).map(str::to_owned),
        user: speaker.unwrap_or(context.user),
        state: if active { MemoryState::Active } else { MemoryState::Proposed },
        origin: weightiest.origin(),
        evidence: MemoryEvidence {
            task: context.task,
            events,
            files: Vec::new(),
            sources: cited.iter().map(source).collect(),
        },
        files: candidate.files.clone(),
        replaces: candidate.replaces,
    })
}

/// The member whose own words among the evidence bear the text out: the task's creator before others. In a task for an
/// outsider its creator passes on what that one says, and has no words of his own.
fn speaker(candidate: &Candidate, cited: &[&Source], context: &Context<'_>) -> Option<UserId> {
    let mut people: Vec<UserId> = cited
        .iter()
        .filter(|source| source.provenance == Provenance::Person)
        .filter_map(|source| source.user)
        .collect();
    people.sort_by_key(|user| (*user != context.user, *user));
    people.dedup();
    let speaks = |user: &UserId| context.members.contains(user) && !(context.outsider && *user == context.user);
    people.into_iter().filter(speaks).find(|user| {
        let said: Vec<&str> =
            cited.iter().filter(|source| source.user == Some(*user)).map(|source| source.own.as_str()).collect();
        supports(&said.join("\n"), &candidate.text)
    })
}
