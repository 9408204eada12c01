//! What is kept of whom: users are erased, and teams say for how long their tasks stay.

use crate::{
    clock,
    config::Settings,
    domain::{TeamId, UserId},
    service::audit::{self, Action, Subject},
    store::{
        Store, StoreError, accounts,
        erasures::{self, ErasureRow},
        retention::{self, TeamRetention},
    },
};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Erasures listed, at most.
const LISTED_MAX: u32 = 1_000;
const DAYS_MAX: u32 = 36_500;

/// Asks for a user's erasure, by the name under which the command line made him or by his id.
pub(super) async fn erase(store: &Store, user: &str) -> anyhow::Result<Vec<String>> {
    let id = if let Ok(id) = user.parse::<UserId>() {
        id
    } else {
        let found = accounts::user_by_identity(store, "local", user).await?;
        found.with_context(|| format!("there is no user {user} that was made here: name one of a token by his id"))?
    };
    let mut tx = store.across_teams().await?;
    let alone = erasures::last_admin_of(&mut tx, id).await?;
    let asked = erasures::ask(&mut tx, TeamId(Uuid::nil()), clock::new_id(), id).await;
    let row = match asked {
        Ok(Some(row)) => row,
        Ok(None) => bail!("there is no user {id}"),
        Err(StoreError::Conflict(constraint)) if constraint == "erasures_open" => {
            bail!("the erasure of {id} was asked for already: `journeyman admin user erasures` tells how far it is");
        }
        Err(error) => return Err(error.into()),
    };
    let (subject, detail) = (Subject::new("user", id), json!({ "erasure": row.id }));
    audit::by_operator(&mut tx, None, Action::UserErasureAsked, subject, detail).await?;
    tx.commit().await?;
    let mut lines = vec![
        format!("the user {id} has no access any more; what is his goes in the background (erasure {})", row.id),
        "`journeyman admin user erasures` tells how far it is".to_owned(),
    ];
    if row.gone.teams.is_empty() {
        lines.push("he has left nothing in any team".to_owned());
    }
    lines.extend(alone.iter().map(|team| format!("the team {team} has no admin now: make somebody one")));
    Ok(lines)
}

/// The instance's erasures, newest first, a line each.
pub(super) async fn list_erasures(store: &Store) -> anyhow::Result<Vec<String>> {
    let rows = erasures::all(store, None, LISTED_MAX).await?;
    if rows.is_empty() {
        return Ok(vec!["no user was erased".to_owned()]);
    }
    Ok(rows.iter().map(told).collect())
}

fn told(row: &ErasureRow) -> String {
    let gone = &row.gone;
    let since = row.finished_at.unwrap_or(row.asked_at);
    format!(
        "{}  {:<7}  {since}  {} tasks, {} memories, {} uploads, {} contents, {} objects, {} events elsewhere",
        row.user,
        row.state.as_str(),
        gone.tasks,
        gone.memories,
        gone.uploads,
        gone.contents,
        gone.objects,
        gone.said_elsewhere
    )
}

/// Sets for how long a team keeps ended tasks and their history; what is absent is as the instance has it.
pub(super) async fn retain(
    store: &Store,
    settings: &Settings,
    team: &str,
    wanted: TeamRetention,
) -> anyhow::Result<Vec<String>> {
    for (name, days) in [("--tasks-days", wanted.tasks_days), ("--history-days", wanted.history_days)] {
        if days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            bail!("{name} must be from 1 to {DAYS_MAX}");
        }
    }
    let Some(id) = accounts::team_by_name(store, team).await? else {
        bail!("there is no team {team}: `journeyman admin team list` has them");
    };
    let mut tx = store.across_teams().await?;
    retention::set_of_team(&mut tx, id, wanted).await?;
    let detail = serde_json::to_value(wanted).unwrap_or(Value::Null);
    audit::by_operator(&mut tx, Some(id), Action::TeamRetentionSet, Subject::new("team", id), detail).await?;
    tx.commit().await?;
    let line = |what: &str, own: Option<u32>, whole: Option<Duration>| {
        let whole = whole.map(|kept| kept.as_secs() / 86_400);
        match (own.map(u64::from), whole) {
            (Some(own), Some(whole)) if whole < own => {
                format!("{what}: {whole} days, as the instance has it, which is shorter")
            }
            (Some(own), _) => format!("{what}: {own} days"),
            (None, Some(whole)) => format!("{what}: {whole} days, as the instance has it"),
            (None, None) => format!("{what}: for ever, as the instance has it"),
        }
    };
    Ok(vec![
        line("ended tasks", wanted.tasks_days, settings.retention.tasks),
        line("their history", wanted.history_days, settings.retention.history),
    ])
}
