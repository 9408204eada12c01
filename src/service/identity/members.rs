//! Who belongs to a team: seen by all of it, changed by its admins.

use super::{
    limits::{LimitsEdit, raw},
    me::MeUser,
};
use crate::{
    clock,
    domain::{MemberOrigin, Principal, Role, Timestamp, UserId},
    service::{
        Answer, Error, Faults, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        idempotency,
        input::{given_object, object, optional_object},
    },
    store::{
        StoreError,
        accounts::{self, MemberRow},
        api_keys, identities, members, users,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;

const NAME_CHARS_MAX: usize = 200;

/// A user, by one of three ways.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Who {
    pub id: Option<UserId>,
    /// Of exactly one user who is not deactivated.
    pub email: Option<String>,
    /// Who he will be when he first comes: made now where he is not known yet.
    #[serde(default, deserialize_with = "optional_object")]
    pub identity: Option<IdentityInput>,
}

/// How an identity provider calls a user.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityInput {
    /// `iss` of his tokens; `local` for a user whom nobody's tokens name.
    pub issuer: String,
    /// `sub` of his tokens.
    pub subject: String,
    /// Absent: the subject. What his tokens say later holds.
    pub name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    #[serde(deserialize_with = "object")]
    pub user: Who,
    pub role: Role,
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsEdit>,
}

/// What is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberEdit {
    /// A role that an admin gives holds, whatever groups say.
    pub role: Option<Role>,
    /// Those that are named; null takes one away.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<LimitsEdit>)]
    pub limits: Option<Option<LimitsEdit>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    pub user: MeUser,
    pub role: Role,
    pub origin: MemberOrigin,
    /// A user whom an operator has deactivated does nothing anywhere.
    pub deactivated: bool,
    #[schema(value_type = Object)]
    pub limits: Box<RawValue>,
    pub created_at: Timestamp,
}

impl MemberView {
    fn of(row: MemberRow) -> Result<Self, Error> {
        Ok(Self {
            limits: raw(row.limits, "members", row.user)?,
            user: MeUser { id: row.user, name: row.name, email: row.email },
            role: row.role,
            origin: row.origin,
            deactivated: row.deactivated,
            created_at: row.created_at,
        })
    }
}

impl Service {
    /// The members of the principal's team after `after`.
    pub async fn members(
        &self,
        principal: &Principal,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<MemberView>, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = accounts::members(&mut tx, after, i64::from(limit)).await?;
        tx.commit().await?;
        rows.into_iter().map(MemberView::of).collect()
    }

    pub async fn member(&self, principal: &Principal, user: UserId) -> Result<MemberView, Error> {
        access::require(principal, Right::ReadTeam)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = members::get(&mut tx, user).await?;
        tx.commit().await?;
        MemberView::of(row.ok_or(Error::NotFound)?)
    }

    /// Makes a user a member of the principal's team.
    pub async fn add_member(
        &self,
        principal: &Principal,
        new: NewMember,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageMembers)?;
        let mut faults = Faults::default();
        let limits = new.limits.unwrap_or_default();
        limits.check("/limits", &mut faults);
        faults.finish()?;
        let user = self.someone("/user", &new.user).await?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let made = members::insert(&mut tx, principal.team, user, new.role, &limits.fresh()).await;
        made.map_err(|error| match error {
            StoreError::Conflict(constraint) if constraint == "members_pkey" => Error::Conflict {
                code: "already_member",
                detail: "he is a member already: change his role with PATCH".to_owned(),
                state: None,
            },
            error => error.into(),
        })?;
        let (subject, detail) = (Subject::new("user", user), json!({ "role": new.role, "limits": limits }));
        audit::record(&mut tx, principal, Action::MemberSet, subject, detail).await?;
        let view = MemberView::of(members::get(&mut tx, user).await?.ok_or(Error::NotFound)?)?;
        let answer = Answer::new(201, &view)?.at(format!("/v1/members/{user}"));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Gives a member another role, or other limits.
    pub async fn edit_member(
        &self,
        principal: &Principal,
        user: UserId,
        edit: MemberEdit,
    ) -> Result<MemberView, Error> {
        access::require(principal, Right::ManageMembers)?;
        let mut faults = Faults::default();
        let limits = edit.limits.map(Option::unwrap_or_default);
        if let Some(limits) = &limits {
            limits.check("/limits", &mut faults);
        }
        faults.finish()?;
        let mut tx = self.store().team(principal.team).await?;
        let before = members::get(&mut tx, user).await?.ok_or(Error::NotFound)?;
        if let Some(role) = edit.role {
            if role < Role::Admin {
                refuse_last(&members::lock_admins(&mut tx).await?, user)?;
            }
            members::set_role(&mut tx, user, role).await?;
        }
        if let Some(limits) = &limits {
            members::set_limits(&mut tx, user, &limits.counts()).await?;
        }
        let (subject, detail) = (Subject::new("user", user), json!({ "role": edit.role, "limits": limits }));
        audit::record(&mut tx, principal, Action::MemberSet, subject, detail).await?;
        tx.commit().await?;
        if let Some(limits) = &limits {
            self.set_budgets(principal.team, Some(user), limits, &before.limits).await?;
        }
        self.forget_member(principal.team, user);
        self.member(principal, user).await
    }

    /// Removes a member: his keys of the team end, and his tasks there are cancelled.
    pub async fn remove_member(&self, principal: &Principal, user: UserId) -> Result<(), Error> {
        access::require(principal, Right::ManageMembers)?;
        let mut tx = self.store().team(principal.team).await?;
        members::get(&mut tx, user).await?.ok_or(Error::NotFound)?;
        refuse_last(&members::lock_admins(&mut tx).await?, user)?;
        api_keys::revoke_all(&mut tx, user, Some(principal.team)).await?;
        if !members::remove(&mut tx, user).await? {
            return Err(Error::NotFound);
        }
        audit::record(&mut tx, principal, Action::MemberRemoved, Subject::new("user", user), Value::Null).await?;
        tx.commit().await?;
        self.forget_member(principal.team, user);
        self.cancel_tasks_of(principal, user, Some(principal.team)).await
    }

    /// The user that an admin means.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is none, or more than one.
    pub(super) async fn someone(&self, pointer: &str, who: &Who) -> Result<UserId, Error> {
        let store = self.store();
        match (who.id, who.email.as_deref(), &who.identity) {
            (Some(id), None, None) => match users::get(store, id).await? {
                Some(user) if user.deactivated_at.is_none() => Ok(id),
                _ => Err(Error::invalid(format!("{pointer}/id"), "there is no such user, or he is deactivated")),
            },
            (None, Some(email), None) => match users::by_email(store, email).await?.as_slice() {
                [one] => Ok(*one),
                [] => Err(Error::invalid(format!("{pointer}/email"), "no user has this address: name his identity")),
                _ => Err(Error::invalid(format!("{pointer}/email"), "several users have this address: name one by id")),
            },
            (None, None, Some(identity)) => self.identified(pointer, identity).await,
            _ => Err(Error::invalid(pointer, "must have one of id, email and identity")),
        }
    }

    async fn identified(&self, pointer: &str, identity: &IdentityInput) -> Result<UserId, Error> {
        let mut faults = Faults::default();
        let name = identity.name.as_deref().unwrap_or(&identity.subject);
        for (field, text) in [("issuer", &identity.issuer), ("subject", &identity.subject)] {
            faults.line(&format!("{pointer}/identity/{field}"), text, NAME_CHARS_MAX);
        }
        faults.line(&format!("{pointer}/identity/name"), name, NAME_CHARS_MAX);
        faults.finish()?;
        let identity = accounts::Identity { issuer: &identity.issuer, subject: &identity.subject, name, email: None };
        let user = identities::known_or_new(self.store(), clock::new_id(), identity).await?;
        if user.deactivated {
            return Err(Error::invalid(format!("{pointer}/identity"), "the user is deactivated"));
        }
        Ok(user.id)
    }
}

/// A team has an admin.
fn refuse_last(admins: &[UserId], user: UserId) -> Result<(), Error> {
    if admins != [user] {
        return Ok(());
    }
    Err(Error::Conflict {
        code: "last_admin",
        detail: "he is the team's last admin: make somebody else one first".to_owned(),
        state: None,
    })
}
