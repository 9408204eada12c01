//! `/v1/tasks/{id}/events` as pages and as a stream, `/v1/tasks/{id}/conversation`, and
//! `/v1/events` for boards.

use super::{
    ApiState,
    caller::{Caller, Ids},
    error::{ApiError, Problem},
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    sse,
    wait::{self, Changes},
};
use crate::{
    domain::{Event, Seq, TaskId},
    service::{ConversationItem, RawEvent, access::Right},
};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::Response,
};
use futures::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(task_events)).routes(routes!(conversation)).routes(routes!(team_events))
}

struct EventsQuery {
    after: Option<Seq>,
    follow: bool,
    limit: u32,
    cursor: Option<String>,
}

impl FromQuery for EventsQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let after = query.one::<Seq>("after");
        if after.is_some_and(|after| after < 0) {
            query.error("after", "must be 0 or more");
        }
        Self {
            after,
            follow: query.one("follow").unwrap_or(false),
            limit: query.limit(100),
            cursor: query.text("cursor", 2_000),
        }
    }
}

/// Whether the client asks for a stream rather than a page.
fn wants_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The seq after which a stream goes on: what the browser remembers counts more than the URL.
fn resume_after(headers: &HeaderMap, query: &EventsQuery) -> Result<Seq, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(query.after.unwrap_or(0)) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(query.after.unwrap_or(0));
    }
    match text.parse::<Seq>() {
        Ok(seq) if seq >= 0 => Ok(seq),
        _ => Err(ApiError::field("", "Last-Event-ID must be the seq of an event")),
    }
}

/// The log of a task. With `Accept: text/event-stream` as a stream: `id` is the seq, `event` the
/// kind, `data` the event; it closes after the last event of an ended task. Else a page.
#[utoipa::path(get, path = "/v1/tasks/{id}/events", tag = "tasks", operation_id = "get_events",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("after" = Option<i64>, Query, description = "Events after this seq; default 0", minimum = 0),
        ("limit" = Option<u32>, Query, description = "Events of a page, from 1 to 100, default 100", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("follow" = Option<bool>, Query, description = "Keeps the stream of an ended task open"),
        ("Last-Event-ID" = Option<i64>, Header, description = "Resumes the stream after this seq"),
    ),
    responses(
        (status = 200, description = "A page or a stream", content(
            (Page<Event> = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 410, description = "The log is no longer kept so far back; `oldest_seq` says from where on",
            body = Problem, content_type = "application/problem+json"),
    ))]
async fn task_events(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    caller.require(Right::ReadTasks)?;
    if wants_stream(&headers) {
        let after = resume_after(&headers, &query)?;
        return sse::task(&state, &caller, id, after, query.follow).await;
    }
    let name = format!("events {id}");
    let after = match &query.cursor {
        Some(cursor) => state.cursors.open(&name, cursor)?,
        None => query.after.unwrap_or(0),
    };
    let paging = Paging { limit: query.limit, cursor: None };
    let read = || {
        async {
            let events = state.service.events(&caller, id, after, paging.rows()).await?;
            let page = paging.page(&state.cursors, &name, events, |event| event.seq);
            let data = page.data.iter().map(|event| raw(id, event)).collect::<Result<_, _>>()?;
            Ok(RawPage { data, next_cursor: page.next_cursor })
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::WithTasks, read).await
}

/// A page of events that are JSON already.
#[derive(Serialize)]
struct RawPage {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

fn raw(id: TaskId, event: &RawEvent) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(event.json(id)).map_err(|error| {
        tracing::error!(%error, task.id = %id, event.seq = event.seq, "an event is not JSON");
        ApiError::internal()
    })
}

/// What the model was shown and said, whatever model it was.
#[utoipa::path(get, path = "/v1/tasks/{id}/conversation", tag = "tasks", operation_id = "get_conversation",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, oldest first", body = Page<ConversationItem>)))]
async fn conversation(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("conversation {id}");
    let after: Seq = paging.position(&state.cursors, &name)?.unwrap_or(0);
    let read = || {
        async {
            let items = state.service.conversation(&caller, id, after, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, items, |item| item.seq))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::WithTasks, read).await
}

/// The team's tasks as they change: `snapshot` with the newest hundred at the start, then `task` with each
/// that changed, in the short form of the list, and `task.deleted` with the id. There is no
/// resuming: who connects again gets a snapshot again.
#[utoipa::path(get, path = "/v1/events", tag = "tasks", operation_id = "get_team_events",
    responses((status = 200, description = "A stream", body = String, content_type = "text/event-stream")))]
async fn team_events(
    State(state): State<ApiState>,
    caller: Caller,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    caller.require(Right::ReadTasks)?;
    sse::team(&state, &caller).await
}
