//! Integrations: managed by admins, read by the team, their secrets by nobody.

use super::checked;
use crate::{
    clock,
    domain::{
        IntegrationId, Principal, Timestamp, UserId,
        integration::{Answers, GithubApp, IntegrationSpec, MappedRepository, Publish, PullRequestWishes, Rules},
        limits::LimitsPatch,
        linked_account::Provider,
        task::{ApprovalPolicy, NetworkPolicy},
    },
    secrets::Secret,
    service::{
        Answer, Error, Faults, Idempotency, NetworkInput, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        environments::too_many,
        idempotency,
        input::{given, given_object, optional_object},
    },
    store::{
        StoreError, TeamTx, environments, sealed,
        trackers::integrations::{self, IntegrationRow, SECRET, TOKEN},
        users,
    },
    trackers::tokens::is_app_key,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use utoipa::ToSchema;
use uuid::Uuid;

const INTEGRATIONS_MAX: u32 = 100;
/// How long a secret is still believed once another has followed it.
const ROTATION: Duration = Duration::from_secs(24 * 3_600);

/// An integration to be made. `name`, `tracker` and `secret` are required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIntegration {
    /// Unique in the team; at most 100 characters.
    #[schema(max_length = 100, example = "our forge")]
    pub name: String,
    pub tracker: Provider,
    /// What the tracker signs with, or sends (GitLab); from 8 to 500 characters. Never read back.
    #[schema(value_type = String, format = "password", write_only)]
    pub secret: Secret,
    /// Of an instance of one's own: `https://git.example.org`. Absent: the tracker's usual one.
    pub base_url: Option<String>,
    /// What the tracker is asked with, and answered. Never read back.
    #[schema(value_type = Option<String>, format = "password", write_only)]
    pub token: Option<Secret>,
    /// What makes a task of an issue.
    #[serde(default, deserialize_with = "optional_object")]
    pub rules: Option<Rules>,
    /// Where the code is, by `owner/name`, or by the key of a project (Jira) or team (Linear). It goes before the
    /// address that a forge names. At most 500.
    pub repositories: Option<BTreeMap<String, MappedRepository>>,
    /// Accounts at the tracker that may make and steer tasks, without asking it about them. At most 500.
    #[schema(max_items = 500)]
    pub allowed_users: Option<Vec<String>>,
    /// The id or name of the environment of its tasks.
    pub environment: Option<String>,
    /// As of a task.
    pub approval: Option<ApprovalPolicy>,
    /// As of a task; nothing at all for issues whose author nobody knows.
    #[serde(default, deserialize_with = "optional_object")]
    pub network: Option<NetworkInput>,
    /// As of a task.
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsPatch>,
    /// What becomes of the patch of a run that succeeds. Absent: a pull request.
    pub publish: Option<Publish>,
    /// What is said at the tracker.
    #[serde(default, deserialize_with = "optional_object")]
    pub answers: Option<Answers>,
    #[serde(default, deserialize_with = "optional_object")]
    pub pull_requests: Option<PullRequestWishes>,
    /// GitHub alone: `token` is this App's private key.
    #[serde(default, deserialize_with = "optional_object")]
    pub app: Option<GithubApp>,
}

/// What is absent stays; null takes away. Another tracker needs another integration.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntegrationEdit {
    pub name: Option<String>,
    /// The one before is believed for 24 hours more.
    #[schema(value_type = Option<String>, format = "password", write_only)]
    pub secret: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub base_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "password", write_only)]
    pub token: Option<Option<Secret>>,
    /// All of them.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<Rules>)]
    pub rules: Option<Option<Rules>>,
    /// All of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, MappedRepository>>)]
    pub repositories: Option<Option<BTreeMap<String, MappedRepository>>>,
    /// All of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub allowed_users: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub environment: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ApprovalPolicy>)]
    pub approval: Option<Option<ApprovalPolicy>>,
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<NetworkInput>)]
    pub network: Option<Option<NetworkInput>>,
    /// All of them.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<LimitsPatch>)]
    pub limits: Option<Option<LimitsPatch>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Publish>)]
    pub publish: Option<Option<Publish>>,
    /// All of it.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<Answers>)]
    pub answers: Option<Option<Answers>>,
    /// All of them.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<PullRequestWishes>)]
    pub pull_requests: Option<Option<PullRequestWishes>>,
    /// Another one, or none, needs the token again.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<GithubApp>)]
    pub app: Option<Option<GithubApp>>,
}

/// An integration without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IntegrationView {
    pub id: IntegrationId,
    pub name: String,
    pub tracker: Provider,
    /// Where the tracker is to send its events.
    #[schema(example = "https://journeyman.example.org/v1/hooks/019ad2…")]
    pub hook_url: String,
    pub base_url: Option<String>,
    pub rules: Rules,
    pub repositories: BTreeMap<String, MappedRepository>,
    pub allowed_users: Vec<String>,
    pub environment: Option<String>,
    pub approval: Option<ApprovalPolicy>,
    pub network: Option<NetworkPolicy>,
    pub limits: LimitsPatch,
    pub publish: Publish,
    pub answers: Answers,
    pub pull_requests: PullRequestWishes,
    pub app: Option<GithubApp>,
    pub has_token: bool,
    /// Until when the secret before the present one is still believed.
    pub previous_secret_until: Option<Timestamp>,
    /// The member in whose name tasks are made for people who are none.
    pub owner: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Service {
    pub async fn create_integration(
        &self,
        principal: &Principal,
        new: NewIntegration,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageIntegrations)?;
        let (tracker, secret, token) = (new.tracker, new.secret.clone(), new.token.clone());
        let (name, spec) = self.edited_integration(String::new(), IntegrationSpec::default(), new.into())?;
        check_app(tracker, &spec, (token.as_ref(), true), true)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        if integrations::count(&mut tx).await? >= INTEGRATIONS_MAX {
            return Err(too_many(&format!("a team may have {INTEGRATIONS_MAX} integrations: delete one first")));
        }
        check_environment(&mut tx, &spec).await?;
        let id: IntegrationId = clock::new_id();
        let (team, owner) = (principal.team, principal.user);
        let row = integrations::NewIntegration { team, id, name: &name, tracker, owner, spec: &spec };
        integrations::insert(&mut tx, row).await.map_err(|error| taken(error, &name))?;
        self.put_secret(&mut tx, principal, id, &signing_name(), &secret).await?;
        if let Some(token) = &token {
            self.put_secret(&mut tx, principal, id, TOKEN, token).await?;
        }
        let row = integrations::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        note(&mut tx, principal, Action::IntegrationCreated, &row).await?;
        let answer = Answer::new(201, &self.integration_view(row))?.at(format!("/v1/integrations/{id}"));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Integrations before `before`, newest first.
    pub async fn integrations(
        &self,
        principal: &Principal,
        before: Option<IntegrationId>,
        limit: u32,
    ) -> Result<Vec<IntegrationView>, Error> {
        access::require(principal, Right::ReadIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = integrations::list(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| self.integration_view(row)).collect())
    }

    pub async fn integration(&self, principal: &Principal, id: IntegrationId) -> Result<IntegrationView, Error> {
        access::require(principal, Right::ReadIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = integrations::get(&mut tx, id).await?;
        tx.commit().await?;
        row.map(|row| self.integration_view(row)).ok_or(Error::NotFound)
    }

    /// Changes what holds for deliveries from then on. A secret follows the one before, which holds for a while more.
    pub async fn edit_integration(
        &self,
        principal: &Principal,
        id: IntegrationId,
        edit: IntegrationEdit,
    ) -> Result<IntegrationView, Error> {
        access::require(principal, Right::ManageIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        if !integrations::lock(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        let row = integrations::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let (secret, token) = (edit.secret.clone(), edit.token.clone());
        let (base_before, app_before) = (row.spec.base_url.clone(), row.spec.app.clone());
        let (name, spec) = self.edited_integration(row.name, row.spec, edit)?;
        // Who cannot read a token cannot have it sent elsewhere either.
        if spec.base_url != base_before && row.has_token && token.is_none() {
            return Err(Error::invalid("/token", "must be given again for another base_url"));
        }
        check_app(
            row.tracker,
            &spec,
            (token.as_ref().and_then(Option::as_ref), token.is_some()),
            spec.app != app_before,
        )?;
        check_environment(&mut tx, &spec).await?;
        // Tasks of whoever has left the team are nobody's: who changes it takes them over.
        let owner = if users::is_active(&mut tx, row.owner).await? { row.owner } else { principal.user };
        integrations::update(&mut tx, id, &name, owner, &spec).await.map_err(|error| taken(error, &name))?;
        if let Some(secret) = &secret {
            integrations::delete_previous(&mut tx, id).await?;
            integrations::outdate(&mut tx, id, ROTATION).await?;
            self.put_secret(&mut tx, principal, id, &signing_name(), secret).await?;
        }
        match &token {
            Some(Some(token)) => self.put_secret(&mut tx, principal, id, TOKEN, token).await?,
            Some(None) => integrations::delete_token(&mut tx, id).await?,
            None => {}
        }
        let row = integrations::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        note(&mut tx, principal, Action::IntegrationUpdated, &row).await?;
        tx.commit().await?;
        Ok(self.integration_view(row))
    }

    /// Deletes an integration with what came by it. Its tasks stay.
    pub async fn delete_integration(&self, principal: &Principal, id: IntegrationId) -> Result<(), Error> {
        access::require(principal, Right::ManageIntegrations)?;
        let mut tx = self.store().team(principal.team).await?;
        if !integrations::delete(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        let subject = Subject::new("integration", id);
        audit::record(&mut tx, principal, Action::IntegrationDeleted, subject, Value::Null).await?;
        Ok(tx.commit().await?)
    }

    async fn put_secret(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        id: IntegrationId,
        name: &str,
        value: &Secret,
    ) -> Result<(), Error> {
        let owner = sealed::of_integration(principal.team, id.0, name);
        let sealed = self.keyring().seal(&owner, value).map_err(Error::internal)?;
        Ok(integrations::put_secret(tx, principal.team, id, name, &sealed).await?)
    }

    fn edited_integration(
        &self,
        name: String,
        spec: IntegrationSpec,
        edit: IntegrationEdit,
    ) -> Result<(String, IntegrationSpec), Error> {
        let mut faults = Faults::default();
        let done = checked::edited(name, spec, edit, self.hooks(), &self.settings().network, &mut faults);
        faults.finish()?;
        Ok(done)
    }

    fn integration_view(&self, row: IntegrationRow) -> IntegrationView {
        let spec = row.spec;
        let base = self.settings().public_url.trim_end_matches('/');
        IntegrationView {
            id: row.id,
            name: row.name,
            tracker: row.tracker,
            hook_url: format!("{base}/v1/hooks/{}", row.id),
            base_url: spec.base_url,
            rules: spec.rules,
            repositories: spec.repositories,
            allowed_users: spec.allowed_users,
            environment: spec.environment,
            approval: spec.approval,
            network: spec.network,
            limits: spec.limits,
            publish: spec.publish,
            answers: spec.answers,
            pull_requests: spec.pull_requests,
            app: spec.app,
            has_token: row.has_token,
            previous_secret_until: row.previous_until,
            owner: row.owner,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<NewIntegration> for IntegrationEdit {
    fn from(new: NewIntegration) -> Self {
        Self {
            name: Some(new.name),
            secret: Some(new.secret),
            base_url: Some(new.base_url),
            token: Some(new.token),
            rules: Some(new.rules),
            repositories: Some(new.repositories),
            allowed_users: Some(new.allowed_users),
            environment: Some(new.environment),
            approval: Some(new.approval),
            network: Some(new.network),
            limits: Some(new.limits),
            publish: Some(new.publish),
            answers: Some(new.answers),
            pull_requests: Some(new.pull_requests),
            app: Some(new.app),
        }
    }
}

/// Whether an App and what is given as the token go together; a token that is not given stays.
fn check_app(
    tracker: Provider,
    spec: &IntegrationSpec,
    (token, is_given): (Option<&Secret>, bool),
    is_new: bool,
) -> Result<(), Error> {
    let Some(_) = &spec.app else {
        return match token {
            None if is_new && !is_given => {
                Err(Error::invalid("/token", "must be given again: it was an App's private key"))
            }
            Some(token) if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) => {
                // It goes into a header.
                Err(Error::invalid("/token", "may hold visible ASCII characters alone"))
            }
            _ => Ok(()),
        };
    };
    if tracker != Provider::Github {
        return Err(Error::invalid("/app", "is for the tracker github alone"));
    }
    match token {
        Some(key) if is_app_key(key) => Ok(()),
        None if !is_new && !is_given => Ok(()),
        _ => {
            Err(Error::invalid("/token", "must be the App's private key, RSA as PEM (-----BEGIN RSA PRIVATE KEY-----)"))
        }
    }
}

/// A secret that signs has a name of its own, to which its seal is bound.
fn signing_name() -> String {
    format!("{SECRET} {}", clock::new_id::<Uuid>())
}

async fn check_environment(tx: &mut TeamTx, spec: &IntegrationSpec) -> Result<(), Error> {
    let Some(name) = &spec.environment else { return Ok(()) };
    match environments::find(tx, name).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("/environment", "there is no such environment")),
    }
}

/// Who made or changed it, and what of it lets others in.
async fn note(tx: &mut TeamTx, principal: &Principal, action: Action, row: &IntegrationRow) -> Result<(), Error> {
    let detail = json!({
        "name": row.name, "tracker": row.tracker, "owner": row.owner, "repositories": row.spec.repositories.len(),
        "allowed_users": row.spec.allowed_users.len(),
    });
    audit::record(tx, principal, action, Subject::new("integration", row.id), detail).await
}

fn taken(error: StoreError, name: &str) -> Error {
    match error {
        StoreError::Conflict(constraint) if constraint == "integrations_name_unique" => Error::Conflict {
            code: "name_taken",
            detail: format!("there is an integration {name} already: give another name, or change that one"),
            state: None,
        },
        error => error.into(),
    }
}
