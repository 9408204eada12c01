//! `/v1/memories`: kept, listed, searched, corrected, forgotten.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::{ApiError, Problem},
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::{
        MemoryId,
        memory::{MemoryChange, MemoryKind, MemoryScope, MemoryState},
    },
    service::{
        IMPORT_BYTES_MAX, Imported, MemoryEditInput, MemoryFilter, MemoryHit, MemoryView, NewMemory, SearchInput,
    },
};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(search))
        .routes(routes!(export))
        .routes(routes!(import).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX)))
        .routes(routes!(get, edit, delete))
        .routes(routes!(history))
}

/// A word of an enum whose words only JSON knows.
struct Word<T>(T);

/// A word that is not in the enum's list.
struct NoSuchWord(String);

impl fmt::Display for NoSuchWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: DeserializeOwned> FromStr for Word<T> {
    type Err = NoSuchWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = serde_json::Value::String(text.to_owned());
        serde_json::from_value(value).map(Self).map_err(|error| NoSuchWord(error.to_string()))
    }
}

fn words<T: DeserializeOwned>(query: &mut Pairs, name: &str) -> Vec<T> {
    query.words::<Word<T>>(name).into_iter().map(|word| word.0).collect()
}

struct ListQuery {
    filter: MemoryFilter,
    paging: Paging,
}

impl FromQuery for ListQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let filter = MemoryFilter {
            state: words(query, "state"),
            kind: words(query, "kind"),
            scope: words(query, "scope"),
            repository: query.text("repository", 2_000),
        };
        Self { filter, paging: Paging::from_query(query) }
    }
}

/// Keeps an active memory of the caller's.
#[utoipa::path(post, path = "/v1/memories", tag = "memories", operation_id = "create_memory",
    request_body = NewMemory,
    responses((status = 201, description = "The memory", body = MemoryView)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewMemory>,
) -> Result<Response, ApiError> {
    let key = key.of(&body.canonical());
    Ok(state.service.create_memory(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The memories that the caller may see: his own, and those of the team's repositories.
#[utoipa::path(get, path = "/v1/memories", tag = "memories", operation_id = "list_memories",
    params(
        ("state" = Option<Vec<MemoryState>>, Query, description = "Any of these", style = Form, explode),
        ("kind" = Option<Vec<MemoryKind>>, Query, description = "Any of these", style = Form, explode),
        ("scope" = Option<Vec<MemoryScope>>, Query, description = "Any of these", style = Form, explode),
        ("repository" = Option<String>, Query, description = "The repository's URL"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<MemoryView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let name = format!("memories {} {} {:?}", caller.team, caller.user, query.filter);
    let before = query.paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.memories(&caller, &query.filter, before, query.paging.rows()).await?;
            Ok(query.paging.page(&state.cursors, &name, rows, |view| view.memory.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
struct Hits {
    data: Vec<MemoryHit>,
}

/// Active memories that match the query by their words or, where an embedding model is set, by their meaning; best first.
#[utoipa::path(post, path = "/v1/memories/search", tag = "memories", operation_id = "search_memories",
    request_body = SearchInput,
    responses((status = 200, description = "What was found", body = Hits)))]
async fn search(State(state): State<ApiState>, caller: Caller, body: Body<SearchInput>) -> Result<Response, ApiError> {
    let data = state.service.search_memories(&caller, body.value).await?;
    reply::value(StatusCode::OK, &Hits { data })
}

/// A memory.
#[utoipa::path(get, path = "/v1/memories/{id}", tag = "memories", operation_id = "get_memory",
    params(("id" = MemoryId, Path, description = "The memory")),
    responses((status = 200, description = "The memory", body = MemoryView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(MemoryId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.memory(&caller, id).await?)
}

/// Changes text, kind or state. A proposal is confirmed by the state `active` and turned down by `rejected`.
#[utoipa::path(patch, path = "/v1/memories/{id}", tag = "memories", operation_id = "edit_memory",
    params(("id" = MemoryId, Path, description = "The memory")),
    request_body = MemoryEditInput,
    responses(
        (status = 200, description = "The memory", body = MemoryView),
        (status = 409, description = "It cannot be in that state; `state` says in which it is", body = Problem, content_type = "application/problem+json"),
    ))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(MemoryId,)>,
    body: Body<MemoryEditInput>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_memory(&caller, id, body.value).await?)
}

/// Forgets a memory, what was made from it alone, and its text in the logs of tasks that were shown it.
#[utoipa::path(delete, path = "/v1/memories/{id}", tag = "memories", operation_id = "delete_memory",
    params(("id" = MemoryId, Path, description = "The memory")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(MemoryId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_memory(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened to a memory: who changed what, why and when, the newest first.
#[utoipa::path(get, path = "/v1/memories/{id}/history", tag = "memories", operation_id = "memory_history",
    params(
        ("id" = MemoryId, Path, description = "The memory"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<MemoryChange>)))]
async fn history(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Ids((id,)): Ids<(MemoryId,)>,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("memory history {} {id}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let rows = state.service.memory_history(&caller, id, before, paging.rows()).await?;
    let page = paging.page(&state.cursors, &name, rows, |(place, _)| *place);
    let data: Vec<MemoryChange> = page.data.into_iter().map(|(_, change)| change).collect();
    reply::tagged_value(&headers, &Page { data, next_cursor: page.next_cursor })
}

/// All memories that the caller may see, as JSON lines, the newest first. Lines of his own have a seal by which an
/// import knows them again.
#[utoipa::path(get, path = "/v1/memories/export", tag = "memories", operation_id = "export_memories",
    responses((status = 200, description = "A line for each memory", body = Vec<u8>, content_type = "application/x-ndjson")))]
async fn export(State(state): State<ApiState>, caller: Caller, Query(()): Query<()>) -> Result<Response, ApiError> {
    let (first, next) = state.service.export_memories(&caller, None).await?;
    let service = state.service.clone();
    // Part by part: no more than one is held at a time.
    let rest = stream::unfold(next, move |next| {
        let (service, caller) = (service.clone(), caller.clone());
        async move {
            let read = service.export_memories(&caller, Some(next?)).await;
            Some(match read {
                Ok((lines, next)) => (Ok(lines), next),
                Err(error) => (Err(std::io::Error::other(error)), None),
            })
        }
    });
    let body = axum::body::Body::from_stream(stream::once(async { Ok(first) }).chain(rest));
    Ok(reply::file("application/x-ndjson", "memories.jsonl", body))
}

/// Takes memories in, at most 5,000 lines of together 8 MiB, all or none. Lines with a sound seal come in as they were;
/// all others are proposals. What is here already is left as it is.
#[utoipa::path(post, path = "/v1/memories/import", tag = "memories", operation_id = "import_memories",
    request_body(content = Vec<u8>, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What came of it", body = Imported),
        (status = 422, description = "A line is wrong; the pointer begins with its number", body = Problem, content_type = "application/problem+json"),
    ))]
async fn import(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|_| ApiError::too_large(IMPORT_BYTES_MAX as u64))?;
    let key = key.of_hash(Sha256::digest(&body).into());
    Ok(state.service.import_memories(&caller, &body, key.as_ref()).await?.into_response())
}
