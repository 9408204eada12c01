//! Reading tasks: one, many, where one stands, its log and its conversation.

use super::{
    Error, Service, access,
    access::Right,
    views::{TaskJson, TaskSummary},
};
use crate::{
    domain::{Principal, Seq, TaskId, Timestamp},
    store::{
        log,
        log::RawEvent,
        task_views::{self, TaskFilter},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The kinds of events that show in a conversation.
const CONVERSATION_KINDS: [&str; 8] = [
    "task.created",
    "message.user",
    "message.assistant",
    "message.developer",
    "output.requested",
    "reasoning",
    "tool.started",
    "tool.completed",
];

/// One item of a conversation, whatever model it was held with. The further fields go by `type`:
/// `user`, `developer` and `assistant` have `text`; `reasoning` has `summary`; `tool_call` has
/// `call`, `tool` and `arguments`; `tool_result` has `call`, `tool`, `outcome`, `output` and
/// `exit_code`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ConversationItem {
    /// The seq of the event that it comes from.
    pub seq: Seq,
    pub run: u32,
    pub turn: u32,
    pub at: Timestamp,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(flatten)]
    #[schema(inline, value_type = Object)]
    pub content: Value,
}

impl Service {
    /// A task as it stands.
    pub async fn task(&self, principal: &Principal, id: TaskId) -> Result<TaskJson, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let creator = self.user(&mut tx, principal, row.created_by).await?;
        tx.commit().await?;
        TaskJson::of(principal, creator, &row)
    }

    /// The team's tasks, newest first, those made before `before`.
    pub async fn tasks(
        &self,
        principal: &Principal,
        filter: &TaskFilter,
        before: Option<(Timestamp, TaskId)>,
        limit: u32,
    ) -> Result<Vec<TaskSummary>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = task_views::list(&mut tx, filter, before, limit).await?;
        let creators = self.users(&mut tx, principal, rows.iter().map(|row| row.created_by)).await?;
        tx.commit().await?;
        rows.into_iter().zip(creators).map(|(row, creator)| TaskSummary::of(principal, creator, row)).collect()
    }

    /// One task as lists show it.
    pub async fn task_summary(&self, principal: &Principal, id: TaskId) -> Result<TaskSummary, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let creator = self.user(&mut tx, principal, row.created_by).await?;
        tx.commit().await?;
        TaskSummary::of(principal, creator, row)
    }

    /// The events after `after`.
    ///
    /// # Errors
    /// [`Error::BelowFloor`] where the log is no longer kept from there on.
    pub async fn events(
        &self,
        principal: &Principal,
        id: TaskId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<RawEvent>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        task_views::state(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let events = log::page(&mut tx, id, after, limit).await?;
        tx.commit().await?;
        match events.first() {
            Some(first) if first.seq > after + 1 => Err(Error::BelowFloor { oldest_seq: first.seq }),
            _ => Ok(events),
        }
    }

    /// The items of the conversation after the event `after`.
    pub async fn conversation(
        &self,
        principal: &Principal,
        id: TaskId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<ConversationItem>, Error> {
        access::require(principal, Right::ReadTasks)?;
        let mut tx = self.store().team(principal.team).await?;
        task_views::state(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let events = task_views::events_of_kinds(&mut tx, id, &CONVERSATION_KINDS, after, limit).await?;
        tx.commit().await?;
        events.iter().map(item).collect()
    }
}

fn item(event: &RawEvent) -> Result<ConversationItem, Error> {
    let mut data: Value = serde_json::from_str(&event.data).map_err(Error::internal)?;
    let mut take = |field: &str| data.get_mut(field).map(Value::take).unwrap_or_default();
    let (kind, content) = match event.kind.as_str() {
        "task.created" => {
            let text = take("spec").get_mut("request").map(Value::take).unwrap_or_default();
            ("user", json!({ "text": text, "author": take("author") }))
        }
        "message.user" => ("user", json!({ "text": take("text"), "author": take("author") })),
        "message.assistant" => ("assistant", json!({ "text": take("text") })),
        "message.developer" | "output.requested" => ("developer", json!({ "text": take("text") })),
        "reasoning" => ("reasoning", json!({ "summary": take("summary") })),
        "tool.started" => {
            ("tool_call", json!({ "call": take("call"), "tool": take("tool"), "arguments": take("arguments") }))
        }
        _ => (
            "tool_result",
            json!({
                "call": take("call"), "tool": take("tool"), "outcome": take("outcome"),
                "output": take("output"), "exit_code": take("exit_code"),
            }),
        ),
    };
    Ok(ConversationItem { seq: event.seq, run: event.run, turn: event.turn, at: event.at, kind, content })
}
