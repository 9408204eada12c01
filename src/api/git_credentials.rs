//! `/v1/git_credentials`: what reaches a team's private repositories. Secrets go in and never come out.

use super::{
    ApiState,
    body::Body,
    caller::{Caller, IdempotencyKey, Ids},
    error::ApiError,
    page::{Page, Paging},
    query::Query,
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::GitCredentialId,
    service::{GitCredentialEdit, GitCredentialView, NewGitCredential},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, edit, delete))
}

/// Makes a credential; for admins. The team's tasks fetch with it.
#[utoipa::path(post, path = "/v1/git_credentials", tag = "environments", operation_id = "create_git_credential",
    request_body = NewGitCredential,
    responses((status = 201, description = "The credential, without its secret", body = GitCredentialView)))]
async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewGitCredential>,
) -> Result<Response, ApiError> {
    let key = key.of_hash(state.service.fingerprint(&body.canonical()));
    Ok(state.service.create_git_credential(&caller, body.value, key.as_ref()).await?.into_response())
}

/// The team's credentials, without their secrets.
#[utoipa::path(get, path = "/v1/git_credentials", tag = "environments", operation_id = "list_git_credentials",
    params(
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, newest first", body = Page<GitCredentialView>)))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let name = format!("git_credentials {}", caller.team);
    let before = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.git_credentials(&caller, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| row.id))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// A credential, without its secret.
#[utoipa::path(get, path = "/v1/git_credentials/{id}", tag = "environments", operation_id = "get_git_credential",
    params(("id" = GitCredentialId, Path, description = "The credential")),
    responses((status = 200, description = "The credential", body = GitCredentialView)))]
async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(GitCredentialId,)>,
    headers: HeaderMap,
    Query(()): Query<()>,
) -> Result<Response, ApiError> {
    reply::tagged_value(&headers, &state.service.git_credential(&caller, id).await?)
}

/// Changes a credential; for admins. Another host needs the secret again.
#[utoipa::path(patch, path = "/v1/git_credentials/{id}", tag = "environments", operation_id = "edit_git_credential",
    params(("id" = GitCredentialId, Path, description = "The credential")),
    request_body = GitCredentialEdit,
    responses((status = 200, description = "The credential, without its secret", body = GitCredentialView)))]
async fn edit(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(GitCredentialId,)>,
    body: Body<GitCredentialEdit>,
) -> Result<Response, ApiError> {
    reply::value(StatusCode::OK, &state.service.edit_git_credential(&caller, id, body.value).await?)
}

/// Deletes a credential; for admins.
#[utoipa::path(delete, path = "/v1/git_credentials/{id}", tag = "environments",
    operation_id = "delete_git_credential",
    params(("id" = GitCredentialId, Path, description = "The credential")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Ids((id,)): Ids<(GitCredentialId,)>,
) -> Result<StatusCode, ApiError> {
    state.service.delete_git_credential(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
