//! The program: a batch in, an answer out.

use crate::{
    batch::{Batch, BatchError, File, Wanted},
    errors::{self, Checked},
    grammar::Grammars,
    index::{Index, IndexedFile, LanguageStyle, Skipped, VERSION},
    outline::{self, Outline},
    rank::{self, Ranked},
    skip,
    style::Style,
    table::{Language, find},
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const THREADS_MAX: usize = 4;
/// What one file may take, whatever the batch's time.
const FILE_TIME: Duration = Duration::from_millis(400);
/// Definitions that an index keeps, in all and of one file: those most referred to.
const DEFINITIONS_MAX: usize = 20_000;
const OF_FILE_MAX: usize = 150;
const WORDS_OF_FILE: usize = 20;

/// Reads a [`Batch`], writes an [`Index`] or, for each file, a [`Checked`] (null where there was no
/// time) as JSON.
pub fn answer(input: impl Read, output: impl Write) -> Result<(), BatchError> {
    let begun = Instant::now();
    let batch = Batch::read(input)?;
    let until = begun + Duration::from_millis(batch.time_ms);
    match batch.wanted {
        Wanted::Index => serde_json::to_writer(output, &index(&batch.files, until))?,
        Wanted::Errors => serde_json::to_writer(output, &check(&batch.files, until))?,
    }
    Ok(())
}

fn check(files: &[File<Vec<u8>>], until: Instant) -> Vec<Option<Checked>> {
    let mut grammars = Grammars::default();
    files.iter().map(|file| errors::check(&mut grammars, file, until)).collect()
}

/// What became of one file.
enum Outcome {
    Outlined(&'static Language, Outline),
    Skipped(fn(&mut Skipped) -> &mut u32),
}

fn read(grammars: &mut Grammars, file: &File<Vec<u8>>, until: Instant) -> Outcome {
    let unread: fn(&mut Skipped) -> &mut u32 = |skipped| &mut skipped.unread;
    if let Some(why) = skip::why(&file.content) {
        return Outcome::Skipped(why);
    }
    let until = until.min(Instant::now() + FILE_TIME);
    let grammar = find(&file.path).and_then(|(number, _)| grammars.get(number));
    let Some(grammar) = grammar.filter(|_| Instant::now() < until) else { return Outcome::Skipped(unread) };
    match outline::outline(grammar, &file.content, until) {
        Some(outline) => Outcome::Outlined(grammar.language, outline),
        None => Outcome::Skipped(unread),
    }
}

/// Reads all files with as many threads as there are processors; those that do not start are not
/// missed.
fn read_all(files: &[File<Vec<u8>>], until: Instant) -> Vec<Option<Outcome>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut grammars = Grammars::default();
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(number) else { return done };
            done.push((number, read(&mut grammars, file, until)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut all: Vec<Option<Outcome>> = files.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        for (number, read) in done {
            all[number] = Some(read);
        }
    });
    all
}

fn index(files: &[File<Vec<u8>>], until: Instant) -> Index {
    let all = read_all(files, until);
    let mut skipped = Skipped::default();
    let mut numbers = Vec::new();
    let mut ranked = Vec::new();
    for (number, (file, read)) in files.iter().zip(&all).enumerate() {
        match read {
            Some(Outcome::Outlined(language, outline)) => {
                numbers.push(number as u32);
                ranked.push(Ranked { path: &file.path, language, outline });
            }
            Some(Outcome::Skipped(why)) => *why(&mut skipped) += 1,
            None => skipped.unread += 1,
        }
    }
    let styles = styles(&ranked);
    let scores = rank::rank(&ranked);
    let words = rank::telling_words(&ranked, WORDS_OF_FILE);
    let parts = numbers.iter().zip(&ranked).zip(scores.files).zip(scores.definitions).zip(words);
    let mut files: Vec<IndexedFile> = parts
        .map(|((((number, file), score), of_definitions), words)| IndexedFile {
            file: *number,
            language: file.language.name.to_owned(),
            score,
            definitions: file
                .outline
                .definitions
                .iter()
                .zip(of_definitions)
                .map(|(definition, (score, users))| crate::Definition { users, score, ..definition.clone() })
                .collect(),
            words,
        })
        .collect();
    keep_best(&mut files);
    files.sort_by_key(|file| (std::cmp::Reverse(file.score), file.file));
    Index { version: VERSION, files, styles, skipped }
}

/// Leaves out the definitions that are least referred to, where there are too many.
fn keep_best(files: &mut [IndexedFile]) {
    for file in &mut *files {
        file.definitions.sort_by_key(|definition| (std::cmp::Reverse(definition.score), definition.line));
        file.definitions.truncate(OF_FILE_MAX);
    }
    let mut scores: Vec<u32> = files.iter().flat_map(|file| &file.definitions).map(|it| it.score).collect();
    if scores.len() > DEFINITIONS_MAX {
        scores.sort_unstable_by_key(|score| std::cmp::Reverse(*score));
        let least = scores[DEFINITIONS_MAX - 1];
        let mut room = DEFINITIONS_MAX;
        for file in &mut *files {
            file.definitions.retain(|definition| {
                let keep = definition.score >= least && room > 0;
                room -= usize::from(keep);
                keep
            });
        }
    }
    for file in files {
        file.definitions.sort_by_key(|definition| definition.line);
    }
}

fn styles(files: &[Ranked<'_>]) -> Vec<LanguageStyle> {
    let mut by_language: BTreeMap<&str, (u32, Style)> = BTreeMap::new();
    for file in files {
        let (count, style) = by_language.entry(file.language.name).or_default();
        *count += 1;
        style.add(&file.outline.style);
    }
    let mut styles: Vec<LanguageStyle> = by_language
        .into_iter()
        .map(|(language, (files, style))| {
            let mut groups: BTreeMap<&str, Vec<(String, u32)>> = BTreeMap::new();
            for ((group, label), count) in style.counts {
                groups.entry(group).or_default().push((label.to_owned(), count));
            }
            for counts in groups.values_mut() {
                counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            }
            let groups = groups.into_iter().map(|(group, counts)| (group.to_owned(), counts)).collect();
            LanguageStyle { language: language.to_owned(), files, groups }
        })
        .collect();
    styles.sort_by_key(|style| std::cmp::Reverse(style.files));
    styles
}
