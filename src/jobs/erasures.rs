//! Erasing users: what was asked for is done in small steps that can be done again, by one replica at a time. Whatever
//! crashes, another goes on with what is left.

use crate::{
    clock,
    domain::{
        EventData, MemoryId, TaskId, TeamId,
        audit::{Action, Actor, AuditResult, Subject},
        event::ERASED,
    },
    objects::{ObjectError, Objects},
    runner,
    store::{
        Store, StoreError,
        audit::{self, NewEntry},
        erasure_steps::{self as steps, Retelling, Retold, Said},
        erasures::{self, ErasureRow},
        tasks,
    },
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often a replica looks whether anything is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two rounds of one that has to wait for others' tasks.
const AGAIN: Duration = Duration::from_secs(5);
/// Rows looked at, or contents let go, at a time.
const PAGE: u32 = 50;
const CONTENTS_AT_ONCE: u32 = 500;
/// Shorter texts are not looked for elsewhere: they could be anybody's.
const WORDS_CHARS_MIN: usize = 8;

#[derive(Clone, Debug)]
pub struct Eraser {
    store: Store,
    objects: Objects,
    /// After how long a replica that says nothing has lost what it had.
    lease: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("an event cannot be written without its words: {0}")]
    Event(#[from] serde_json::Error),
}

/// How far a round has come.
enum Came {
    Done,
    /// Nobody looks at it for so long.
    Wait(Duration),
}

impl Eraser {
    pub fn new(store: Store, objects: Objects, lease: Duration) -> Self {
        Self { store, objects, lease }
    }

    /// Works until `stop`; what fails is tried again.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let mut more = false;
            tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => match round {
                    Ok(took) => more = took,
                    Err(error) if matches!(&error, EraseError::Store(error) if error.is_transient()) => {
                        tracing::debug!(%error, "an erasure waits for the database");
                    }
                    Err(error) => tracing::warn!(%error, "an erasure could not go on: it is tried again"),
                },
            }
            if more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY + clock::jitter(LOOK_EVERY / 4)) => {}
            }
        }
    }

    /// Does what can be done of one; false where there is none to do.
    pub async fn round(&self) -> Result<bool, EraseError> {
        let Some(row) = erasures::claim(&self.store, self.lease).await? else { return Ok(false) };
        match self.erase(&row).await {
            Ok(Came::Done) => {
                tracing::info!(user.id = %row.user, erasure.id = %row.id, "a user and what was his is erased");
            }
            Ok(Came::Wait(pause)) => erasures::keep(&self.store, row.id, pause).await?,
            Err(error) => {
                // Others come first meanwhile.
                erasures::keep(&self.store, row.id, AGAIN).await?;
                return Err(error);
            }
        }
        Ok(true)
    }

    async fn erase(&self, row: &ErasureRow) -> Result<Came, EraseError> {
        if row.fenced_at.is_none() {
            self.fence(row).await?;
            erasures::fenced(&self.store, row.id, self.lease).await?;
            // Until whoever drives one of his tasks knows that it is not his any more.
            return Ok(Came::Wait(self.lease));
        }
        loop {
            let page = steps::tasks(&self.store, row.user, false, None, PAGE).await?;
            for &(team, task) in &page {
                steps::delete_task(&self.store, row.id, team, task).await?;
            }
            self.keep(row).await?;
            if page.len() < PAGE as usize {
                break;
            }
        }
        steps::delete_small(&self.store, row.id, row.user).await?;
        steps::forget_caches(&self.store, &row.gone.teams).await?;
        let forgotten = self.memories(row).await?;
        let unsaid = self.elsewhere(row).await?;
        self.contents(row).await?;
        if !(forgotten && unsaid) {
            return Ok(Came::Wait(AGAIN));
        }
        self.finish(row).await.map(|()| Came::Done)
    }

    async fn keep(&self, row: &ErasureRow) -> Result<(), EraseError> {
        Ok(erasures::keep(&self.store, row.id, self.lease).await?)
    }

    async fn fence(&self, row: &ErasureRow) -> Result<(), EraseError> {
        let mut after = None;
        loop {
            let page = steps::tasks(&self.store, row.user, true, after, PAGE).await?;
            for &(_, task) in &page {
                steps::fence(&self.store, task).await?;
            }
            self.keep(row).await?;
            after = page.last().map(|(_, task)| *task);
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// His memories, and their texts where tasks of others were shown them. False where such a task is under way.
    async fn memories(&self, row: &ErasureRow) -> Result<bool, EraseError> {
        let (mut after, mut all) = (None, true);
        loop {
            let page = steps::memories(&self.store, row.user, after, PAGE).await?;
            let mut teams: BTreeMap<TeamId, Vec<(MemoryId, String)>> = BTreeMap::new();
            for (team, id, text) in &page {
                teams.entry(*team).or_default().push((*id, text.clone()));
            }
            for (team, memories) in &teams {
                let busy = self.unshow(row, *team, memories).await?;
                let gone: Vec<MemoryId> = memories.iter().map(|(id, _)| *id).filter(|id| !busy.contains(id)).collect();
                steps::delete_memories(&self.store, row.id, &gone).await?;
                all &= busy.is_empty();
            }
            self.keep(row).await?;
            after = page.last().map(|(_, id, _)| *id);
            if page.len() < PAGE as usize {
                return Ok(all);
            }
        }
    }

    /// Takes memories' texts out of others' tasks; those that are in one that is under way.
    async fn unshow(
        &self,
        row: &ErasureRow,
        team: TeamId,
        memories: &[(MemoryId, String)],
    ) -> Result<BTreeSet<MemoryId>, EraseError> {
        let ids: Vec<MemoryId> = memories.iter().map(|(id, _)| *id).collect();
        let mut tasks: BTreeMap<TaskId, Vec<MemoryId>> = BTreeMap::new();
        for (task, memory) in steps::shown_to(&self.store, team, row.user, &ids).await? {
            tasks.entry(task).or_default().push(memory);
        }
        let mut busy = BTreeSet::new();
        for (task, shown) in tasks {
            let Some(mut retelling) = Retelling::of_resting(&self.store, team, task).await? else {
                busy.extend(shown);
                continue;
            };
            for said in retelling.of_memories().await? {
                let mut data: Value = serde_json::from_str(&said.data)?;
                let mut private: Option<Value> = said.private.as_deref().map(serde_json::from_str).transpose()?;
                for (id, text) in memories.iter().filter(|(id, _)| shown.contains(id)) {
                    let shown = forget(&mut data, "memory", &id.to_string());
                    for text in shown.iter().chain([text]) {
                        if let Some(private) = &mut private {
                            replace(private, text);
                        }
                    }
                }
                let retold =
                    Said { data: data.to_string(), private: private.map(|private| private.to_string()), ..said };
                retelling.retell(&retold).await?;
            }
            retelling.commit().await?;
            let (_, detail) = runner::refold(&self.store, task).await?;
            let detail = serde_json::to_string(&detail)?;
            let Some(retelling) = Retelling::of_resting(&self.store, team, task).await? else { continue };
            retelling.show(&detail).await?;
        }
        Ok(busy)
    }

    /// What he wrote in tasks of others. False where such a task is under way.
    async fn elsewhere(&self, row: &ErasureRow) -> Result<bool, EraseError> {
        let (mut after, mut all) = (None, true);
        loop {
            let page = steps::spoke_in(&self.store, row.user, after, PAGE).await?;
            for &(team, task) in &page {
                all &= self.unsay(row, team, task).await?;
            }
            self.keep(row).await?;
            after = page.last().map(|(_, task)| *task);
            if page.len() < PAGE as usize {
                return Ok(all);
            }
        }
    }

    async fn unsay(&self, row: &ErasureRow, team: TeamId, task: TaskId) -> Result<bool, EraseError> {
        let Some(mut retelling) = Retelling::of_resting(&self.store, team, task).await? else { return Ok(false) };
        let (mut created, mut titled, mut his) = (false, false, His::default());
        for said in retelling.said_by(row.user).await? {
            let data = event(&said)?;
            created |= matches!(data, EventData::TaskCreated { .. });
            titled |= matches!(data, EventData::TaskCreated { .. } | EventData::TaskUpdated { title: Some(_), .. });
            his.learn(&data);
            let data = serde_json::to_value(data.unsaid())?["data"].take().to_string();
            retelling.retell(&Said { data, ..said }).await?;
        }
        let held = retelling.holding(&his.searched()).await?;
        his.recalled = self.recalled_of_his(&held).await?;
        for said in held {
            let mut data: Value = serde_json::from_str(&said.data)?;
            let mut private: Option<Value> = said.private.as_deref().map(serde_json::from_str).transpose()?;
            his.take_out(&said.kind, &mut data, private.as_mut());
            let (data, private) = (data.to_string(), private.map(|private| private.to_string()));
            if data != said.data || private != said.private {
                retelling.retell(&Said { data, private, ..said }).await?;
            }
        }
        retelling.commit().await?;
        let (spec, detail) = runner::refold(&self.store, task).await?;
        let (detail, whole) = (serde_json::to_string(&detail)?, serde_json::to_string(&spec)?);
        // One that was woken meanwhile is met again.
        let Some(retelling) = Retelling::of_resting(&self.store, team, task).await? else { return Ok(false) };
        let retold = Retold {
            detail: &detail,
            title: titled.then_some(spec.title.as_str()),
            request: created.then_some(spec.request.as_str()),
            spec: created.then_some(whole.as_str()),
        };
        retelling.settle(row.id, row.user, &retold).await?;
        Ok(true)
    }

    /// Of tasks that were recalled in these events those that are gone, as his are by now.
    async fn recalled_of_his(&self, held: &[Said]) -> Result<BTreeSet<String>, EraseError> {
        let mut named = BTreeSet::new();
        for said in held.iter().filter(|said| said.kind == "memory.used") {
            let data: Value = serde_json::from_str(&said.data)?;
            let tasks = data["tasks"].as_array().into_iter().flatten();
            named.extend(tasks.filter_map(|task| task["task"].as_str()?.parse::<TaskId>().ok()));
        }
        let named: Vec<TaskId> = named.into_iter().collect();
        let there = tasks::existing(&self.store, &named).await?;
        Ok(named.iter().filter(|task| !there.contains(task)).map(ToString::to_string).collect())
    }

    /// What his tasks and uploads held and nobody else holds, in the database and in the object store.
    async fn contents(&self, row: &ErasureRow) -> Result<(), EraseError> {
        while steps::let_contents_go(&self.store, row.id, CONTENTS_AT_ONCE).await? > 0 {
            self.keep(row).await?;
        }
        loop {
            let keys = steps::objects(&self.store, row.id, PAGE).await?;
            for key in &keys {
                self.objects.remove(key).await?;
                steps::object_removed(&self.store, row.id, key).await?;
            }
            self.keep(row).await?;
            if keys.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    async fn finish(&self, row: &ErasureRow) -> Result<(), EraseError> {
        steps::forget_holders(&self.store, row.id).await?;
        let mut tx = self.store.across_teams().await?;
        erasures::finish(&mut tx, row.id, row.user).await?;
        let (subject, detail) = (Subject::new("user", row.user), json!({ "erasure": row.id }).to_string());
        let entry = NewEntry {
            team: row.team,
            id: clock::new_id(),
            actor: Actor::SERVICE,
            action: Action::UserErased.as_str(),
            subject: &subject,
            result: AuditResult::Ok,
            address: None,
            request: None,
            detail: &detail,
        };
        audit::insert_across(&mut tx, &entry).await?;
        Ok(tx.commit().await?)
    }
}

/// What is his in a task of somebody else.
#[derive(Default)]
struct His {
    /// What he wrote.
    words: BTreeSet<String>,
    /// What he answered to questions, by the approval.
    answers: BTreeMap<String, Vec<String>>,
    /// The calls that asked them.
    calls: BTreeMap<String, Vec<String>>,
    /// Ids of tasks of his that were recalled.
    recalled: BTreeSet<String>,
}

impl His {
    fn learn(&mut self, data: &EventData) {
        self.words.extend(data.words().into_iter().map(|word| word.trim().to_owned()));
        if let EventData::ApprovalResolved { approval, answers, note, .. } = data {
            self.answers.insert(approval.to_string(), answers.iter().chain(note).cloned().collect());
        }
    }

    /// Words that are long enough to be nobody else's.
    fn long(&self) -> impl Iterator<Item = &String> {
        self.words.iter().filter(|word| word.chars().count() >= WORDS_CHARS_MIN)
    }

    /// The same as they stand in JSON.
    fn searched(&self) -> Vec<String> {
        self.long().map(|word| Value::from(word.as_str()).to_string().trim_matches('"').to_owned()).collect()
    }

    /// Events come in their order: a question before its answer.
    fn take_out(&mut self, kind: &str, data: &mut Value, mut private: Option<&mut Value>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if kind == "approval.requested"
            && let Some(answers) = self.answers.get(&text(&data["approval"]))
        {
            self.calls.insert(text(&data["call"]), answers.clone());
        }
        // What he answered stands in what the call gave, however short it is.
        let answered = self.calls.get(&text(&data["call"])).filter(|_| kind == "tool.completed");
        for answer in answered.into_iter().flatten().filter(|answer| !answer.is_empty()) {
            replace(&mut data["output"], answer);
        }
        for word in self.long() {
            replace(data, word);
            if let Some(private) = &mut private {
                replace(private, word);
            }
        }
        for task in &self.recalled {
            for shown in forget(data, "task", task) {
                if let Some(private) = &mut private {
                    replace(private, &shown);
                }
            }
        }
    }
}

fn event(said: &Said) -> Result<EventData, serde_json::Error> {
    let data: Value = serde_json::from_str(&said.data)?;
    serde_json::from_value(json!({ "kind": said.kind, "data": data }))
}

/// Takes the text out of every object that names the memory or task by this field; the texts.
fn forget(value: &mut Value, name: &str, id: &str) -> Vec<String> {
    let mut taken = Vec::new();
    match value {
        Value::Object(fields) => {
            if fields.get(name).and_then(Value::as_str) == Some(id) && fields.contains_key("reason") {
                for field in ["text", "reason"] {
                    if let Some(Value::String(text)) = fields.get_mut(field) {
                        taken.push(std::mem::replace(text, ERASED.to_owned()));
                    }
                }
            }
            taken.extend(fields.values_mut().flat_map(|value| forget(value, name, id)));
        }
        Value::Array(values) => taken.extend(values.iter_mut().flat_map(|value| forget(value, name, id))),
        _ => {}
    }
    taken.retain(|text| !text.is_empty());
    taken
}

/// Takes a text out wherever it stands.
fn replace(value: &mut Value, text: &str) {
    match value {
        Value::String(whole) if whole.contains(text) => *whole = whole.replace(text, ERASED),
        Value::Object(fields) => {
            for value in fields.values_mut() {
                replace(value, text);
            }
        }
        Value::Array(values) => {
            for value in values {
                replace(value, text);
            }
        }
        _ => {}
    }
}
