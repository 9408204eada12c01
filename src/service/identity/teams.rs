//! Teams: one's own, as its admins shape it; all of them, for operators of the instance.

use super::{
    limits::{LimitsEdit, raw},
    members::Who,
};
use crate::{
    auth::Ending,
    clock,
    domain::{Principal, Role, TeamId, Timestamp},
    service::{
        Answer, Error, Faults, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
        input::{given_object, optional_object},
    },
    store::{
        StoreError,
        accounts::{self, TeamRow},
        members,
        retention::TeamRetention,
        teams, webhooks,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use utoipa::ToSchema;

const NAME_CHARS_MAX: usize = 200;
const WEIGHT_MAX: i32 = 1_000;
const RETENTION_DAYS_MAX: u32 = 36_500;

/// A team to be made; for operators of the instance.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Unique in the instance; at most 200 characters.
    #[schema(max_length = 200)]
    pub name: String,
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsEdit>,
    /// Its first admin; absent: the caller.
    #[serde(default, deserialize_with = "optional_object")]
    pub admin: Option<Who>,
}

/// What is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamEdit {
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// Those that are named; null takes one away.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<LimitsEdit>)]
    pub limits: Option<Option<LimitsEdit>>,
    /// Its part of what the workers do, beside other teams': from 1 to 1000, at first 1; for operators of the instance.
    #[schema(minimum = 1, maximum = 1_000)]
    pub weight: Option<i32>,
    /// As a whole: what is absent in it is as the instance has it.
    #[serde(default, deserialize_with = "optional_object")]
    pub retention: Option<Retention>,
}

/// For how long a team keeps ended tasks, and their history; never longer than the instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// From 1 to 36500; null: as the instance has it.
    #[schema(minimum = 1, maximum = 36_500)]
    pub tasks_days: Option<u32>,
    /// From 1 to 36500; null: as the instance has it.
    #[schema(minimum = 1, maximum = 36_500)]
    pub history_days: Option<u32>,
}

impl Retention {
    fn check(self, faults: &mut Faults) {
        for (field, days) in [("tasks_days", self.tasks_days), ("history_days", self.history_days)] {
            if days.is_some_and(|days| !(1..=RETENTION_DAYS_MAX).contains(&days)) {
                faults.add(format!("/retention/{field}"), format!("must be from 1 to {RETENTION_DAYS_MAX}"));
            }
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TeamView {
    pub id: TeamId,
    pub name: String,
    #[schema(value_type = Object)]
    pub limits: Box<RawValue>,
    /// Its part of what the workers do, beside other teams'.
    pub weight: i32,
    pub retention: Retention,
    pub created_at: Timestamp,
}

impl TeamView {
    fn of(row: TeamRow) -> Result<Self, Error> {
        let limits = raw(row.limits, "teams", row.id)?;
        let TeamRetention { tasks_days, history_days } = row.retention;
        let retention = Retention { tasks_days, history_days };
        Ok(Self { id: row.id, name: row.name, limits, weight: row.weight, retention, created_at: row.created_at })
    }
}

impl Service {
    /// Makes a team with its first admin.
    pub async fn create_team(
        &self,
        principal: &Principal,
        new: NewTeam,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageTeams)?;
        let mut faults = Faults::default();
        faults.line("/name", &new.name, NAME_CHARS_MAX);
        let limits = new.limits.unwrap_or_default();
        limits.check("/limits", &mut faults);
        faults.finish()?;
        let admin = match &new.admin {
            Some(who) => self.someone("/admin", who).await?,
            None => principal.user,
        };
        let mut tx = self.store().operator(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let row = teams::insert(&mut tx, clock::new_id(), new.name.trim(), &limits.fresh()).await;
        let row = row.map_err(|error| taken(error, new.name.trim()))?;
        members::insert(&mut tx, row.id, admin, Role::Admin, "{}").await?;
        let (id, detail) = (row.id, json!({ "name": row.name, "admin": admin }));
        audit::record_in(&mut tx, principal, id, Action::TeamCreated, Subject::new("team", id), detail).await?;
        let answer = Answer::new(201, &TeamView::of(row)?)?.at(format!("/v1/teams/{id}"));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Teams after `after`: one's own, of an operator all of them.
    pub async fn teams(
        &self,
        principal: &Principal,
        after: Option<TeamId>,
        limit: u32,
    ) -> Result<Vec<TeamView>, Error> {
        if access::may(principal, Right::ManageTeams) {
            let rows = teams::list(self.store(), after, limit).await?;
            return rows.into_iter().map(TeamView::of).collect();
        }
        let own = self.team(principal, principal.team).await?;
        Ok(if after.is_some_and(|after| after >= own.id) { Vec::new() } else { vec![own] })
    }

    /// One's own team; of an operator any.
    pub async fn team(&self, principal: &Principal, id: TeamId) -> Result<TeamView, Error> {
        access::require(principal, Right::ReadTeam)?;
        reaches(principal, id)?;
        let mut tx = self.store().team(id).await?;
        let row = accounts::own_team(&mut tx).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        TeamView::of(row)
    }

    /// Names a team anew and sets its limits.
    pub async fn edit_team(&self, principal: &Principal, id: TeamId, edit: TeamEdit) -> Result<TeamView, Error> {
        if !access::may(principal, Right::ManageTeams) {
            access::require(principal, Right::ManageTeam)?;
        }
        if edit.weight.is_some() {
            access::require(principal, Right::ManageTeams)?;
        }
        reaches(principal, id)?;
        let mut faults = Faults::default();
        if edit.weight.is_some_and(|weight| !(1..=WEIGHT_MAX).contains(&weight)) {
            faults.add("/weight", format!("must be from 1 to {WEIGHT_MAX}"));
        }
        if let Some(retention) = edit.retention {
            retention.check(&mut faults);
        }
        if let Some(name) = &edit.name {
            faults.line("/name", name, NAME_CHARS_MAX);
        }
        let limits = edit.limits.map(Option::unwrap_or_default);
        if let Some(limits) = &limits {
            limits.check("/limits", &mut faults);
        }
        faults.finish()?;
        let mut tx = self.store().team(id).await?;
        accounts::own_team(&mut tx).await?.ok_or(Error::NotFound)?;
        if let Some(name) = edit.name.as_deref().map(str::trim) {
            teams::rename(&mut tx, name).await.map_err(|error| taken(error, name))?;
        }
        if let Some(limits) = &limits {
            teams::set_limits(&mut tx, &limits.counts()).await?;
        }
        if let Some(weight) = edit.weight {
            teams::set_weight(&mut tx, weight).await?;
        }
        if let Some(Retention { tasks_days, history_days }) = edit.retention {
            teams::set_retention(&mut tx, TeamRetention { tasks_days, history_days }).await?;
        }
        let row = accounts::own_team(&mut tx).await?.ok_or(Error::NotFound)?;
        let detail = json!({ "name": edit.name, "limits": limits, "weight": edit.weight, "retention": edit.retention });
        audit::record_in(&mut tx, principal, id, Action::TeamUpdated, Subject::new("team", id), detail).await?;
        tx.commit().await?;
        if let Some(limits) = &limits {
            self.set_budgets(id, None, limits, &row.limits).await?;
        }
        self.team(principal, id).await
    }

    /// Deletes a team that has no tasks any more, with all that is its own.
    pub async fn delete_team(&self, principal: &Principal, id: TeamId) -> Result<(), Error> {
        access::require(principal, Right::ManageTeams)?;
        if id == principal.team {
            return Err(conflict("own_team", "it is the team that you are in: call from another one"));
        }
        let mut tx = self.store().operator(id).await?;
        if teams::count_tasks(&mut tx, 1).await? > 0 {
            return Err(conflict("team_has_tasks", "the team has tasks: delete them first"));
        }
        let row = accounts::own_team(&mut tx).await?.ok_or(Error::NotFound)?;
        webhooks::delete_of_team(&mut tx).await?;
        teams::delete(&mut tx).await?;
        let (subject, detail) = (Subject::new("team", id), json!({ "name": row.name }));
        audit::record(&mut tx, principal, Action::TeamDeleted, subject, detail).await?;
        tx.commit().await?;
        // Its keys and members end here at once; other replicas hear of them.
        self.inner.authenticator.end(Ending { team: Some(id), ..Ending::default() });
        Ok(())
    }
}

/// What a principal may not see is not there.
fn reaches(principal: &Principal, id: TeamId) -> Result<(), Error> {
    if id == principal.team || access::may(principal, Right::ManageTeams) { Ok(()) } else { Err(Error::NotFound) }
}

fn taken(error: StoreError, name: &str) -> Error {
    match error {
        StoreError::Conflict(constraint) if constraint == "teams_name_unique" => {
            conflict("name_taken", format!("there is a team {name} already"))
        }
        error => error.into(),
    }
}

fn conflict(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Conflict { code, detail: detail.into(), state: None }
}
