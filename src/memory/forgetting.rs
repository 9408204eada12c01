//! Forgetting memories without a trace: themselves, what was made from them alone, and their words in the logs of tasks
//! that were shown them.
//!
//! Of a log the words alone go. A prompt that showed them cannot be made again afterwards, and the log says so. What a
//! model said in words of its own is its task's.

use crate::{
    domain::{
        MemoryId, TaskId,
        memory::{FORGOTTEN, RecalledMemory},
    },
    store::{
        StoreError, TeamTx,
        memory_forgetting::{self, Told},
    },
};
use serde_json::Value;

/// Shorter texts are taken out where a memory stands, and not wherever the same few letters do.
const WORDS_CHARS_MIN: usize = 16;
/// JSON that is a text of JSON that is a text of JSON: the arguments of a call in a reply as its provider sent it.
const NESTED_MAX: usize = 3;
/// Tasks whose logs are held at once.
const TASKS_AT_ONCE: usize = 20;

/// Forgets these memories; answers which went with them.
pub async fn forget(tx: &mut TeamTx, ids: &[MemoryId]) -> Result<Vec<MemoryId>, StoreError> {
    let made_from = memory_forgetting::made_from_alone(tx, ids).await?;
    let all: Vec<MemoryId> = ids.iter().chain(&made_from).copied().collect();
    let texts: Vec<String> = memory_forgetting::texts(tx, &all).await?.into_iter().map(|(_, text)| text).collect();
    let words = Words::of(texts.iter().map(String::as_str));
    let tasks = memory_forgetting::shown_to(tx, &all).await?;
    for tasks in tasks.chunks(TASKS_AT_ONCE) {
        in_logs(tx, tasks, &all, &words).await?;
    }
    memory_forgetting::delete(tx, &all, &words.0, FORGOTTEN).await?;
    Ok(made_from)
}

/// Takes memories that are gone out of the log of a task that was shown them: what was written to it since they went.
pub async fn forget_in(tx: &mut TeamTx, task: TaskId, gone: &[RecalledMemory]) -> Result<(), StoreError> {
    let ids: Vec<MemoryId> = gone.iter().map(|memory| memory.memory).collect();
    in_logs(tx, &[task], &ids, &Words::of_recalled(gone)).await
}

async fn in_logs(tx: &mut TeamTx, tasks: &[TaskId], ids: &[MemoryId], words: &Words) -> Result<(), StoreError> {
    for told in memory_forgetting::told(tx, tasks, &words.0).await? {
        if let Some(retold) = without(&told, ids, words)? {
            memory_forgetting::retell(tx, &retold).await?;
        }
    }
    for word in &words.0 {
        memory_forgetting::in_approvals(tx, tasks, word, FORGOTTEN).await?;
    }
    for task in tasks {
        in_detail(tx, *task, ids, words).await?;
    }
    Ok(())
}

/// Texts as they are, as they are spelled within JSON and within JSON that is a text of another, and as a prompt indents their
/// lines; the longest first, so that none is left in part.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<String>);

impl Words {
    /// Those of memories as they were shown.
    pub fn of_recalled(memories: &[RecalledMemory]) -> Self {
        Self::of(memories.iter().map(|memory| memory.text.as_str()).filter(|text| *text != FORGOTTEN))
    }

    fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut words = Vec::new();
        for text in texts.filter(|text| text.chars().count() >= WORDS_CHARS_MIN) {
            for text in [text.to_owned(), indented(text)] {
                words.extend(std::iter::successors(Some(text), |text| Some(spelled(text))).take(1 + NESTED_MAX));
            }
        }
        words.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        words.dedup();
        Self(words)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// JSON text without them.
    pub fn out_of(&self, mut text: String) -> String {
        for word in &self.0 {
            if text.contains(word.as_str()) {
                text = text.replace(word.as_str(), FORGOTTEN);
            }
        }
        text
    }
}

/// As a list in a prompt has a text of several lines.
fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

fn spelled(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The row without the memories; none where it holds nothing of them.
fn without(told: &Told, ids: &[MemoryId], words: &Words) -> Result<Option<Told>, StoreError> {
    let corrupt = |column| StoreError::corrupt("task_events", column, format!("{}/{}", told.task, told.seq));
    let mut data: Value = serde_json::from_str(&told.data).map_err(|_| corrupt("data"))?;
    let mut shown = blank(&mut data, ids);
    shown.extend(data.get_mut("result").map(|result| blank(result, ids)).unwrap_or_default());
    let text = if shown.is_empty() { told.data.clone() } else { data.to_string() };
    let mut private = told.private.clone();
    if let Some(text) = private.as_mut().filter(|_| !shown.is_empty()) {
        *text = without_block(text, &shown).map_err(|_| corrupt("private"))?;
    }
    let private = private.map(|private| words.out_of(private));
    let retold = Told { data: words.out_of(text), private, ..told.clone() };
    Ok((retold != *told).then_some(retold))
}

/// The memory's place of the prompt, where that is what the row keeps. What it does not show as it was told goes whole.
fn without_block(private: &str, shown: &[String]) -> Result<String, serde_json::Error> {
    let mut value: Value = serde_json::from_str(private)?;
    let Some(memory) = value.get_mut("memory").and_then(Value::as_object_mut) else { return Ok(private.to_owned()) };
    if let Some(Value::String(block)) = memory.get_mut("text") {
        for text in shown.iter().filter(|text| *text != FORGOTTEN) {
            let lines = indented(text);
            *block = if block.contains(&lines) { block.replace(&lines, FORGOTTEN) } else { FORGOTTEN.to_owned() };
        }
    }
    memory.insert("forgotten".to_owned(), Value::Bool(true));
    Ok(value.to_string())
}

/// Takes texts and reasons out of a list of recalled memories; answers the texts.
fn blank(value: &mut Value, ids: &[MemoryId]) -> Vec<String> {
    let mut found = Vec::new();
    for memory in value.get_mut("memories").and_then(Value::as_array_mut).into_iter().flatten() {
        // Fields beside those that are known here stay.
        let Ok(mut one) = serde_json::from_value::<RecalledMemory>(memory.clone()) else { continue };
        if ids.contains(&one.memory) {
            found.push(std::mem::take(&mut one.text));
            one.forget();
            memory["text"] = one.text.into();
            memory["reason"] = one.reason.into();
        }
    }
    found
}

async fn in_detail(tx: &mut TeamTx, task: TaskId, ids: &[MemoryId], words: &Words) -> Result<(), StoreError> {
    let Some(detail) = memory_forgetting::detail(tx, task).await? else { return Ok(()) };
    let mut value: Value = serde_json::from_str(&detail).map_err(|_| StoreError::corrupt("tasks", "detail", task))?;
    let shown = value.get_mut("result").map(|result| blank(result, ids)).unwrap_or_default();
    let text = words.out_of(if shown.is_empty() { detail.clone() } else { value.to_string() });
    if text != detail {
        memory_forgetting::set_detail(tx, task, &text).await?;
    }
    Ok(())
}
