//! Steering a task: messages, cancel, pause, resume, retry, fork, feedback, publish.

use super::{
    ApiState,
    body::{Body, Nothing, OptionalBody},
    caller::{Caller, IdempotencyKey, Ids},
    error::{ApiError, Problem},
    page::{Page, Paging},
    query::Query,
    reply,
    tasks::source_kind,
};
use crate::{
    domain::{
        TaskId,
        learning::Learning,
        task::{Control, Source, Task},
    },
    service::{
        Accepted, ActionLimits, FeedbackView, ForkInput, NewFeedback, NewMessage, PublishAccepted, PublishInput,
    },
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(message))
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(fork))
        .routes(routes!(feedback))
        .routes(routes!(publish))
        .routes(routes!(learnings))
}

/// Gives a task a message. One that rests or has ended wakes as its next run.
#[utoipa::path(post, path = "/v1/tasks/{id}/messages", tag = "tasks", operation_id = "send_message",
    params(("id" = TaskId, Path, description = "The task")),
    request_body = NewMessage,
    responses((status = 202, description = "The message and the change to `queued` are committed", body = Accepted)))]
async fn message(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: Body<NewMessage>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.send_message(&caller, id, body.value, key.as_ref()).await?.into_response())
}

/// Ends a task. One that runs is cut off.
#[utoipa::path(post, path = "/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<Nothing>),
    responses(
        (status = 202, description = "It ends", body = Accepted),
        (status = 409, description = "It has ended; `state` says how", body = Problem, content_type = "application/problem+json"),
    ))]
async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    ids: Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    control(&state, &caller, ids, key.of(&body.canonical()), Control::Cancel, ActionLimits::default()).await
}

/// Lets a task rest after its present step.
#[utoipa::path(post, path = "/v1/tasks/{id}/pause", tag = "tasks", operation_id = "pause_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<Nothing>),
    responses(
        (status = 202, description = "It will rest", body = Accepted),
        (status = 409, description = "It is neither queued nor running", body = Problem, content_type = "application/problem+json"),
    ))]
async fn pause(
    State(state): State<ApiState>,
    caller: Caller,
    ids: Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: OptionalBody<Nothing>,
) -> Result<Response, ApiError> {
    let Nothing {} = body.value;
    control(&state, &caller, ids, key.of(&body.canonical()), Control::Pause, ActionLimits::default()).await
}

/// Lets a paused, failed or cancelled task go on from where it stopped.
#[utoipa::path(post, path = "/v1/tasks/{id}/resume", tag = "tasks", operation_id = "resume_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<ActionLimits>),
    responses(
        (status = 202, description = "It is queued", body = Accepted),
        (status = 409, description = "It does not rest", body = Problem, content_type = "application/problem+json"),
    ))]
async fn resume(
    State(state): State<ApiState>,
    caller: Caller,
    ids: Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: OptionalBody<ActionLimits>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    control(&state, &caller, ids, key, Control::Resume, body.value).await
}

/// Starts a new run of an ended task from the start of its last one.
#[utoipa::path(post, path = "/v1/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<ActionLimits>),
    responses(
        (status = 202, description = "It is queued", body = Accepted),
        (status = 409, description = "It has not ended", body = Problem, content_type = "application/problem+json"),
    ))]
async fn retry(
    State(state): State<ApiState>,
    caller: Caller,
    ids: Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: OptionalBody<ActionLimits>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    control(&state, &caller, ids, key, Control::Retry, body.value).await
}

async fn control(
    state: &ApiState,
    caller: &Caller,
    Ids((id,)): Ids<(TaskId,)>,
    key: Option<crate::service::Idempotency>,
    action: Control,
    raised: ActionLimits,
) -> Result<Response, ApiError> {
    Ok(state.service.control_task(caller, id, action, raised, key.as_ref()).await?.into_response())
}

/// Makes a task whose log is this one's as far as `from_seq`, with the working copy of that point, and goes on
/// there: with `request` as a message, else as a resume or a retry would. `forked_from.seq` says where it was cut:
/// at the last event at which no call is open and the working copy is known.
#[utoipa::path(post, path = "/v1/tasks/{id}/fork", tag = "tasks", operation_id = "fork_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<ForkInput>),
    responses(
        (status = 201, description = "The new task", body = Task,
            headers(("Location" = String, description = "The task's path"))),
        (status = 409, description = "Its log cannot be forked", body = Problem, content_type = "application/problem+json"),
    ))]
async fn fork(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: OptionalBody<ForkInput>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    let source = Source::of(source_kind(&headers));
    Ok(state.service.fork_task(&caller, id, body.value, source, key.as_ref()).await?.into_response())
}

/// Says what one thinks of a task's work, and what became of it: what was merged, what reviewers wrote. The service
/// learns from both where a model is named for that.
#[utoipa::path(post, path = "/v1/tasks/{id}/feedback", tag = "tasks", operation_id = "add_feedback",
    params(("id" = TaskId, Path, description = "The task")),
    request_body = NewFeedback,
    responses((status = 201, description = "It is kept", body = FeedbackView)))]
async fn feedback(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: Body<NewFeedback>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.add_feedback(&caller, id, body.value, key.as_ref()).await?.into_response())
}

/// Asks for a task's patch to be published: as a commit on a branch `journeyman/…` at its repository's host, and with
/// `pull_request` as a pull request. Events `publish` tell what becomes of it. Files that say what the host runs, and tasks
/// for outsiders, wait for an approval of the kind `publish`. The same wish, while it is not done, is one.
#[utoipa::path(post, path = "/v1/tasks/{id}/publish", tag = "tasks", operation_id = "publish_task",
    params(("id" = TaskId, Path, description = "The task")),
    request_body(content = Option<PublishInput>),
    responses(
        (status = 202, description = "The wish is committed", body = PublishAccepted),
        (status = 409, description = "It does not rest, has no patch or no host to publish to, or another publishing of it \
            is under way", body = Problem, content_type = "application/problem+json"),
    ))]
async fn publish(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(TaskId,)>,
    key: IdempotencyKey,
    body: OptionalBody<PublishInput>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.publish_task(&caller, id, body.value, key.as_ref()).await?.into_response())
}

/// Each time that the service has tried to learn from the task, or is about to: what set it off, what came of it, what
/// it has cost. Nothing of it stands in the task's log.
#[utoipa::path(get, path = "/v1/tasks/{id}/learnings", tag = "tasks", operation_id = "task_learnings",
    params(
        ("id" = TaskId, Path, description = "The task"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<Learning>)))]
async fn learnings(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Ids((id,)): Ids<(TaskId,)>,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("learnings {} {id}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let rows = state.service.task_learnings(&caller, id, before, paging.rows()).await?;
    reply::tagged_value(&headers, &paging.page(&state.cursors, &name, rows, |learning| learning.id))
}
