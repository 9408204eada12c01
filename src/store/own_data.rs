//! What a team keeps of one person, as JSON, for taking it out. Each list goes on after the id before.

use super::{StoreError, TeamTx};
use crate::domain::{BlobHash, Seq, TaskId, UploadId, UserId};
use uuid::Uuid;

/// Lists of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnRows {
    ApiKeys,
    Memories,
    Feedback,
    Uploads,
    Approvals,
    AuditLog,
    Publishings,
    /// What he did at trackers.
    Deliveries,
}

impl OwnRows {
    fn statement(self) -> &'static str {
        match self {
            Self::ApiKeys => {
                "SELECT id, json_build_object('id', id, 'name', name, 'prefix', prefix, 'scopes', scopes, 'created_at', created_at,
                    'expires_at', expires_at, 'last_used_at', last_used_at, 'revoked_at', revoked_at)::text
                 FROM api_keys WHERE team = current_team() AND user_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"
            }
            Self::Memories => {
                "SELECT id, json_build_object('id', id, 'text', text, 'kind', kind, 'scope', scope, 'repository', repository,
                    'state', state, 'origin', origin, 'evidence', evidence::json, 'used', used, 'helped', helped, 'hurt', hurt,
                    'created_at', created_at, 'updated_at', updated_at)::text
                 FROM memories WHERE team = current_team() AND user_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"
            }
            Self::Feedback => {
                "SELECT id, json_build_object('id', id, 'task', coalesce(f.task, m.task), 'rating', f.rating, 'comment', f.comment,
                    'merged', m.reference, 'review_comments', m.comments::json, 'created_at', coalesce(f.created_at, m.created_at))::text
                 FROM (SELECT * FROM feedback WHERE team = current_team() AND user_id = $1) f
                 FULL JOIN (SELECT * FROM merges WHERE team = current_team() AND user_id = $1) m USING (id)
                 WHERE $2::uuid IS NULL OR id > $2 ORDER BY id LIMIT $3"
            }
            Self::Uploads => {
                "SELECT id, json_build_object('id', id, 'kind', kind, 'size', size, 'sha256', hash, 'created_at', created_at)::text
                 FROM uploads WHERE team = current_team() AND user_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"
            }
            Self::Approvals => {
                "SELECT id, json_build_object('id', id, 'task', task, 'kind', kind, 'decision', decision, 'note', note,
                    'answer', answer::json, 'decided_at', decided_at)::text
                 FROM approvals WHERE team = current_team() AND decided_by = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"
            }
            Self::Publishings => {
                "SELECT id, json_build_object('id', id, 'task', task, 'state', state, 'branch', branch, 'pull_request', pull_request,
                    'title', title, 'body', body, 'commit', commit_id, 'pull_request_url', pull_request_url, 'reason', reason,
                    'created_at', created_at, 'done_at', done_at)::text
                 FROM publishings WHERE team = current_team() AND user_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3"
            }
            Self::Deliveries => {
                "SELECT id, json_build_object('id', id, 'integration', integration, 'event', event, 'sender', sender, 'issue', issue,
                    'content', content::json, 'state', state, 'reason', reason, 'task', task, 'received_at', received_at)::text
                 FROM tracker_deliveries WHERE team = current_team() AND user_id = $1 AND ($2::uuid IS NULL OR id > $2)
                 ORDER BY id LIMIT $3"
            }
            Self::AuditLog => {
                "SELECT id, json_build_object('id', id, 'at', at, 'action', action, 'subject_kind', subject_kind, 'subject', subject,
                    'result', result, 'address', address, 'detail', detail::json)::text
                 FROM audit_log WHERE team = current_team() AND (user_id = $1 OR on_behalf_of = $1) AND ($2::uuid IS NULL OR id > $2)
                 ORDER BY id LIMIT $3"
            }
        }
    }
}

/// The next rows with their ids.
pub async fn rows(
    tx: &mut TeamTx,
    what: OwnRows,
    user: UserId,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    Ok(sqlx::query_as(what.statement())
        .bind(user.0)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?)
}

/// What he has used, by day, task and model.
pub async fn usage(
    tx: &mut TeamTx,
    user: UserId,
    after: Option<&(String, Uuid, String)>,
    limit: u32,
) -> Result<Vec<((String, Uuid, String), String)>, StoreError> {
    let rows: Vec<(String, Uuid, String, String)> = sqlx::query_as(
        "SELECT day::text, task, model, json_build_object('day', day, 'task', task, 'model', model, 'repository', repository,
            'labels', labels, 'model_calls', model_calls, 'input_tokens', input_tokens, 'cached_input_tokens', cached_input_tokens,
            'output_tokens', output_tokens, 'cost_usd', cost_nano / 1e9)::text
         FROM usage_days WHERE team = current_team() AND user_id = $1
            AND ($2::text IS NULL OR (day, task, model) > ($2::date, $3, $4)) ORDER BY day, task, model LIMIT $5",
    )
    .bind(user.0)
    .bind(after.map(|(day, _, _)| day.as_str()))
    .bind(after.map(|(_, task, _)| *task))
    .bind(after.map(|(_, _, model)| model.as_str()))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|(day, task, model, row)| ((day, task, model), row)).collect())
}

/// Tasks that he made.
pub async fn tasks(
    tx: &mut TeamTx,
    user: UserId,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<TaskId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tasks WHERE team = current_team() AND created_by = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
    .bind(user.0)
    .bind(after.map(|task| task.0))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// What he wrote in tasks of others: the task, the seq, kind and data.
pub async fn said_elsewhere(
    tx: &mut TeamTx,
    user: UserId,
    after: Option<(TaskId, Seq)>,
    limit: u32,
) -> Result<Vec<(TaskId, Seq, String)>, StoreError> {
    let rows: Vec<(Uuid, i64, String)> = sqlx::query_as(
        "SELECT e.task, e.seq, json_build_object('task', e.task, 'seq', e.seq, 'at', e.at, 'kind', e.kind, 'data', e.data::json)::text
         FROM task_events e JOIN tasks t ON t.team = e.team AND t.id = e.task
         WHERE e.team = current_team() AND e.by_user = $1 AND t.created_by <> $1
            AND ($2::uuid IS NULL OR (e.task, e.seq) > ($2, $3)) ORDER BY e.task, e.seq LIMIT $4",
    )
    .bind(user.0)
    .bind(after.map(|(task, _)| task.0))
    .bind(after.map(|(_, seq)| seq))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|(task, seq, row)| (TaskId(task), seq, row)).collect())
}

/// The content of one of his uploads, with the ending of its name.
pub async fn upload(
    tx: &mut TeamTx,
    user: UserId,
    id: UploadId,
) -> Result<Option<(BlobHash, &'static str)>, StoreError> {
    let row: Option<(String, String)> =
        sqlx::query_as("SELECT hash, kind FROM uploads WHERE team = current_team() AND user_id = $1 AND id = $2")
            .bind(user.0)
            .bind(id.0)
            .fetch_optional(tx.connection())
            .await?;
    Ok(row.map(|(hash, kind)| (BlobHash(hash), if kind == "bundle" { "bundle" } else { "tar.gz" })))
}
