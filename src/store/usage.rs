//! What was used: rows by day, task and model, written by [`super::log::append`] with the events that they count. The sums
//! of people's questions are made here.

use super::{Store, StoreError, TeamTx};
use crate::domain::UserId;
use sqlx::{PgExecutor, Row, postgres::PgRow};
use time::Date;

/// What the rows are summed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageGroup {
    Day,
    User,
    Team,
    Model,
    Repository,
    /// The value of the label of this name.
    Label(String),
}

/// Which rows are summed; what is absent does not narrow it.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// UTC, both included.
    pub from: Date,
    pub to: Date,
    pub user: Option<UserId>,
    pub model: Option<String>,
    pub repository: Option<String>,
    pub label: Option<(String, String)>,
}

/// The sums of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// Absent: what has no repository, or not the label.
    pub group: Option<String>,
    /// Tasks that called a model.
    pub tasks: i64,
    pub model_calls: i64,
    /// Calls that were answered with their usage.
    pub counted_calls: i64,
    /// Those among them whose price nobody knew.
    pub unpriced_calls: i64,
    pub input_tokens: i64,
    pub cached_input_tokens: i64,
    pub output_tokens: i64,
    /// Billionths of a US dollar.
    pub cost_nano: i64,
    pub saved_nano: i64,
}

/// Sums of the transaction's team after the group `after`, in the order of the groups' names; what belongs to none last.
pub async fn sums(
    tx: &mut TeamTx,
    group: &UsageGroup,
    filter: &UsageFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UsageSum>, StoreError> {
    read(tx.connection(), true, group, filter, after, limit).await
}

/// The same of all teams, for an operator of the instance.
pub async fn sums_across(
    store: &Store,
    group: &UsageGroup,
    filter: &UsageFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UsageSum>, StoreError> {
    read(store.across(), false, group, filter, after, limit).await
}

async fn read(
    executor: impl PgExecutor<'_>,
    one_team: bool,
    group: &UsageGroup,
    filter: &UsageFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<UsageSum>, StoreError> {
    let (by, label) = match group {
        UsageGroup::Day => ("day", None),
        UsageGroup::User => ("user", None),
        UsageGroup::Team => ("team", None),
        UsageGroup::Model => ("model", None),
        UsageGroup::Repository => ("repository", None),
        UsageGroup::Label(name) => ("label", Some(name.as_str())),
    };
    let labels = filter.label.as_ref().map(|(name, value)| serde_json::json!({ name: value }));
    // A task is counted once in a group: its rows are put together first.
    let rows = sqlx::query(
        r#"WITH of_tasks AS (
            SELECT CASE $1 WHEN 'day' THEN day::text WHEN 'user' THEN user_id::text WHEN 'team' THEN team::text
                    WHEN 'model' THEN model WHEN 'repository' THEN repository ELSE labels ->> $2 END AS name,
                sum(model_calls) AS model_calls, sum(counted_calls) AS counted_calls, sum(unpriced_calls) AS unpriced_calls,
                sum(input_tokens) AS input_tokens, sum(cached_input_tokens) AS cached_input_tokens,
                sum(output_tokens) AS output_tokens, sum(cost_nano) AS cost_nano, sum(saved_nano) AS saved_nano
            FROM usage_days
            WHERE (NOT $3 OR team = current_team()) AND day BETWEEN $4 AND $5 AND ($6::uuid IS NULL OR user_id = $6)
                AND ($7::text IS NULL OR model = $7) AND ($8::text IS NULL OR repository = $8)
                AND ($9::jsonb IS NULL OR labels @> $9)
            GROUP BY name, task
         )
         SELECT name, count(*) AS tasks, sum(model_calls)::bigint AS model_calls, sum(counted_calls)::bigint AS counted_calls,
            sum(unpriced_calls)::bigint AS unpriced_calls, sum(input_tokens)::bigint AS input_tokens,
            sum(cached_input_tokens)::bigint AS cached_input_tokens, sum(output_tokens)::bigint AS output_tokens,
            sum(cost_nano)::bigint AS cost_nano, sum(saved_nano)::bigint AS saved_nano
         FROM of_tasks WHERE $10::text IS NULL OR name IS NULL OR name COLLATE "C" > $10
         GROUP BY name ORDER BY name COLLATE "C" NULLS LAST LIMIT $11"#,
    )
    .bind(by)
    .bind(label)
    .bind(one_team)
    .bind(filter.from)
    .bind(filter.to)
    .bind(filter.user.map(|id| id.0))
    .bind(filter.model.as_deref())
    .bind(filter.repository.as_deref())
    .bind(labels)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(executor)
    .await?;
    rows.iter().map(sum).collect()
}

fn sum(row: &PgRow) -> Result<UsageSum, StoreError> {
    Ok(UsageSum {
        group: row.try_get("name")?,
        tasks: row.try_get("tasks")?,
        model_calls: row.try_get("model_calls")?,
        counted_calls: row.try_get("counted_calls")?,
        unpriced_calls: row.try_get("unpriced_calls")?,
        input_tokens: row.try_get("input_tokens")?,
        cached_input_tokens: row.try_get("cached_input_tokens")?,
        output_tokens: row.try_get("output_tokens")?,
        cost_nano: row.try_get("cost_nano")?,
        saved_nano: row.try_get("saved_nano")?,
    })
}
