//! `/v1/memories`: kept, listed, searched, corrected, forgotten.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::{
        MemoryId,
        memory::{Memory, MemoryKind, MemoryScope, MemoryState},
    },
    service::{MemoryEditInput, MemoryFilter, MemoryHit, NewMemory, SearchInput},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, str::FromStr};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(search)).routes(routes!(get, edit, delete))
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
    responses((status = 201, description = "The memory", body = Memory)))]
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
    responses((status = 200, description = "A page, newest first", body = Page<Memory>)))]
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
            Ok(query.paging.page(&state.cursors, &name, rows, |memory| memory.id))
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

/// Active memories that match any word of the query, best first.
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
    responses((status = 200, description = "The memory", body = Memory)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(MemoryId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.memory(&caller, id).await?)
}

/// Changes text, kind or state.
#[utoipa::path(patch, path = "/v1/memories/{id}", tag = "memories", operation_id = "edit_memory",
    params(("id" = MemoryId, Path, description = "The memory")),
    request_body = MemoryEditInput,
    responses((status = 200, description = "The memory", body = Memory)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(MemoryId,)>,
    body: Body<MemoryEditInput>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_memory(&caller, id, body.value).await?)
}

/// Forgets a memory.
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
