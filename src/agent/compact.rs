//! Compaction: a conversation that nears the model's window begins anew with a summary, the newest words of people
//! and the ledger. What the summary lacks, the ledger holds.
//!
//! Sizes are chosen so that what a compaction leaves is under half of the window; one that does not help is
//! repeated with half the room, and then the run ends.

use super::{
    budget::ModelFacts,
    ledger::{head, middle_cut},
    prompt::SUMMARY_HEAD,
    session::Session,
};
use crate::domain::Item;
use std::fmt::Write;

/// In hundredths of the window: where a compaction is due.
const DUE_PERCENT: u64 = 90;
/// Compactions in a row, without a call in between that had room, after which the run ends.
const IN_ROW_MAX: u32 = 3;
/// Bytes that a token is taken to have.
const BYTES_PER_TOKEN: u64 = 4;
/// Parts of the window in hundredths, and at most so many tokens, for people's words, summary and ledger.
const WORDS: (u64, u64) = (15, 20_000);
const SUMMARY: (u64, u64) = (10, 6_000);
const LEDGER: (u64, u64) = (8, 6_000);
/// The prompt's head and opening, in hundredths of the window: where they are cut, and to what.
const OPENING_PERCENT_MAX: u64 = 35;
const OPENING_PERCENT: u64 = 25;
/// The transcript that is summarised, in hundredths of the window.
const TRANSCRIPT_PERCENT: u64 = 60;
/// Bytes of one result and of one call's arguments in the transcript.
const RESULT_BYTES_MAX: usize = 3_000;
const ARGUMENTS_BYTES_MAX: usize = 1_200;

/// Whether the next call would be too near to the model's window.
pub(super) fn is_due(session: &Session, model: &ModelFacts) -> bool {
    let held = session.context_estimate();
    session.can_compact()
        && (session.overflowed || held.saturating_mul(100) >= model.window_tokens.saturating_mul(DUE_PERCENT))
}

/// Compactions have not helped: what has to stay does not fit.
pub(super) fn is_hopeless(session: &Session) -> bool {
    session.compactions_in_row >= IN_ROW_MAX
}

/// A call with this prompt shows that the last compaction helped.
pub(super) fn helped(tokens: u64, tokens_before: u64) -> bool {
    tokens.saturating_mul(4) < tokens_before.saturating_mul(3)
}

/// Tokens that a summary may have.
pub fn summary_tokens(model: &ModelFacts) -> u64 {
    part(SUMMARY, model.window_tokens, 0).max(256)
}

fn part((percent, most): (u64, u64), window_tokens: u64, halvings: u32) -> u64 {
    (window_tokens * percent / 100).min(most) >> halvings.min(8)
}

fn bytes(tokens: u64) -> usize {
    usize::try_from(tokens * BYTES_PER_TOKEN).unwrap_or(usize::MAX)
}

/// The conversation as text to be summarised: earlier summaries and the newest part; `halvings` is how often it was
/// found too long.
pub fn transcript(items: &[Item], model: &ModelFacts, halvings: u32) -> String {
    let room = bytes(model.window_tokens * TRANSCRIPT_PERCENT / 100) >> halvings.min(8);
    let (mut kept, mut left) = (Vec::new(), room);
    let mut left_out = false;
    for item in items.iter().rev() {
        let text = rendered(item);
        let is_summary = matches!(item, Item::Developer { text } if text.starts_with(SUMMARY_HEAD));
        if text.len() <= left {
            left -= text.len();
            kept.push(text);
        } else if is_summary {
            kept.push(middle_cut(&text, left.max(room / 4)));
            left = 0;
        } else {
            left_out = true;
            left = 0;
        }
    }
    if left_out {
        kept.push("[Earlier parts are left out.]\n".to_owned());
    }
    kept.reverse();
    kept.concat()
}

fn rendered(item: &Item) -> String {
    match item {
        Item::Developer { text } => format!("## The server\n{text}\n\n"),
        Item::User { text } => format!("## A person\n{text}\n\n"),
        Item::Reply(reply) => {
            let mut text = format!("## The agent\n{}\n", reply.text);
            for call in &reply.calls {
                let _ = writeln!(
                    text,
                    "{} calls {} {}",
                    call.call,
                    call.tool,
                    middle_cut(&call.arguments, ARGUMENTS_BYTES_MAX)
                );
            }
            text.push('\n');
            text
        }
        Item::Result { call, output } => format!("## Result of {call}\n{}\n\n", middle_cut(output, RESULT_BYTES_MAX)),
    }
}

/// What stands after the prompt's opening from now on. Without a summary (the model gave none) the ledger stands
/// alone. `touched` are the paths that differ from the base.
pub fn replacement(session: &Session, model: &ModelFacts, summary: Option<&str>, touched: &[String]) -> Vec<Item> {
    let halvings = session.compactions_in_row;
    let room = |of| bytes(part(of, model.window_tokens, halvings));
    let words = session.ledger.words(room(WORDS));
    let mut items: Vec<Item> = words.into_iter().map(|text| Item::User { text }).collect();
    // Nothing was answered yet: there is no work to tell of.
    if session.turn == 0 {
        return items;
    }
    let mut text = format!("{SUMMARY_HEAD}\n");
    match summary.map(str::trim).filter(|summary| !summary.is_empty()) {
        Some(summary) => text.push_str(head(summary, room(SUMMARY))),
        None => text.push_str("There is no summary: look at the files and at what stands below."),
    }
    text.push_str("\n\n");
    text.push_str(&session.ledger.text(session, touched, room(LEDGER)));
    items.push(Item::Developer { text });
    items
}

/// The opening as far as it fits, where the model that goes on has a smaller window than the one that it was made for;
/// absent where it fits whole.
pub fn opening(session: &Session, model: &ModelFacts) -> Option<Vec<Item>> {
    let whole = super::prompt::opening(session);
    let held = session.head_bytes() + whole.iter().map(bytes_of).sum::<u64>();
    let room = |percent: u64| bytes(model.window_tokens * percent / 100) as u64;
    if held <= room(OPENING_PERCENT_MAX) {
        return None;
    }
    let room = room(OPENING_PERCENT) >> session.compactions_in_row.min(8);
    Some(super::prompt::opening_within(session, room.saturating_sub(session.head_bytes()) as usize))
}

/// About how many tokens a prompt has that consists of the opening and these items; `opening` is what is left of it,
/// where that is less than the whole.
pub fn tokens_of(session: &Session, opening: Option<&[Item]>, items: &[Item]) -> u64 {
    let opening = opening.map_or_else(|| super::prompt::opening(session), <[Item]>::to_vec);
    (session.head_bytes() + opening.iter().chain(items).map(bytes_of).sum::<u64>()) / BYTES_PER_TOKEN
}

/// The size of an item in a prompt, about.
pub(super) fn bytes_of(item: &Item) -> u64 {
    let bytes = match item {
        Item::Developer { text } | Item::User { text } => text.len(),
        Item::Result { output, .. } => output.len(),
        Item::Reply(reply) => reply.raw.iter().map(String::len).sum(),
    };
    bytes as u64
}
