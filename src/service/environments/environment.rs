//! Environments: read by all of a team, managed by its admins, used by whoever makes a task. Running tasks keep
//! what their environment said when they were created.

use crate::{
    clock,
    domain::{
        EnvironmentId, Principal, Timestamp,
        environment::{EnvironmentSnapshot, EnvironmentSpec, SETUP_SECONDS_DEFAULT},
        limits::LimitsPatch,
        network::NetworkCap,
        task::NetworkPolicy,
    },
    service::{
        Answer, Error, Faults, Idempotency, Service, access,
        access::Right,
        audit::{self, Action, Subject},
        given::{CheckInput, CheckObject, NetworkInput, checks, limits, network},
        idempotency,
        input::{given, given_object, optional_object},
    },
    store::{
        StoreError, TeamTx,
        environments::{self, EnvironmentRow},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

const ENVIRONMENTS_MAX: u32 = 500;
const NAME_CHARS_MAX: usize = 100;
const IMAGE_CHARS_MAX: usize = 500;
const SCRIPT_BYTES_MAX: usize = 64 << 10;
const VARIABLES_MAX: usize = 100;
const VARIABLE_NAME_CHARS_MAX: usize = 128;
const VARIABLES_BYTES_MAX: usize = 64 << 10;
const SETUP_SECONDS_MAX: u32 = 14_400;
const CACHES_MAX: usize = 10;

/// An environment to be made. Only `name` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnvironment {
    /// Unique in the team; at most 100 characters.
    #[schema(max_length = 100, example = "backend")]
    pub name: String,
    /// The image that workspaces start from, where the service's backend has images.
    #[schema(max_length = 500, example = "docker.io/library/python:3.13")]
    pub image: Option<String>,
    /// A script that is run once on the base, by `bash -c`, before the first task: it installs what the repository needs
    /// into ignored directories such as `node_modules` or `.venv`, which every later copy starts with. It is run again
    /// when a manifest or a lock file has changed. At most 64 KiB.
    #[schema(example = "npm ci")]
    pub setup: Option<String>,
    /// A script that is started in the background whenever a workspace starts. At most 64 KiB.
    pub start: Option<String>,
    /// For every command. At most 100, and 64 KiB together.
    pub variables: Option<BTreeMap<String, String>>,
    /// For tasks that name none.
    #[schema(max_items = 50)]
    pub checks: Option<Vec<CheckInput>>,
    /// For tasks that say nothing of a limit.
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsPatch>,
    /// For tasks that say nothing of it. Default: off.
    #[serde(default, deserialize_with = "optional_object")]
    pub network: Option<NetworkInput>,
    /// What the setup may reach. Default: nothing.
    #[serde(default, deserialize_with = "optional_object")]
    pub setup_network: Option<NetworkInput>,
    /// Whether tasks go on where the setup failed. Default false.
    pub setup_optional: Option<bool>,
    /// From 1 to 14,400; default 1,800.
    #[schema(minimum = 1, maximum = 14_400)]
    pub setup_timeout_seconds: Option<u32>,
    /// Variables of the setup, such as `PIP_CACHE_DIR`, each with the path of a directory that the next setup finds as
    /// this one left it. At most 10.
    #[schema(max_items = 10)]
    pub caches: Option<Vec<String>>,
}

/// What is absent stays; null takes away.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentEdit {
    pub name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub image: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub setup: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub start: Option<Option<String>>,
    /// All of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub variables: Option<Option<BTreeMap<String, String>>>,
    /// All of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<CheckInput>>)]
    pub checks: Option<Option<Vec<CheckInput>>>,
    /// All of them.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<LimitsPatch>)]
    pub limits: Option<Option<LimitsPatch>>,
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<NetworkInput>)]
    pub network: Option<Option<NetworkInput>>,
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<NetworkInput>)]
    pub setup_network: Option<Option<NetworkInput>>,
    pub setup_optional: Option<bool>,
    pub setup_timeout_seconds: Option<u32>,
    /// All of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    pub caches: Option<Option<Vec<String>>>,
}

/// An environment, without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EnvironmentView {
    pub id: EnvironmentId,
    pub name: String,
    pub image: Option<String>,
    pub setup: Option<String>,
    pub start: Option<String>,
    pub variables: BTreeMap<String, String>,
    pub checks: Vec<CheckObject>,
    pub limits: LimitsPatch,
    pub network: NetworkPolicy,
    pub setup_network: NetworkPolicy,
    pub setup_optional: bool,
    pub setup_timeout_seconds: u32,
    pub caches: Vec<String>,
    /// What the last setup came to.
    pub snapshot: EnvironmentSnapshot,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Service {
    /// Makes an environment.
    pub async fn create_environment(
        &self,
        principal: &Principal,
        new: NewEnvironment,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let blank = EnvironmentSpec {
            image: None,
            setup: None,
            start: None,
            variables: BTreeMap::new(),
            checks: Vec::new(),
            limits: LimitsPatch::default(),
            network: NetworkPolicy::default(),
            setup_network: NetworkPolicy::default(),
            setup_optional: false,
            setup_timeout_seconds: SETUP_SECONDS_DEFAULT,
            caches: Vec::new(),
        };
        let edit = EnvironmentEdit {
            name: Some(new.name),
            image: Some(new.image),
            setup: Some(new.setup),
            start: Some(new.start),
            variables: Some(new.variables),
            checks: Some(new.checks),
            limits: Some(new.limits),
            network: Some(new.network),
            setup_network: Some(new.setup_network),
            setup_optional: new.setup_optional,
            setup_timeout_seconds: new.setup_timeout_seconds,
            caches: Some(new.caches),
        };
        let (name, spec) = edited(String::new(), blank, edit, &self.settings().network)?;
        let mut tx = self.store().team(principal.team).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        if environments::count(&mut tx).await? >= ENVIRONMENTS_MAX {
            return Err(too_many(&format!("a team may have {ENVIRONMENTS_MAX} environments: delete one first")));
        }
        let row = environments::insert(&mut tx, principal.team, clock::new_id(), &name, &spec).await;
        let row = row.map_err(|error| taken(error, &name))?;
        note(&mut tx, principal, Action::EnvironmentCreated, &row).await?;
        let answer = Answer::new(201, &view(row.clone()))?.at(format!("/v1/environments/{}", row.id));
        idempotency::commit(tx, principal, key, answer).await
    }

    /// Environments before `before`, newest first.
    pub async fn environments(
        &self,
        principal: &Principal,
        before: Option<EnvironmentId>,
        limit: u32,
    ) -> Result<Vec<EnvironmentView>, Error> {
        access::require(principal, Right::ReadEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let rows = environments::list(&mut tx, before, limit).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(view).collect())
    }

    pub async fn environment(&self, principal: &Principal, id: EnvironmentId) -> Result<EnvironmentView, Error> {
        access::require(principal, Right::ReadEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = environments::get(&mut tx, id, false).await?;
        tx.commit().await?;
        row.map(view).ok_or(Error::NotFound)
    }

    /// Changes what tasks find that are created from now on.
    pub async fn edit_environment(
        &self,
        principal: &Principal,
        id: EnvironmentId,
        edit: EnvironmentEdit,
    ) -> Result<EnvironmentView, Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        let row = environments::get(&mut tx, id, true).await?.ok_or(Error::NotFound)?;
        let (name, spec) = edited(row.name, row.spec, edit, &self.settings().network)?;
        let row = environments::update(&mut tx, id, &name, &spec).await.map_err(|error| taken(error, &name))?;
        note(&mut tx, principal, Action::EnvironmentUpdated, &row).await?;
        tx.commit().await?;
        Ok(view(row))
    }

    /// Deletes an environment with its secrets. Its tasks go on as it was, but without its secrets.
    pub async fn delete_environment(&self, principal: &Principal, id: EnvironmentId) -> Result<(), Error> {
        access::require(principal, Right::ManageEnvironments)?;
        let mut tx = self.store().team(principal.team).await?;
        if !environments::delete(&mut tx, id).await? {
            return Err(Error::NotFound);
        }
        let subject = Subject::new("environment", id);
        audit::record(&mut tx, principal, Action::EnvironmentDeleted, subject, Value::Null).await?;
        Ok(tx.commit().await?)
    }
}

/// Who made or changed it, and what of it reaches outward.
async fn note(tx: &mut TeamTx, principal: &Principal, action: Action, row: &EnvironmentRow) -> Result<(), Error> {
    let EnvironmentSpec { image, network, setup_network, .. } = &row.spec;
    let detail = json!({
        "name": row.name, "image": image, "network": network.mode, "setup_network": setup_network.mode,
    });
    audit::record(tx, principal, action, Subject::new("environment", row.id), detail).await
}

/// What an environment is after an edit, checked whole.
fn edited(
    name: String,
    spec: EnvironmentSpec,
    edit: EnvironmentEdit,
    cap: &NetworkCap,
) -> Result<(String, EnvironmentSpec), Error> {
    let mut faults = Faults::default();
    let (mut name, mut spec) = (name, spec);
    if let Some(new) = edit.name {
        new.trim().clone_into(&mut name);
        faults.line("/name", &name, NAME_CHARS_MAX);
        if name.parse::<EnvironmentId>().is_ok() {
            faults.add("/name", "may not look like an id");
        }
    }
    if let Some(image) = edit.image {
        spec.image = image.filter(|image| !image.is_empty());
        if let Some(image) = &spec.image {
            faults.line("/image", image, IMAGE_CHARS_MAX);
            if image.starts_with('-') || image.contains(char::is_whitespace) {
                faults.add("/image", "must be an image's name such as docker.io/library/python:3.13");
            }
        }
    }
    for (pointer, given, at) in [("/setup", edit.setup, &mut spec.setup), ("/start", edit.start, &mut spec.start)] {
        let Some(script) = given else { continue };
        if script.as_ref().is_some_and(|script| script.len() > SCRIPT_BYTES_MAX) {
            faults.add(pointer, format!("may have at most {SCRIPT_BYTES_MAX} bytes"));
        }
        *at = script.filter(|script| !script.trim().is_empty());
    }
    if let Some(variables) = edit.variables {
        spec.variables = variables.unwrap_or_default();
        check_variables(&spec.variables, &mut faults);
    }
    if let Some(given) = edit.checks {
        spec.checks = checks("/checks", given.unwrap_or_default(), &mut faults);
    }
    if let Some(given) = edit.limits {
        spec.limits = given.unwrap_or_default();
        limits(&spec.limits, &mut faults);
    }
    let networks = [
        ("/network", edit.network, &mut spec.network),
        ("/setup_network", edit.setup_network, &mut spec.setup_network),
    ];
    for (pointer, given, at) in networks {
        if let Some(given) = given {
            *at = given.map(|input| network(pointer, &input, cap, &mut faults)).unwrap_or_default();
        }
    }
    spec.setup_optional = edit.setup_optional.unwrap_or(spec.setup_optional);
    if let Some(seconds) = edit.setup_timeout_seconds {
        if !(1..=SETUP_SECONDS_MAX).contains(&seconds) {
            faults.add("/setup_timeout_seconds", format!("must be from 1 to {SETUP_SECONDS_MAX}"));
        }
        spec.setup_timeout_seconds = seconds;
    }
    if let Some(caches) = edit.caches {
        spec.caches = caches.unwrap_or_default();
        faults.count("/caches", spec.caches.len(), CACHES_MAX);
        for (index, name) in spec.caches.iter().enumerate() {
            if !is_variable_name(name) || spec.caches[..index].contains(name) {
                let pointer = format!("/caches/{index}");
                faults.add(pointer, "must be a variable's name, each once, such as PIP_CACHE_DIR");
            }
        }
    }
    faults.finish()?;
    Ok((name, spec))
}

fn check_variables(variables: &BTreeMap<String, String>, faults: &mut Faults) {
    faults.count("/variables", variables.len(), VARIABLES_MAX);
    for name in variables.keys() {
        if !is_variable_name(name) {
            let pointer = format!("/variables/{}", name.replace('~', "~0").replace('/', "~1"));
            faults.add(pointer, "must be letters, digits and _, not beginning with a digit, at most 128");
        }
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > VARIABLES_BYTES_MAX {
        faults.add("/variables", format!("may have at most {VARIABLES_BYTES_MAX} bytes together"));
    }
}

/// A name that every shell takes (POSIX.1-2024, 3.216).
pub(super) fn is_variable_name(name: &str) -> bool {
    name.len() <= VARIABLE_NAME_CHARS_MAX
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

pub(in crate::service) fn too_many(detail: &str) -> Error {
    Error::Conflict { code: "too_many", detail: detail.to_owned(), state: None }
}

fn taken(error: StoreError, name: &str) -> Error {
    match error {
        StoreError::Conflict(constraint) if constraint == "environments_name_unique" => Error::Conflict {
            code: "name_taken",
            detail: format!("there is an environment {name} already: give another name, or change that one"),
            state: None,
        },
        other => other.into(),
    }
}

fn view(row: EnvironmentRow) -> EnvironmentView {
    let EnvironmentRow { id, name, spec, snapshot, created_at, updated_at } = row;
    EnvironmentView {
        id,
        name,
        checks: spec.checks.iter().map(CheckObject::of).collect(),
        image: spec.image,
        setup: spec.setup,
        start: spec.start,
        variables: spec.variables,
        limits: spec.limits,
        network: spec.network,
        setup_network: spec.setup_network,
        setup_optional: spec.setup_optional,
        setup_timeout_seconds: spec.setup_timeout_seconds,
        caches: spec.caches,
        snapshot,
        created_at,
        updated_at,
    }
}
