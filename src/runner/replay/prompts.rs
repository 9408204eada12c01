//! The prompts of a recorded task, made again from its log: their hashes must be those that were recorded when they
//! were sent.

use super::{Difference, Recorded, Replayed};
use crate::{
    agent::{Briefed, Session},
    domain::{
        EventData, Private, Timestamp,
        event::{CacheUse, PrefixMark, Record, ToolSpecs},
        item::{DeveloperRole, Reply},
        task::Control,
    },
    llm::{self, cache},
};
use url::Url;

/// How a model may be told the server's words, where the log does not say.
const ROLES: [Option<DeveloperRole>; 4] =
    [None, Some(DeveloperRole::Developer), Some(DeveloperRole::System), Some(DeveloperRole::User)];

/// One conversation with one model, and how many of the session's items it has.
struct Held {
    conversation: llm::Conversation,
    items: usize,
}

/// Compares every recorded prompt; the first that differs is the difference, unless an earlier event is.
pub(super) fn compare(recorded: &Recorded<'_>, replayed: &mut Replayed) {
    let Some((first, rest)) = recorded.records.split_first() else { return };
    let Some(mut session) = Session::start(&first.event) else { return };
    let mut held: Option<Held> = None;
    for Record { event, private } in rest {
        if let (EventData::ModelCompleted { cache, .. }, Some(Private::Reply(reply))) = (&event.data, private) {
            match mark(recorded, &session, reply, cache, event.at, &mut held) {
                Ok(mark) if Some(&mark) == cache.prefix.as_ref() => replayed.prompts += 1,
                Ok(mark) => {
                    let mut expected = event.data.clone();
                    if let EventData::ModelCompleted { cache, .. } = &mut expected {
                        cache.prefix = Some(mark);
                    }
                    let what = "the prompt that the log gives has other hashes than the one that was sent";
                    let found = Difference::new(event, what, Some((event.run, event.turn, &expected)));
                    let earlier = |other: &Difference| other.seq <= found.seq;
                    if !replayed.difference.as_ref().is_some_and(earlier) {
                        replayed.difference = Some(found);
                    }
                    return;
                }
                Err(why) => {
                    replayed.unknown_prompts += 1;
                    replayed.unknown_because.get_or_insert_with(|| why.to_owned());
                }
            }
        }
        session.apply(event, private.as_ref());
        let anew = matches!(
            event.data,
            EventData::Compaction { .. }
                | EventData::TaskForked { .. }
                | EventData::TaskControl { action: Control::Retry, .. }
        );
        if anew {
            held = None;
        }
    }
}

/// What would be recorded of the prompt as the session has it; or why that is not known.
fn mark(
    recorded: &Recorded<'_>,
    session: &Session,
    reply: &Reply,
    cache: &CacheUse,
    at: Timestamp,
    held: &mut Option<Held>,
) -> Result<PrefixMark, &'static str> {
    if recorded.blank.is_some() {
        return Err("the log was redacted");
    }
    if session.forgot {
        return Err("a memory that they showed was deleted");
    }
    let Some(known) = &cache.prefix else { return Err("the log does not have their hashes") };
    let Some(briefed) = &session.briefed else { return Err("the log does not have their beginning") };
    let model = model(session, briefed, reply, None).ok_or("no model has this name")?;
    let chained = |model: &llm::Model, conversation: &llm::Conversation| {
        // What a limit left of the thinking is not in the log but here.
        let sent = (conversation.chain(), known.thinking);
        cache::judge(model, sent, session.seen.as_ref(), None, at).prefix.unwrap_or_default()
    };
    if let Some(held) = held.as_mut().filter(|held| held.conversation.is_for(&model)) {
        held.grow(session);
        return Ok(chained(&model, &held.conversation));
    }
    let content = |hash| (recorded.contents)(hash).ok_or("the instructions or tools are not with the log");
    let instructions = String::from_utf8_lossy(content(&briefed.head.instructions)?).into_owned();
    let tools: ToolSpecs =
        serde_json::from_slice(content(&briefed.head.tools)?).map_err(|_| "the tools cannot be read")?;
    let known_id = |id: &str| id.is_empty() || reply.model_id.is_empty() || id == reply.model_id;
    let form = briefed.head.form.as_ref();
    let of_task = form.is_some_and(|form| form.model == session.model && known_id(&form.model_id));
    let mut first = None;
    for role in ROLES.into_iter().take(if of_task { 1 } else { ROLES.len() }) {
        let Some(model) = self::model(session, briefed, reply, role) else { continue };
        let mut new = Held { conversation: llm::Conversation::new(&model, &instructions, &tools), items: 0 };
        new.grow(session);
        let mark = chained(&model, &new.conversation);
        let found = mark == *known;
        first.get_or_insert(mark.clone());
        if found {
            *held = Some(new);
            return Ok(mark);
        }
    }
    match first {
        Some(mark) if of_task => Ok(mark),
        _ => Err("the settings of a model are not known"),
    }
}

/// The model as far as a prompt's bytes need it.
fn model(session: &Session, briefed: &Briefed, reply: &Reply, role: Option<DeveloperRole>) -> Option<llm::Model> {
    let nowhere = Url::parse("http://localhost/v1").ok()?;
    let mut model = llm::Model::new(&session.model, reply.wire, nowhere, None);
    model.developer_role = role;
    if !reply.model_id.is_empty() {
        model.model_id.clone_from(&reply.model_id);
    }
    Some(model.as_of(briefed.head.form.as_ref()))
}

impl Held {
    fn grow(&mut self, session: &Session) {
        for item in session.items().iter().skip(self.items) {
            self.conversation.push(item);
        }
        self.items = session.items().len();
    }
}
