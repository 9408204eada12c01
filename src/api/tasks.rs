//! `/v1/tasks`: create, list, read, change, delete.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::{ApiError, Problem},
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply, wait,
};
use crate::{
    domain::{
        Principal, Status, TaskId, Timestamp, UserId, WaitingFor,
        task::{Source, SourceKind, Task},
    },
    service::{NewTask, TaskEditInput, TaskFilter, TaskSummary, access::Right},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use std::str::FromStr;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, edit, delete))
}

/// Creates a task. Only `request` is required; the task is queued when this answers.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", operation_id = "create_task",
    request_body = NewTask,
    responses((status = 201, description = "The task", body = Task,
        headers(("Location" = String, description = "The task's path")))))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Body<NewTask>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    let source = Source::of(source_kind(&headers));
    Ok(state.service.create_task(&caller, body.value, source, key.as_ref()).await?.into_response())
}

/// The command line says who it is; everybody else is the API.
pub(super) fn source_kind(headers: &HeaderMap) -> SourceKind {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if agent.starts_with("journeyman-cli/") { SourceKind::Cli } else { SourceKind::Api }
}

/// What `created_by` names.
#[derive(Clone, Copy, Debug)]
enum Creator {
    Me,
    User(UserId),
}

impl FromStr for Creator {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "me" {
            return Ok(Self::Me);
        }
        text.parse().map(Self::User).map_err(|_| "must be a user's id or me")
    }
}

struct ListQuery {
    filter: TaskFilter,
    creator: Option<Creator>,
    paging: Paging,
}

impl FromQuery for ListQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let labels = query.texts("label");
        let labels = labels.iter().filter_map(|label| {
            let pair = label.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned()));
            if pair.is_none() {
                query.error("label", "must be a name, a colon and a value");
            }
            pair
        });
        let filter = TaskFilter {
            labels: labels.collect(),
            status: query.words::<Status>("status"),
            waiting_for: query.words::<WaitingFor>("waiting_for"),
            repository: query.text("repository", 2_000),
            created_by: None,
            source: query.words::<SourceKind>("source"),
            text: query.text("q", 1_000).filter(|text| !text.trim().is_empty()),
            updated_after: query.time("updated_after"),
        };
        // Of a list there is but one thing to wait for; the word is checked all the same.
        let _: Option<wait::Until> = query.one("until");
        Self { filter, creator: query.one("created_by"), paging: Paging::from_query(query) }
    }
}

/// The team's tasks, newest first, in short form.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", operation_id = "list_tasks",
    params(
        ("status" = Option<Vec<Status>>, Query, description = "Any of these; repeated or with commas", style = Form, explode),
        ("waiting_for" = Option<Vec<WaitingFor>>, Query, description = "Any of these", style = Form, explode),
        ("repository" = Option<String>, Query, description = "The repository's URL as it was given"),
        ("created_by" = Option<String>, Query, description = "A user's id, or `me`"),
        ("source" = Option<Vec<SourceKind>>, Query, description = "Any of these", style = Form, explode),
        ("label" = Option<Vec<String>>, Query, description = "`name:value`; repeated: all of them", style = Form, explode),
        ("q" = Option<String>, Query, description = "Words in title or request"),
        ("updated_after" = Option<String>, Query, description = "RFC 3339"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("until" = Option<wait::Until>, Query, description = "With `Prefer: wait`: what is waited for"),
        ("If-None-Match" = Option<String>, Header, description = "The tag that one has: 304 while it holds"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: holds the answer up to N (≤ 60) seconds until it differs"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<TaskSummary>),
        (status = 304, description = "It is as the tag says"),
    ))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(mut query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    caller.require(Right::ReadTasks)?;
    query.filter.created_by = query.creator.map(|creator| match creator {
        Creator::Me => caller.user,
        Creator::User(user) => user,
    });
    let name = list_name(&caller, &query.filter);
    let before: Option<(Timestamp, TaskId)> = query.paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let tasks = state.service.tasks(&caller, &query.filter, before, query.paging.rows()).await?;
            Ok(query.paging.page(&state.cursors, &name, tasks, |task| (task.created_at, task.id)))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, wait::Changes::WithTasks, read).await
}

/// A cursor belongs to the team and the filters that it was made with.
fn list_name(principal: &Principal, filter: &TaskFilter) -> String {
    format!("tasks {} {filter:?}", principal.team)
}

/// A task.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "get_task",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("until" = Option<wait::Until>, Query, description = "With `Prefer: wait`: what is waited for. `change` of status, \
            phase, waiting_for or verdict (default); `rest`: no longer queued or running; `end`"),
        ("If-None-Match" = Option<String>, Header, description = "The tag that one has: 304 while it holds"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: holds the answer up to N (≤ 60) seconds"),
    ),
    responses(
        (status = 200, description = "The task", body = Task,
            headers(("ETag" = String, description = "Changes with every event of the task"))),
        (status = 304, description = "It is as the tag says"),
    ))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    headers: HeaderMap,
    Query(wait::UntilQuery(until)): Query<wait::UntilQuery>,
) -> Result<Response, ApiError> {
    wait::task(&state, &caller, id, &headers, until).await?;
    let task = state.service.task(&caller, id).await?;
    let tag = wait::task_tag(task.last_seq, task.edits);
    Ok(wait::applied(&headers, reply::tagged(&headers, &tag, task.body)))
}

/// Changes title, labels, priority or limits.
#[utoipa::path(patch, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "edit_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body = TaskEditInput,
    responses((status = 200, description = "The task", body = Task)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    body: Body<TaskEditInput>,
) -> Result<Response, ApiError> {
    let task = state.service.edit_task(&caller, id, body.value).await?;
    let mut response = reply::json(StatusCode::OK, task.body);
    if let Ok(tag) = wait::task_tag(task.last_seq, task.edits).parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Deletes a task with its log, patch and working copy.
#[utoipa::path(delete, path = "/v1/tasks/{id}", tag = "tasks", operation_id = "delete_task",
    params(("id" = TaskId, Path, description = "The task")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It is running", body = Problem, content_type = "application/problem+json"),
    ))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_task(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
