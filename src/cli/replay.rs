//! `journeyman task replay`: folds a task's file again and says whether the loop decides what it had decided.

use super::{
    Exit,
    output::Output,
    screen::{Line, Tone, clean},
};
use crate::{
    domain::{Event, EventData, event::Record},
    runner::replay::{Difference, Recorded, Replayed, replay as fold_again},
    service::archive::{self, Archive, Blob},
};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// Characters of an event that people are shown.
const SHOWN_CHARS_MAX: usize = 4_000;

/// The content of the file of that name, where it is one.
pub(super) fn file(name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let path = Path::new(name);
    if !path.is_file() {
        // What has the form of a path was meant as one.
        anyhow::ensure!(!name.contains(['/', '.']), "{} is no file", path.display());
        return Ok(None);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display())).map(Some)
}

/// Folds what `task export` has written; exits with 1 at the first difference.
pub(super) fn replay(output: &mut Output, file: &[u8]) -> anyhow::Result<Exit> {
    let archive = archive::unpack(file).map_err(|why| anyhow::anyhow!("this is no exported task: {why}"))?;
    let replayed = fold(&archive);
    let mut answer = serde_json::to_value(&replayed)?;
    answer["task"] = archive.task.to_string().into();
    output.json(&answer);
    output.lines(&lines(&replayed, archive.redacted));
    Ok(if replayed.difference.is_none() { Exit::Done } else { Exit::Failed })
}

/// Folds an archive again.
pub fn fold(archive: &Archive) -> Replayed {
    let contents = |hash: &_| match archive.blobs.get(hash) {
        Some(Blob::Content(bytes)) => Some(bytes.as_slice()),
        Some(Blob::LeftOut(_)) | None => None,
    };
    let blank = |data: &EventData| {
        let at = archive.records.first()?.event.at;
        let event = Event { seq: 0, task: archive.task, run: 0, turn: 0, at, data: data.clone() };
        Some(archive::redact(&Record { event, private: None }).ok()?.event.data)
    };
    fold_again(&Recorded {
        records: &archive.records,
        contents: &contents,
        blank: if archive.redacted { Some(&blank) } else { None },
    })
}

fn lines(replayed: &Replayed, redacted: bool) -> Vec<Line> {
    let Replayed { events, runs, turns, decided, outside, prompts, unknown_prompts, .. } = replayed;
    let counted = format!(
        "{events} events, {runs} runs, {turns} turns; {decided} decided again, {outside} from outside, {prompts} prompts made again"
    );
    let mut lines = match &replayed.difference {
        None => vec![Line::at(0).with("✔ ", Tone::Good).plain(format!("the same: {counted}"))],
        Some(difference) => differing(difference, &counted),
    };
    let mut note = |text: String| lines.push(Line::at(2).dim(text));
    if replayed.by_settings > 0 {
        note(format!("{} decided by the time or a model's settings, as the log has them", replayed.by_settings));
    }
    if redacted {
        note(format!(
            "the log has no words: {} events were decided by words and not compared, all others without theirs",
            replayed.without_words
        ));
    }
    if let Some(because) = &replayed.unknown_because {
        note(format!("{unknown_prompts} prompts not compared: {because}"));
    }
    lines
}

fn differing(difference: &Difference, counted: &str) -> Vec<Line> {
    let shown = |value: &Value| {
        let text = clean(&value.to_string());
        let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    };
    let expected = match &difference.expected {
        Value::Null => "nothing like it".to_owned(),
        value => shown(value),
    };
    vec![
        Line::at(0).with("✘ ", Tone::Bad).plain(format!("another at event {}: {}", difference.seq, difference.step)),
        Line::at(2).dim("the log has   ").plain(shown(&difference.recorded)),
        Line::at(2).dim("the loop now  ").plain(expected),
        Line::at(2).dim(counted.to_owned()),
    ]
}
