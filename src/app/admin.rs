//! First users, teams and keys, straight on the database.

use super::{
    backup::{self, LeftOut, Place},
    build::RunningDatabase,
    keeping, keys,
    operate::{self, Operation},
};
use crate::{
    auth, clock,
    config::Settings,
    domain::{Role, Scope, Timestamp},
    postgres::{Cluster, DataDirLock, PostgresError},
    secrets::Keyring,
    service::audit::{self, Action, Subject},
    store::{
        self, Store, accounts,
        budgets::{self, Caps},
        retention::TeamRetention,
        sealed, users,
    },
};
use anyhow::{Context, bail};
use serde_json::json;

/// Secrets whose keys are wrapped anew at a time.
const ROTATED_AT_ONCE: u32 = 100;
/// Secrets that do not open, told by name.
const TOLD_MAX: usize = 100;

/// What an operator asks for.
#[derive(Clone, Debug)]
pub enum AdminAction {
    AddUser {
        name: String,
        team: String,
        role: Role,
        email: Option<String>,
    },
    /// Makes a user an operator of the instance, or one no longer.
    SetOperator {
        /// A local user's name, or any user's id.
        name: String,
        operator: bool,
    },
    AddTeam {
        name: String,
    },
    ListTeams,
    Budget {
        team: String,
        user: Option<String>,
        caps: Caps,
    },
    AddKey {
        name: String,
        user: String,
        team: String,
        scopes: Option<Vec<Scope>>,
        expires_at: Option<Timestamp>,
    },
    /// Wraps the keys of all stored secrets under the present master key.
    RotateSecrets,
    /// Stops something, or lets it go on.
    Operate(Operation),
    /// Lets all go that is a user's, in the background.
    EraseUser {
        /// The name under which the command line made him, or his id.
        user: String,
    },
    ListErasures,
    /// For how long a team keeps ended tasks and their history.
    Retention {
        team: String,
        tasks_days: Option<u32>,
        history_days: Option<u32>,
    },
    /// Writes a backup, beside a service that runs.
    Backup {
        place: Place,
        left_out: LeftOut,
    },
    /// Fills an empty database, and a data directory that no service uses.
    Restore {
        place: Place,
    },
}

/// Does it and answers lines for people, also beside a service that runs: on the operator's database,
/// or on the private cluster that another process has started.
pub async fn admin(settings: &Settings, action: AdminAction) -> anyhow::Result<Vec<String>> {
    if let AdminAction::Restore { place } = &action {
        return backup::restore(settings, place).await;
    }
    if let Some(url) = &settings.database.url {
        return on(settings, url.expose(), true, action).await;
    }
    match DataDirLock::take(&settings.data_dir) {
        Ok(lock) => {
            let database = RunningDatabase::start(settings, &lock).await?;
            let done = on(settings, &database.url, true, action).await;
            database.stop().await;
            done
        }
        Err(held @ PostgresError::InUse { .. }) => match Cluster::url_of_running(&settings.data_dir) {
            // Whoever holds it migrates.
            Some(url) => on(settings, &url, false, action).await,
            None => Err(held.into()),
        },
        Err(error) => Err(error.into()),
    }
}

async fn on(
    settings: &Settings,
    database_url: &str,
    migrate: bool,
    action: AdminAction,
) -> anyhow::Result<Vec<String>> {
    let mut database = store::Settings::new(database_url);
    database.connections = 2;
    let store = Store::connect(&database, migrate).await.context("the database")?;
    let done = match action {
        AdminAction::RotateSecrets => match keys::keyring_for_rotation(settings, &settings.data_dir) {
            Ok(keyring) => rotate(&store, &keyring).await,
            Err(error) => Err(error),
        },
        AdminAction::Operate(operation) => operate::operate(&store, settings, operation).await,
        AdminAction::EraseUser { user } => keeping::erase(&store, &user).await,
        AdminAction::ListErasures => keeping::list_erasures(&store).await,
        AdminAction::Retention { team, tasks_days, history_days } => {
            keeping::retain(&store, settings, &team, TeamRetention { tasks_days, history_days }).await
        }
        AdminAction::Backup { place, left_out } => backup::backup(&store, settings, &place, left_out).await,
        action => act(&store, action).await,
    };
    store.close().await;
    done
}

async fn act(store: &Store, action: AdminAction) -> anyhow::Result<Vec<String>> {
    match action {
        AdminAction::AddTeam { name } => {
            let mut tx = store.across_teams().await?;
            let id = accounts::ensure_team_across(&mut tx, clock::new_id(), &name).await?;
            let subject = Subject::new("team", id);
            audit::by_operator(&mut tx, Some(id), Action::TeamCreated, subject, json!({ "name": name })).await?;
            tx.commit().await?;
            Ok(vec![format!("team {name} is {id}")])
        }
        AdminAction::ListTeams => {
            let teams = accounts::all_teams(store, 1_000).await?;
            Ok(teams.into_iter().map(|team| format!("{}  {}", team.id, team.name)).collect())
        }
        AdminAction::Budget { team, user, caps } => budget(store, &team, user.as_deref(), caps).await,
        AdminAction::AddUser { name, team, role, email } => {
            let Some(team_id) = accounts::team_by_name(store, &team).await? else {
                bail!("there is no team {team}: make it with `journeyman admin team add {team}`");
            };
            let identity = accounts::Identity { issuer: "local", subject: &name, name: &name, email: email.as_deref() };
            let mut tx = store.across_teams().await?;
            let user = accounts::ensure_user_across(&mut tx, clock::new_id(), identity).await?;
            accounts::set_member_across(&mut tx, team_id, user, role).await?;
            let (subject, detail) = (Subject::new("user", user), json!({ "role": role }));
            audit::by_operator(&mut tx, Some(team_id), Action::MemberSet, subject, detail).await?;
            tx.commit().await?;
            Ok(vec![format!("user {name} is {user}, {} of {team}", role.as_str())])
        }
        AdminAction::SetOperator { name, operator } => {
            let user = match name.parse() {
                Ok(id) => Some(id),
                Err(_) => accounts::user_by_identity(store, "local", &name).await?,
            };
            let mut tx = store.across_teams().await?;
            let found = match user {
                Some(user) if users::set_operator(&mut tx, user, operator).await? => user,
                _ => bail!("there is no user {name}: name a local user, or any by his id (GET /v1/users)"),
            };
            let (subject, detail) = (Subject::new("user", found), json!({ "operator": operator }));
            audit::by_operator(&mut tx, None, Action::UserOperatorSet, subject, detail).await?;
            tx.commit().await?;
            let now = if operator { "is now" } else { "is no longer" };
            Ok(vec![format!("user {name} {now} an operator of the instance")])
        }
        AdminAction::AddKey { name, user, team, scopes, expires_at } => {
            let Some(team_id) = accounts::team_by_name(store, &team).await? else {
                bail!("there is no team {team}: make it with `journeyman admin team add {team}`");
            };
            let user_id = accounts::user_by_identity(store, "local", &user).await?.with_context(|| {
                format!("there is no user {user}: make it with `journeyman admin user add {user} --team {team}`")
            })?;
            let mut tx = store.across_teams().await?;
            let (id, key) = auth::issue_within(&mut tx, team_id, user_id, &name, scopes.as_deref(), expires_at).await?;
            let detail = json!({ "user": user_id, "prefix": key.prefix(), "scopes": scopes, "expires_at": expires_at });
            let subject = Subject::new("api_key", id);
            audit::by_operator(&mut tx, Some(team_id), Action::ApiKeyCreated, subject, detail).await?;
            tx.commit().await?;
            Ok(vec![format!("key {id}, shown this once:"), key.expose().to_owned()])
        }
        // Done before.
        AdminAction::RotateSecrets
        | AdminAction::Operate(_)
        | AdminAction::EraseUser { .. }
        | AdminAction::ListErasures
        | AdminAction::Retention { .. }
        | AdminAction::Backup { .. }
        | AdminAction::Restore { .. } => Ok(Vec::new()),
    }
}

/// Wraps keys anew, some at a time; what was cut off goes on where it was at the next call. A secret that does not open
/// is told and left as it is.
async fn rotate(store: &Store, keyring: &Keyring) -> anyhow::Result<Vec<String>> {
    let (mut done, mut failed, mut after) = (0_u64, Vec::new(), None);
    loop {
        let batch = sealed::under_other_keys(store, keyring.current_id(), after.as_ref(), ROTATED_AT_ONCE).await?;
        let Some((last, _)) = batch.last() else { break };
        after = Some(last.clone());
        for (owner, before) in &batch {
            match keyring.rewrap(owner, before) {
                Ok(wrapped) => {
                    // Set again by somebody meanwhile: then it is under the key that the service has.
                    let written = sealed::rewrap(store, owner, before, keyring.current_id(), &wrapped).await?;
                    done += u64::from(written);
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
    }
    let detail = json!({ "key": keyring.current_id(), "wrapped": done, "failed": failed.len() });
    let mut tx = store.across_teams().await?;
    let subject = Subject::new("master_key", keyring.current_id());
    audit::by_operator(&mut tx, None, Action::SecretsRotated, subject, detail).await?;
    tx.commit().await?;
    let summary = format!("{done} secrets are now under the master key {}", keyring.current_id());
    if failed.is_empty() {
        // Somebody with the earlier key alone may have set secrets meanwhile.
        let others = sealed::key_ids(store).await?.into_iter().filter(|(id, _)| id != keyring.current_id());
        let others: u64 = others.map(|(_, count)| count).sum();
        if others > 0 {
            bail!(
                "{summary}; {others} were set under an earlier key meanwhile: give every replica the new key, and call this again"
            );
        }
        return Ok(vec![summary]);
    }
    let left = failed.len();
    failed.truncate(TOLD_MAX);
    bail!("{summary}; {left} could not be opened:\n{}", failed.join("\n"))
}

/// Sets the caps and says how the accounts stand.
async fn budget(store: &Store, team: &str, user: Option<&str>, caps: Caps) -> anyhow::Result<Vec<String>> {
    let Some(team_id) = accounts::team_by_name(store, team).await? else {
        bail!("there is no team {team}: make it with `journeyman admin team add {team}`");
    };
    for (name, cap) in
        [("--cost-usd-per-day", caps.cost_usd_per_day), ("--cost-usd-per-month", caps.cost_usd_per_month)]
    {
        if cap.is_some_and(|usd| !(0.0..=1e9).contains(&usd)) {
            bail!("{name} must be from 0 to 1000000000");
        }
    }
    let user_id = match user {
        Some(name) => Some(
            accounts::user_by_identity(store, "local", name)
                .await?
                .with_context(|| format!("there is no user {name}"))?,
        ),
        None => None,
    };
    let mut tx = store.across_teams().await?;
    if !budgets::set_caps_across(&mut tx, team_id, user_id, caps).await? {
        bail!("{} is no member of {team}", user.unwrap_or_default());
    }
    let (action, subject) = match user_id {
        Some(user) => (Action::MemberBudgetSet, Subject::new("user", user)),
        None => (Action::TeamBudgetSet, Subject::new("team", team_id)),
    };
    audit::by_operator(&mut tx, Some(team_id), action, subject, json!(caps)).await?;
    tx.commit().await?;
    let shown = |cap: Option<f64>| cap.map_or("no cap".to_owned(), |usd| format!("${usd}"));
    let whose = user.map_or_else(|| format!("team {team}"), |user| format!("{user} in {team}"));
    let (day, month) = (shown(caps.cost_usd_per_day), shown(caps.cost_usd_per_month));
    let mut lines = vec![format!("{whose}: {day} a day, {month} a month")];
    let (accounts, held) = budgets::standing(store, team_id).await?;
    for (holder, span, taken) in accounts {
        let holder = if holder.is_nil() { "the team".to_owned() } else { holder.to_string() };
        lines.push(format!("{holder}, this {span}: ${:.4} spent or held", taken as f64 / 1e9));
    }
    lines.push(format!("held by tasks that run: ${:.4}", held as f64 / 1e9));
    Ok(lines)
}
