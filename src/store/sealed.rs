//! Sealed secrets as rows, whatever they belong to: for a change of the master key.

use super::{Store, StoreError};
use crate::domain::{
    TeamId,
    secret::{Owner, Sealed, SecretKind},
};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};
use uuid::Uuid;

/// The tables that hold sealed secrets.
const KINDS: [SecretKind; 4] =
    [SecretKind::Environment, SecretKind::GitCredential, SecretKind::Webhook, SecretKind::Integration];

/// Names of the master keys under which something is sealed, each with how much.
pub async fn key_ids(store: &Store) -> Result<Vec<(String, u64)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT key_id, sum(count)::bigint FROM (
            SELECT key_id, count(*) FROM environment_secrets GROUP BY key_id
            UNION ALL SELECT key_id, count(*) FROM git_credentials GROUP BY key_id
            UNION ALL SELECT key_id, count(*) FROM webhook_secrets GROUP BY key_id
            UNION ALL SELECT key_id, count(*) FROM integration_secrets GROUP BY key_id) AS tables
         GROUP BY key_id ORDER BY key_id LIMIT 1000",
    )
    .fetch_all(store.across())
    .await?;
    Ok(rows.into_iter().map(|(id, count)| (id, count as u64)).collect())
}

/// Some secrets that are sealed under another key than `current`, those after `after` in the order of their owners.
pub async fn under_other_keys(
    store: &Store,
    current: &str,
    after: Option<&Owner>,
    limit: u32,
) -> Result<Vec<(Owner, Sealed)>, StoreError> {
    let mut found = Vec::new();
    for kind in KINDS {
        let at = after.filter(|owner| owner.kind == kind);
        // A kind that lies behind is done.
        if after.is_some_and(|owner| place(owner.kind) > place(kind)) {
            continue;
        }
        let (id, name) = columns(kind);
        let statement = format!(
            "SELECT team, {id} AS id, {name} AS name, key_id, wrapped_key, sealed FROM {table}
             WHERE key_id <> $1 AND ($2::uuid IS NULL OR (team, {id}, {name}) > ($2, $3, $4::text))
             ORDER BY team, {id}, {name} LIMIT $5",
            table = table(kind),
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(current)
            .bind(at.map(|owner| owner.team.0))
            .bind(at.map(|owner| owner.id))
            .bind(at.map(|owner| owner.name.as_str()))
            .bind(i64::from(limit) - found.len() as i64)
            .fetch_all(store.across())
            .await?;
        for row in &rows {
            let owner =
                Owner { team: TeamId(row.try_get("team")?), kind, id: row.try_get("id")?, name: row.try_get("name")? };
            found.push((owner, of_row(row)?));
        }
    }
    Ok(found)
}

/// Puts a secret's key wrapped anew in the place of `before`; answers false where the secret was changed meanwhile.
pub async fn rewrap(
    store: &Store,
    owner: &Owner,
    before: &Sealed,
    key_id: &str,
    wrapped_key: &[u8],
) -> Result<bool, StoreError> {
    let (id, name) = columns(owner.kind);
    let statement = format!(
        "UPDATE {table} SET key_id = $4, wrapped_key = $5
         WHERE team = $1 AND {id} = $2 AND {name} = $3 AND wrapped_key = $6",
        table = table(owner.kind),
    );
    let done = sqlx::query(AssertSqlSafe(statement))
        .bind(owner.team.0)
        .bind(owner.id)
        .bind(&owner.name)
        .bind(key_id)
        .bind(wrapped_key)
        .bind(&before.wrapped_key)
        .execute(store.across())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The name under which a git credential's secret is sealed.
pub const GIT_CREDENTIAL_NAME: &str = "secret";

/// The owner of an environment's secret.
pub fn of_environment(team: TeamId, environment: Uuid, name: &str) -> Owner {
    Owner { team, kind: SecretKind::Environment, id: environment, name: name.to_owned() }
}

/// The owner of a git credential's secret.
pub fn of_git_credential(team: TeamId, id: Uuid) -> Owner {
    Owner { team, kind: SecretKind::GitCredential, id, name: GIT_CREDENTIAL_NAME.to_owned() }
}

/// The owner of one of a webhook endpoint's secrets.
pub fn of_webhook(team: TeamId, endpoint: Uuid, name: &str) -> Owner {
    Owner { team, kind: SecretKind::Webhook, id: endpoint, name: name.to_owned() }
}

/// The owner of one of an integration's secrets.
pub fn of_integration(team: TeamId, id: Uuid, name: &str) -> Owner {
    Owner { team, kind: SecretKind::Integration, id, name: name.to_owned() }
}

pub(super) fn of_row(row: &PgRow) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key_id: row.try_get("key_id")?,
        wrapped_key: row.try_get("wrapped_key")?,
        sealed: row.try_get("sealed")?,
    })
}

fn place(kind: SecretKind) -> usize {
    KINDS.iter().position(|one| *one == kind).unwrap_or_default()
}

fn table(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Environment => "environment_secrets",
        SecretKind::GitCredential => "git_credentials",
        SecretKind::Webhook => "webhook_secrets",
        SecretKind::Integration => "integration_secrets",
    }
}

/// The columns, or what stands for them, of an owner's id and name.
fn columns(kind: SecretKind) -> (&'static str, &'static str) {
    match kind {
        SecretKind::Environment => ("environment", "name"),
        SecretKind::GitCredential => ("id", "'secret'::text"),
        SecretKind::Webhook => ("endpoint", "name"),
        SecretKind::Integration => ("integration", "name"),
    }
}
