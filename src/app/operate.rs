//! The kill switches: what an operator stops, straight on the database. Every replica heeds it within five seconds.

use crate::{
    clock,
    config::Settings,
    domain::TeamId,
    service::{
        self,
        audit::{self, Action, Subject},
    },
    store::{
        Store, accounts,
        operator_tasks::{self, Chosen},
        switches::{self, SetSwitch, Switch},
    },
};
use anyhow::bail;
use serde_json::{Value, json};
use std::time::Duration;

/// Tasks read at a time.
const PAGE: u32 = 200;
/// Tasks that one call cancels or lists, at most.
const TASKS_MAX: usize = 10_000;
/// How often a drain looks whether anything is still held.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is stopped, or goes on.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Nothing new is claimed; with `running` what runs rests at its next step.
    Pause {
        team: Option<String>,
        running: bool,
    },
    /// Takes a pause back; without a team also a drain.
    Unpause {
        team: Option<String>,
    },
    /// Every replica gives back what it runs; waits so long for that.
    Drain {
        wait: Duration,
    },
    Cancel(CancelFilter),
    Model {
        name: String,
        off: bool,
    },
}

/// Which tasks are cancelled: those that all of it holds for.
#[derive(Clone, Debug, Default)]
pub struct CancelFilter {
    pub team: Option<String>,
    pub chosen: Chosen,
    /// They are listed and nothing more.
    pub dry_run: bool,
}

/// Does it and answers lines for people.
pub(super) async fn operate(store: &Store, settings: &Settings, operation: Operation) -> anyhow::Result<Vec<String>> {
    match operation {
        Operation::Pause { team, running } => pause(store, team, running).await,
        Operation::Unpause { team } => unpause(store, team).await,
        Operation::Drain { wait } => drain(store, wait).await,
        Operation::Cancel(filter) => cancel(store, filter).await,
        Operation::Model { name, off } => model(store, settings, name, off).await,
    }
}

async fn team_of(store: &Store, name: Option<&String>) -> anyhow::Result<Option<TeamId>> {
    let Some(name) = name else { return Ok(None) };
    match accounts::team_by_name(store, name).await? {
        Some(team) => Ok(Some(team)),
        None => bail!("there is no team {name}: `journeyman admin team list` has them"),
    }
}

/// The whole instance, or one team, as audit entries name it.
fn subject(team: Option<TeamId>) -> Subject {
    team.map_or_else(|| Subject::new("instance", ""), |team| Subject::new("team", team))
}

async fn pause(store: &Store, name: Option<String>, running: bool) -> anyhow::Result<Vec<String>> {
    let team = team_of(store, name.as_ref()).await?;
    let mut tx = store.across_teams().await?;
    switches::set(&mut tx, &Switch::Pause { team, running }).await?;
    let action = if team.is_some() { Action::TeamPaused } else { Action::InstancePaused };
    audit::by_operator(&mut tx, team, action, subject(team), json!({ "running": running })).await?;
    tx.commit().await?;
    let whose = name.map_or_else(String::new, |name| format!(" of the team {name}"));
    let held = switches::held(store, team).await?;
    let rest = if running { "rest at their next step" } else { "go on" };
    Ok(vec![format!("paused: no task{whose} is claimed; {held} that run {rest}")])
}

async fn unpause(store: &Store, name: Option<String>) -> anyhow::Result<Vec<String>> {
    let team = team_of(store, name.as_ref()).await?;
    let mut tx = store.across_teams().await?;
    let mut lifted = switches::lift(&mut tx, &Switch::Pause { team, running: false }).await?;
    if team.is_none() {
        lifted |= switches::lift(&mut tx, &Switch::Drain).await?;
    }
    if lifted {
        let action = if team.is_some() { Action::TeamUnpaused } else { Action::InstanceUnpaused };
        audit::by_operator(&mut tx, team, action, subject(team), Value::Null).await?;
    }
    tx.commit().await?;
    let mut lines = vec![if lifted { "tasks are claimed again" } else { "it was not paused" }.to_owned()];
    lines.extend(switches::all(store).await?.iter().map(|set| format!("still set: {}", told(set))));
    Ok(lines)
}

async fn drain(store: &Store, wait: Duration) -> anyhow::Result<Vec<String>> {
    let mut tx = store.across_teams().await?;
    switches::set(&mut tx, &Switch::Drain).await?;
    audit::by_operator(&mut tx, None, Action::InstanceDrained, subject(None), Value::Null).await?;
    tx.commit().await?;
    let since = clock::Stopwatch::start();
    loop {
        let held = switches::held(store, None).await?;
        if held == 0 {
            return Ok(vec!["drained: no replica holds a task; `journeyman admin unpause` lets them go on".to_owned()]);
        }
        if since.elapsed() >= wait {
            let left = format!("draining: replicas hold {held} tasks still, and claim none");
            return Ok(vec![left, "`journeyman admin unpause` lets them go on".to_owned()]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn cancel(store: &Store, filter: CancelFilter) -> anyhow::Result<Vec<String>> {
    let CancelFilter { team, mut chosen, dry_run } = filter;
    chosen.team = team_of(store, team.as_ref()).await?;
    // What it was chosen by; never a name or a label, which people wrote.
    let noted = json!({
        "team": chosen.team, "by_user": chosen.user.is_some(), "by_label": chosen.label.is_some(), "model": chosen.model,
        "status": chosen.status, "older_than_seconds": chosen.older_than.map(|span| span.as_secs()),
    });
    let (mut lines, mut after, mut cancelled) = (Vec::new(), None, 0);
    loop {
        let page = operator_tasks::list(store, &chosen, after, PAGE).await?;
        for task in &page {
            if !dry_run && !service::cancel_for_operator(store, task.team, task.id, noted.clone()).await? {
                continue;
            }
            cancelled += 1;
            let (id, status, by) = (task.id, &task.status, &task.user_name);
            lines.push(format!("{id}  {status}  {}  {by}  {}", task.team_name, task.created_at));
        }
        after = page.last().map(|task| task.id);
        if page.len() < PAGE as usize {
            break;
        }
        if lines.len() >= TASKS_MAX {
            lines.push(format!("there are more than {TASKS_MAX}: call this again"));
            break;
        }
    }
    let done = if dry_run { "would be cancelled" } else { "are cancelled, or end at their next step" };
    lines.push(format!("{cancelled} tasks {done}"));
    Ok(lines)
}

async fn model(store: &Store, settings: &Settings, name: String, off: bool) -> anyhow::Result<Vec<String>> {
    let known = settings.models.all.iter().any(|model| model.name() == name);
    let switch = Switch::Model { name: name.clone() };
    let mut tx = store.across_teams().await?;
    let (action, changed) = if off {
        switches::set(&mut tx, &switch).await?;
        (Action::ModelSwitchedOff, true)
    } else {
        (Action::ModelSwitchedOn, switches::lift(&mut tx, &switch).await?)
    };
    if changed {
        audit::by_operator(&mut tx, None, action, Subject::new("model", &name), Value::Null).await?;
    }
    tx.commit().await?;
    let mut lines = vec![match (off, changed) {
        (true, _) => format!("{name} is switched off: no replica calls it from five seconds on"),
        (false, true) => format!("{name} is switched on; tasks that waited for it go on"),
        (false, false) => format!("{name} was not switched off"),
    }];
    if !known {
        lines.push(format!("no model of the settings here has the name {name}"));
    }
    Ok(lines)
}

/// A switch that is set, for people.
pub(super) fn told(set: &SetSwitch) -> String {
    let since = set.since;
    match &set.switch {
        Switch::Pause { team: None, running: false } => format!("paused since {since}: nothing new is claimed"),
        Switch::Pause { team: None, running: true } => format!("paused since {since}: nothing runs"),
        Switch::Pause { team: Some(team), .. } => format!("the team {team} is paused since {since}"),
        Switch::Drain => format!("drained since {since}: no replica runs a task"),
        Switch::Model { name } => format!("the model {name} is switched off since {since}"),
    }
}
