//! `/v1/audit_log`: who did what, read page by page or taken out whole; and what was refused, written down.

use super::{
    ApiState,
    caller::Caller,
    csv,
    error::ApiError,
    page::{Page, Paging},
    query::{FromQuery, Pairs, Query},
    reply,
    wait::{self, Changes},
};
use crate::{
    domain::{
        Principal, Timestamp, UserId,
        audit::{Action, AuditResult},
    },
    service::{
        EntryFilter, Service,
        access::Right,
        audit::{self, AuditEntryView},
    },
};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures::{FutureExt, stream};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// Entries of an export, at most.
const EXPORT_MAX: u32 = 100_000;
/// Of them so many are read at a time.
const EXPORT_PAGE: u32 = 500;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

struct ListQuery {
    filter: EntryFilter,
    paging: Paging,
}

impl FromQuery for ListQuery {
    fn from_query(query: &mut Pairs) -> Self {
        let filter = EntryFilter {
            actions: query.words::<Action>("action").into_iter().map(Action::as_str).collect(),
            user: query.one::<UserId>("user"),
            subject: query.text("subject", 300),
            result: query.one::<AuditResult>("result"),
            since: query.time("since"),
            until: query.time("until"),
        };
        Self { filter, paging: Paging::from_query(query) }
    }
}

/// How the entries are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Csv,
    JsonLines,
}

impl Form {
    /// By the first type of `Accept` that is known here.
    fn of(headers: &HeaderMap) -> Self {
        match reply::accepted(headers, &["text/csv", "application/jsonl", "application/x-ndjson", "application/json"]) {
            Some("text/csv") => Self::Csv,
            Some("application/jsonl" | "application/x-ndjson") => Self::JsonLines,
            _ => Self::Page,
        }
    }
}

/// What was done that is privileged or goes outward, newest first; for admins. With `Accept: text/csv` or
/// `application/jsonl` all of it in one answer, at most 100,000 entries: what is older is had by `until`.
#[utoipa::path(get, path = "/v1/audit_log", tag = "accounts", operation_id = "list_audit_log",
    params(
        ("action" = Option<Vec<String>>, Query, description = "Any of these, such as `environment.created`; repeated or with commas", style = Form, explode),
        ("user" = Option<UserId>, Query, description = "Who did it, or for whom it was done"),
        ("subject" = Option<String>, Query, description = "The id of what it was done to"),
        ("result" = Option<AuditResult>, Query, description = "`ok` or `refused`"),
        ("since" = Option<String>, Query, description = "RFC 3339; at or after"),
        ("until" = Option<String>, Query, description = "RFC 3339; before"),
        ("limit" = Option<u32>, Query, description = "From 1 to 100, default 20", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, or all of it", content(
        (Page<AuditEntryView> = "application/json"),
        (String = "text/csv"),
        (String = "application/jsonl"),
    ))))]
async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    caller.require(Right::ReadAuditLog)?;
    let ListQuery { filter, paging } = query;
    let form = Form::of(&headers);
    if form != Form::Page {
        state.service.note_audit_export(&caller, &filter).await?;
        return Ok(export(state.service.clone(), Arc::clone(&caller.principal), filter, form));
    }
    let name = format!("audit_log {} {filter:?}", caller.team);
    let before: Option<(Timestamp, Uuid)> = paging.position(&state.cursors, &name)?;
    let read = || {
        async {
            let rows = state.service.audit_log(&caller, &filter, before, paging.rows()).await?;
            Ok(paging.page(&state.cursors, &name, rows, |row| (row.at, row.id)))
        }
        .boxed()
    };
    wait::list(&state, &caller, &headers, Changes::ByThemselves, read).await
}

/// What an export has still to write.
struct Rest {
    service: Service,
    principal: Arc<Principal>,
    filter: EntryFilter,
    form: Form,
    before: Option<(Timestamp, Uuid)>,
    left: u32,
}

/// The entries as they are read: no page is read before the one before it has gone out.
fn export(service: Service, principal: Arc<Principal>, filter: EntryFilter, form: Form) -> Response {
    let rest = Rest { service, principal, filter, form, before: None, left: EXPORT_MAX };
    let pages = stream::try_unfold(Some(rest), |rest| async move {
        let Some(mut rest) = rest else { return Ok(None) };
        let first = rest.before.is_none();
        let limit = EXPORT_PAGE.min(rest.left);
        let read = rest.service.audit_log(&rest.principal, &rest.filter, rest.before, limit).await;
        let rows = read.inspect_err(|error| tracing::warn!(%error, "an export of the audit log broke off"))?;
        let mut text = if first && rest.form == Form::Csv { csv::line(COLUMNS) } else { String::new() };
        for row in &rows {
            if rest.form == Form::Csv {
                text.push_str(&csv::line(fields(row)));
            } else {
                text.push_str(&serde_json::to_string(row).unwrap_or_default());
                text.push('\n');
            }
        }
        rest.left -= rows.len() as u32;
        rest.before = rows.last().map(|row| (row.at, row.id));
        let more = rows.len() == limit as usize && rest.left > 0;
        Ok::<_, crate::service::Error>(Some((Bytes::from(text), more.then_some(rest))))
    });
    let (kind, name) =
        if form == Form::Csv { (csv::TYPE, "audit_log.csv") } else { ("application/jsonl", "audit_log.jsonl") };
    reply::file(kind, name, Body::from_stream(pages))
}

const COLUMNS: [&str; 15] = [
    "at",
    "id",
    "actor",
    "user",
    "user_name",
    "api_key",
    "session",
    "on_behalf_of",
    "action",
    "subject_kind",
    "subject",
    "result",
    "address",
    "request_id",
    "detail",
];

fn fields(row: &AuditEntryView) -> [String; 15] {
    let text = |id: Option<&dyn std::fmt::Display>| id.map(ToString::to_string).unwrap_or_default();
    let user = row.actor.user.as_ref();
    [
        row.at.to_string(),
        row.id.to_string(),
        row.actor.kind.as_str().to_owned(),
        text(user.map(|user| &user.id as _)),
        text(user.map(|user| &user.name as _)),
        text(row.actor.api_key.as_ref().map(|id| id as _)),
        text(row.actor.session.as_ref().map(|id| id as _)),
        text(row.actor.on_behalf_of.as_ref().map(|user| &user.id as _)),
        row.action.clone(),
        row.subject.kind.to_string(),
        row.subject.id.clone(),
        row.result.as_str().to_owned(),
        row.address.clone().unwrap_or_default(),
        text(row.request_id.as_ref().map(|id| id as _)),
        row.detail.get().to_owned(),
    ]
}

/// Writes down what was refused to a caller who is known. Runs inside the router, where the matched route is known.
pub(super) async fn refused(State(service): State<Service>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN
        && let (Some(caller), Some(path)) = (audit::caller(), path)
        && let Err(error) = service.note_refusal(&caller, &format!("{method} {path}")).await
    {
        tracing::warn!(%error, "a refusal could not be written into the audit log");
    }
    response
}
