//! How well recall finds what fits: the evaluation set through the real store.

use super::set::{self, Scores, Set, embed_all, embeddings, evaluate, fill};
use crate::support::database;
use journeyman::{
    memory::Recall,
    store::{Settings, Store},
};
use std::collections::{BTreeMap, BTreeSet};
use tokio_util::sync::CancellationToken;

/// With vectors, of the held-out set; a guard, not the goal, which `make bench` holds it to.
const HELD_OUT_LEAST: f64 = 0.87;
/// Words that say nothing of what a text is about.
const STOP: &str = "the a an of to in on for and or is are be by with that it as at from not no so we our which what how who do \
    does when their they them his its this has have may must can should will was were been only i my me you your";

/// Scores by words and with vectors, and what was missed.
async fn scores(name: &str) -> (Scores, Scores, String) {
    let set = Set::read(name);
    let url = database().await;
    let store = Store::connect(&Settings { connections: 4, ..Settings::new(&url) }, true).await.unwrap();
    let filled = fill(store, &url, &set).await;
    let by_words = evaluate(&filled, &Recall::new(1_500, None), &set).await;
    let stop = CancellationToken::new();
    let embeddings = embeddings(&set::vectors(name, &stop).await, "all-MiniLM-L6-v2");
    embed_all(&filled.store, &embeddings).await;
    let by_both = evaluate(&filled, &Recall::new(1_500, Some(embeddings)), &set).await;
    stop.cancel();
    let told = format!(
        "{name}: by words {:.3} {:?}, with vectors {:.3} {:?}\n{}",
        by_words.all,
        by_words.by_wording,
        by_both.all,
        by_both.by_wording,
        by_both.missed.join("\n"),
    );
    (by_words, by_both, told)
}

#[tokio::test]
async fn words_alone_find_three_quarters_and_vectors_nine_in_ten() {
    let (by_words, by_both, told) = scores("set").await;
    assert!(by_words.all >= 0.8 && by_both.all >= 0.9, "{told}");
    // What hardly shares a word is what vectors are for.
    assert!(by_both.by_wording["paraphrase"] > by_words.by_wording["paraphrase"] + 0.2, "{told}");
}

#[tokio::test]
async fn what_the_weights_were_not_chosen_by_is_found_nearly_as_well() {
    let (by_words, by_both, told) = scores("held_out").await;
    assert!(by_words.all >= 0.75 && by_both.all >= HELD_OUT_LEAST, "{told}");
}

#[test]
fn the_sets_are_large_and_their_requests_do_not_repeat_their_memories() {
    ["set", "held_out"].into_iter().for_each(is_sound);
}

fn is_sound(name: &str) {
    let set = Set::read(name);
    assert!(set.memories.len() >= 230 && set.requests.len() >= 120);
    let hidden = set.memories.iter().filter(|memory| memory.superseded_by.is_some() || memory.state.is_some()).count();
    assert!(hidden >= 15, "contradictions and stale ones are among them");
    let stop: BTreeSet<&str> = STOP.split_whitespace().collect();
    let memories: BTreeMap<&str, Vec<String>> =
        set.memories.iter().map(|memory| (memory.id.as_str(), words(&memory.text))).collect();
    for request in &set.requests {
        let asked = words(&request.text);
        for name in &request.expect {
            let memory = &memories[name.as_str()];
            for run in asked.windows(4) {
                assert!(!memory.windows(4).any(|own| own == run), "{name}: {run:?} stands in both");
            }
            let telling: BTreeSet<&String> = asked.iter().filter(|word| !stop.contains(word.as_str())).collect();
            let shared = telling.iter().filter(|word| memory.contains(word)).count();
            assert!(shared as f64 <= 0.6 * telling.len() as f64, "{name}: {:?} says nearly the same", request.text);
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}
