//! Creating a task: what a caller may ask for, and the spec that it becomes.

use super::{
    Answer, Error, Faults, Idempotency, Service, access,
    access::Right,
    audit::{self, Action, Subject},
    given::{CheckInput, NetworkInput, checks, limits, network},
    idempotency,
    input::optional_object,
    root::ModelView,
    views::TaskJson,
};
use crate::{
    clock,
    domain::{
        Limits, Mode, Principal, TaskId, TaskSpec, UploadId,
        approval::Decision,
        check::{Check, CheckSource},
        environment::PinnedEnvironment,
        limits::LimitsPatch,
        schema,
        task::{ApprovalPolicy, NetworkMode, RepositorySource, Source, UserRef},
    },
    store::{
        TeamTx, budgets,
        environments::{self, EnvironmentRow},
        switches, task_views, tasks, uploads,
    },
};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub(super) const REQUEST_CHARS_MAX: usize = 200_000;
pub(super) const TITLE_CHARS_MAX: usize = 200;
const TITLE_CHARS_DEFAULT: usize = 80;
const URL_CHARS_MAX: usize = 2_000;
const REF_CHARS_MAX: usize = 250;
/// Thirty days.
const DEADLINE_SECONDS_MAX: u32 = 2_592_000;
const LABELS_MAX: usize = 64;
const LABEL_KEY_CHARS_MAX: usize = 64;
const LABEL_VALUE_CHARS_MAX: usize = 256;

/// A task to be made. Only `request` is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What is to be done, in a person's words. At most 200,000 characters.
    #[schema(max_length = 200_000, example = "Make the failing test in tests/test_dates.py pass")]
    pub request: String,
    /// Absent: the request's first line.
    #[schema(max_length = 200)]
    pub title: Option<String>,
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Absent or null: an empty directory.
    #[serde(default, deserialize_with = "optional_object")]
    pub repository: Option<RepositoryInput>,
    /// A name from `GET /v1/models`; absent: the default.
    pub model: Option<String>,
    /// The id or name of an environment. What it says now holds for this task, whatever becomes of it.
    pub environment: Option<String>,
    /// Commands that must pass; absent: the environment's, else what is found in the repository.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub checks: Option<Vec<CheckInput>>,
    #[serde(default, deserialize_with = "optional_object")]
    pub limits: Option<LimitsPatch>,
    /// What people are asked before it happens: nothing (`never`, default), the plan, what rules call a risk, or the
    /// plan and every command and edit.
    #[serde(default)]
    pub approval: Option<ApprovalPolicy>,
    /// Seconds that people have to decide or to answer, from 1 to 2,592,000 (30 days); absent: a day.
    pub approval_deadline_seconds: Option<u32>,
    /// What holds for a plan or a command when nobody has decided by then: `deny` (default) or `approve`. A question
    /// that nobody answers is given back unanswered.
    pub approval_default: Option<Decision>,
    #[serde(default, deserialize_with = "optional_object")]
    pub network: Option<NetworkInput>,
    /// A JSON Schema (draft 2020-12) that `result.structured` shall satisfy. At most 64 KiB and 64 levels; references
    /// point into the schema itself (`#/$defs/name`) and not in a circle; `format` is not checked.
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<serde_json::Value>,
    /// From -100 to 100; the higher goes first among one user's tasks.
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i32>,
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// The member for whom it is made: his id, his address, or a linked account (`github:login`). Of others than oneself
    /// with a key of the scope `tasks:delegate`. The task is his; who asked stands in its log.
    pub on_behalf_of: Option<String>,
    /// It is done for somebody who is no member of the team, such as the author of an issue: nobody else learns from it.
    #[serde(default)]
    pub outsider: bool,
}

/// Where the code comes from: either `url` or `upload`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryInput {
    #[schema(example = "https://example.org/team/project.git")]
    pub url: Option<String>,
    pub upload: Option<UploadId>,
    /// A branch, tag or commit; absent: the remote's HEAD.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
}

impl Service {
    /// Creates a task: it is committed and in the queue when this returns.
    pub async fn create_task(
        &self,
        principal: &Principal,
        new: NewTask,
        source: Source,
        key: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        access::require(principal, Right::WriteTasks)?;
        let mut tx = self.store().person(principal).await?;
        if let Some(done) = idempotency::begin(&mut tx, principal, key).await? {
            return Ok(done);
        }
        let person = self.person(&mut tx, principal, new.on_behalf_of.as_deref()).await?;
        // Whoever it is done for, nobody says that he may.
        let source = Source { outsider: new.outsider, untrusted: new.outsider, ..source };
        let id = self.create_in(&mut tx, principal, &person, new, source).await?;
        let row = task_views::get(&mut tx, id).await?.ok_or(Error::NotFound)?;
        let creator = self.user(&mut tx, principal, row.created_by).await?;
        let task = TaskJson::of(principal, creator, &row)?;
        let last_seq = task.last_seq;
        let answer =
            Answer { status: 201, location: Some(format!("/v1/tasks/{id}")), body: task.body, replayed: false };
        let answer = idempotency::commit(tx, principal, key, answer).await?;
        self.committed(principal.team, id, last_seq);
        Ok(answer)
    }

    /// The same within a transaction, for `person`, whom the principal acts for: a check of all that is asked for, the task,
    /// and its place in the queue.
    pub(super) async fn create_in(
        &self,
        tx: &mut TeamTx,
        principal: &Principal,
        person: &Principal,
        new: NewTask,
        source: Source,
    ) -> Result<TaskId, Error> {
        let environment = match new.environment.as_deref() {
            Some(name_or_id) => environments::find(tx, name_or_id).await?,
            None => None,
        };
        let spec = self.spec(person, new, environment, source)?;
        check_upload(tx, &spec).await?;
        self.fits_budget(tx, person, &spec.model).await?;
        check_model_on(tx, &spec.model).await?;
        let id: TaskId = clock::new_id();
        let row = tasks::NewTask {
            team: principal.team,
            id,
            created_by: person.user,
            author: &person.user_name,
            spec: &spec,
        };
        let delegated = person.user != principal.user;
        let asked = delegated.then(|| UserRef { id: principal.user, name: principal.user_name.clone() });
        self.room_in_queue(tx, person.user).await?;
        if delegated {
            tx.in_the_name_of(person.user).await?;
        }
        tasks::create(tx, &row, asked).await?;
        if delegated {
            let subject = Subject::new("task", id);
            audit::record_for(tx, principal, person.user, Action::TaskDelegated, subject).await?;
        }
        note_network(tx, principal, id, &spec).await?;
        Ok(id)
    }

    /// Checks everything that a caller asks for and fills in every default: the environment's, then the service's.
    fn spec(
        &self,
        principal: &Principal,
        new: NewTask,
        environment: Option<EnvironmentRow>,
        source: Source,
    ) -> Result<TaskSpec, Error> {
        let mut faults = Faults::default();
        faults.text("/request", &new.request, REQUEST_CHARS_MAX);
        if let Some(title) = &new.title {
            faults.line("/title", title, TITLE_CHARS_MAX);
        }
        let repository = new.repository.and_then(|input| self.repository(input, &mut faults));
        let model = self.model(new.model, &mut faults);
        if new.environment.is_some() && environment.is_none() {
            faults.add("/environment", "there is no such environment");
        }
        let mut checks = checks("/checks", new.checks.unwrap_or_default(), &mut faults);
        let patch = new.limits.unwrap_or_default();
        limits(&patch, &mut faults);
        let own_network = new.network.map(|input| network("/network", &input, &self.settings().network, &mut faults));
        if let Some(schema) = &new.output_schema {
            output_schema(schema, &mut faults);
        }
        check_waits(new.approval_deadline_seconds, new.approval_default, &mut faults);
        let priority = new.priority.unwrap_or(0);
        check_priority(priority, &mut faults);
        let labels = new.labels.unwrap_or_default();
        check_labels(&labels, &mut faults);
        faults.finish()?;
        // Those of an environment and of an integration were opened by an admin.
        let by_admin = source.integration.is_some();
        if !by_admin && own_network.as_ref().is_some_and(|network| network.mode == NetworkMode::Open) {
            access::require(principal, Right::OpenNetwork)?;
        }
        let mut limits = self.settings().limits;
        let mut network = own_network.clone().unwrap_or_default();
        if let Some(row) = &environment {
            limits = limits.patched(row.spec.limits);
            if checks.is_empty() {
                let of_environment = |check: &Check| Check { source: CheckSource::Repository, ..check.clone() };
                checks = row.spec.checks.iter().map(of_environment).collect();
            }
            if own_network.is_none() {
                network.clone_from(&row.spec.network);
            }
        }
        let limits = limits.patched(patch);
        self.can_be_capped(&model, &limits)?;
        let title = new.title.map_or_else(|| title_of(&new.request), |title| title.trim().to_owned());
        Ok(TaskSpec {
            title,
            request: new.request,
            mode: new.mode.unwrap_or(Mode::Auto),
            repository,
            model,
            environment: new.environment,
            pinned: environment.map(|row| Box::new(PinnedEnvironment::of(row.id, &row.name, &row.spec))),
            checks,
            limits,
            approval: new.approval.unwrap_or(ApprovalPolicy::Never),
            approval_deadline_seconds: new.approval_deadline_seconds,
            approval_default: new.approval_default,
            network,
            output_schema: new.output_schema,
            priority: priority as i16,
            labels,
            source,
        })
    }

    fn repository(&self, input: RepositoryInput, faults: &mut Faults) -> Option<RepositorySource> {
        if let Some(reference) = &input.reference {
            faults.text("/repository/ref", reference, REF_CHARS_MAX);
            if let Err(why) = (self.hooks().repository_ref)(reference) {
                faults.add("/repository/ref", why);
            }
        }
        match (input.url, input.upload) {
            (Some(url), None) => {
                faults.text("/repository/url", &url, URL_CHARS_MAX);
                if let Err(why) = (self.hooks().repository_url)(&url) {
                    faults.add("/repository/url", why);
                }
                Some(RepositorySource::Git { url, reference: input.reference })
            }
            (None, Some(upload)) => Some(RepositorySource::Upload { upload, reference: input.reference }),
            _ => {
                faults.add("/repository", "must have either url or upload");
                None
            }
        }
    }

    /// A cap in money holds only where the model has a price.
    ///
    /// # Errors
    /// Where there is a cap and no price.
    pub(super) fn can_be_capped(&self, model: &str, limits: &Limits) -> Result<(), Error> {
        let unpriced = |view: &&ModelView| view.name == model && view.prices.is_none();
        if limits.cost_usd.is_none() || !self.models().iter().any(|view| unpriced(&view)) {
            return Ok(());
        }
        let why = format!(
            "the model {model} has no price here, so a cap in money cannot hold: name a model that has one, or limit tokens instead"
        );
        Err(Error::invalid("/limits/cost_usd", why))
    }

    /// Where the team or the caller has a budget in money, only what has a price can be held to it.
    async fn fits_budget(&self, tx: &mut TeamTx, principal: &Principal, model: &str) -> Result<(), Error> {
        if !self.models().iter().any(|view| view.name == model && view.prices.is_none()) {
            return Ok(());
        }
        if budgets::caps_of(tx, principal.team, principal.user).await?.is_empty() {
            return Ok(());
        }
        let why =
            format!("the model {model} has no price here, and a budget in money is set: name a model that has one");
        Err(Error::invalid("/model", why))
    }

    pub(super) fn model(&self, name: Option<String>, faults: &mut Faults) -> String {
        let models = self.models();
        let found = match &name {
            Some(name) => models.iter().find(|model| model.name == *name),
            None => models.iter().find(|model| model.default).or_else(|| models.first()),
        };
        match (found, name) {
            (Some(model), _) => return model.name.clone(),
            (None, Some(_)) => faults.add("/model", "is not one of GET /v1/models"),
            (None, None) => faults.add("/model", "no model is configured in this service"),
        }
        String::new()
    }
}

/// A task whose workspace reaches every host is in the audit log.
pub(super) async fn note_network(
    tx: &mut TeamTx,
    principal: &Principal,
    id: TaskId,
    spec: &TaskSpec,
) -> Result<(), Error> {
    if spec.network.mode != NetworkMode::Open {
        return Ok(());
    }
    let detail = json!({ "environment": spec.pinned.as_ref().map(|pinned| pinned.id) });
    audit::record(tx, principal, Action::TaskNetworkOpened, Subject::new("task", id), detail).await
}

/// A model that the operator has switched off takes no new tasks.
pub(super) async fn check_model_on(tx: &mut TeamTx, model: &str) -> Result<(), Error> {
    if !switches::is_off(tx, model).await? {
        return Ok(());
    }
    let why = format!("the operator has switched the model {model} off: name another of GET /v1/models");
    Err(Error::invalid("/model", why))
}

/// An upload must be there, in this team.
async fn check_upload(tx: &mut TeamTx, spec: &TaskSpec) -> Result<(), Error> {
    let Some(RepositorySource::Upload { upload, .. }) = &spec.repository else { return Ok(()) };
    match uploads::get(tx, *upload).await? {
        Some(_) => Ok(()),
        None => Err(Error::invalid("/repository/upload", "there is no such upload")),
    }
}

/// The first line that says something, cut to 80 characters.
fn title_of(request: &str) -> String {
    let line = request.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(TITLE_CHARS_DEFAULT) {
        Some(_) => line.chars().take(TITLE_CHARS_DEFAULT - 1).chain(['…']).collect(),
        None => line,
    }
}

fn output_schema(schema: &serde_json::Value, faults: &mut Faults) {
    if let Err(fault) = schema::check(schema) {
        faults.add(format!("/output_schema{}", fault.pointer), fault.why);
    }
}

/// How long people may take, and what holds when they took longer.
fn check_waits(deadline_seconds: Option<u32>, default: Option<Decision>, faults: &mut Faults) {
    if deadline_seconds.is_some_and(|span| !(1..=DEADLINE_SECONDS_MAX).contains(&span)) {
        faults.add("/approval_deadline_seconds", format!("must be from 1 to {DEADLINE_SECONDS_MAX}"));
    }
    if default == Some(Decision::Answer) {
        faults.add("/approval_default", "must be approve or deny");
    }
}

pub(super) fn check_priority(priority: i32, faults: &mut Faults) {
    if !(-100..=100).contains(&priority) {
        faults.add("/priority", "must be from -100 to 100");
    }
}

pub(super) fn check_labels(labels: &BTreeMap<String, String>, faults: &mut Faults) {
    faults.count("/labels", labels.len(), LABELS_MAX);
    for (key, value) in labels {
        let pointer = format!("/labels/{}", key.replace('~', "~0").replace('/', "~1"));
        faults.line(&pointer, key, LABEL_KEY_CHARS_MAX);
        faults.long(&pointer, value, LABEL_VALUE_CHARS_MAX);
        if value.chars().any(char::is_control) {
            faults.add(&pointer, "may not contain control characters");
        }
    }
}
