//! What the prompt cache should have given, what it gave, and why not more.

use super::{any_text, any_wire, tool, user};
use journeyman::{
    domain::{
        Item, Timestamp,
        event::{CacheMiss, CacheUse, MissCause, PromptSeen},
        item::Wire,
        usage::{Prices, TokenUsage},
    },
    llm::{Conversation, Model, cache::judge},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn model(name: &str) -> Model {
    let mut model = Model::new(name, Wire::Responses, "http://localhost/v1".parse().expect("a URL"), None);
    model.prices = Some(Prices { input: 2.0, cached_input: 0.5, output: 9.0, cache_write: None });
    model
}

fn conversation(model: &Model, instructions: &str, tools: &[&str], texts: &[&str]) -> Conversation {
    let tools: Vec<_> = tools.iter().map(|name| tool(name)).collect();
    let mut conversation = Conversation::new(model, instructions, &tools);
    texts.iter().for_each(|text| conversation.push(&user(text)));
    conversation
}

fn usage(input: u64, cached: u64) -> TokenUsage {
    TokenUsage { input_tokens: input, cached_input_tokens: cached, output_tokens: 10, ..TokenUsage::default() }
}

fn at(seconds: i64) -> Timestamp {
    serde_json::from_value(json!(format!("2026-11-22T13:{:02}:{:02}Z", seconds / 60, seconds % 60))).expect("a time")
}

/// The first call, of 10,000 tokens.
fn first() -> PromptSeen {
    let model = model("gpt-5.4");
    let conversation = conversation(&model, "Be brief.", &["shell"], &["a", "b"]);
    let used = judge(&model, (conversation.chain(), None), None, Some(usage(10_000, 0)), at(0));
    assert_eq!(used.miss, Some(CacheMiss::of(MissCause::FirstCall)));
    assert_eq!((used.expected_tokens, used.wasted_usd), (0, None));
    PromptSeen::after(None, "gpt-5.4", at(0), usage(10_000, 0), used.prefix.as_ref())
}

#[test]
fn a_miss_has_a_cause_and_a_price() {
    let known = ["shell"];
    let after =
        |seen: &PromptSeen, name: &str, instructions: &str, tools: &[&str], texts: &[&str], cached: u64, when: i64| {
            let model = model(name);
            let conversation = conversation(&model, instructions, tools, texts);
            judge(&model, (conversation.chain(), None), Some(seen), Some(usage(12_000, cached)), at(when))
        };
    let seen = first();
    let cause = |used: &CacheUse| used.miss.map(|miss| miss.cause);

    let hit = after(&seen, "gpt-5.4", "Be brief.", &known, &["a", "b", "c"], 9_984, 10);
    assert_eq!((hit.miss, hit.wasted_usd, hit.expected_tokens, hit.read_tokens), (None, None, 10_000, 9_984));
    assert!(hit.saved_usd.expect("a price") > 0.0);
    let mark = hit.prefix.expect("a mark");
    assert_eq!((mark.from, mark.items.len()), (2, 1), "only what is new is recorded");

    let missed = after(&seen, "gpt-5.4", "Be brief.", &known, &["a", "b", "c"], 2_000, 10);
    assert_eq!(cause(&missed), Some(MissCause::Provider));
    assert!((missed.wasted_usd.expect("a price") - 8_000.0 * 1.5 / 1e6).abs() < 1e-9, "{missed:?}");
    let late = after(&seen, "gpt-5.4", "Be brief.", &known, &["a", "b", "c"], 0, 400);
    assert_eq!(late.miss, Some(CacheMiss { idle_seconds: Some(400), ..CacheMiss::of(MissCause::TtlExpired) }));
    let other = after(&seen, "gpt-5-mini", "Be brief.", &known, &["a", "b", "c"], 0, 10);
    assert_eq!(cause(&other), Some(MissCause::ModelChanged));
    let told = after(&seen, "gpt-5.4", "Be long.", &known, &["a", "b", "c"], 0, 10);
    assert_eq!(cause(&told), Some(MissCause::InstructionsChanged));
    let tools = after(&seen, "gpt-5.4", "Be brief.", &["shell", "edit"], &["a", "b", "c"], 0, 10);
    assert_eq!(cause(&tools), Some(MissCause::ToolsChanged));
    let items = after(&seen, "gpt-5.4", "Be brief.", &known, &["a", "x", "c"], 0, 10);
    assert_eq!(items.miss, Some(CacheMiss { item: Some(1), ..CacheMiss::of(MissCause::ItemsChanged) }));
    let shorter = after(&seen, "gpt-5.4", "Be brief.", &known, &["a"], 0, 10);
    assert_eq!(shorter.miss, Some(CacheMiss { item: Some(1), ..CacheMiss::of(MissCause::ItemsChanged) }));
    let compacted = PromptSeen { compacted: true, ..seen.clone() };
    assert_eq!(cause(&after(&compacted, "gpt-5.4", "Be brief.", &known, &["s"], 0, 10)), Some(MissCause::Compaction));
    let short = PromptSeen { input_tokens: 900, ..seen.clone() };
    assert_eq!(
        cause(&after(&short, "gpt-5.4", "Be brief.", &known, &["a", "b"], 0, 10)),
        Some(MissCause::BelowMinimum)
    );
    let from_before = PromptSeen { instructions: String::new(), tools: String::new(), items: Vec::new(), ..seen };
    assert_eq!(cause(&after(&from_before, "gpt-5.4", "x", &known, &["y"], 0, 10)), Some(MissCause::Provider));
}

#[test]
fn a_name_that_was_given_to_another_model_is_another_model() {
    let named = model("gpt-5.4");
    let conversation = conversation(&named, "Be brief.", &["shell"], &["a", "b", "c"]);
    let cause = |id: &str| {
        let seen = PromptSeen { model_id: id.to_owned(), ..first() };
        let used = judge(&named, (conversation.chain(), None), Some(&seen), Some(usage(12_000, 0)), at(10));
        used.miss.map(|miss| miss.cause)
    };
    assert_eq!(cause("gpt-5.3"), Some(MissCause::ModelChanged));
    assert_eq!((cause("gpt-5.4"), cause("")), (Some(MissCause::Provider), Some(MissCause::Provider)));
}

#[test]
fn what_a_miss_writes_into_the_cache_anew_is_priced_so() {
    let mut named = model("gpt-5.4");
    let conversation = conversation(&named, "Be brief.", &["shell"], &["a", "b", "c"]);
    let wasted = |model: &Model, written: u64| {
        let usage = TokenUsage { cache_write_tokens: written, ..usage(12_000, 2_000) };
        let used = judge(model, (conversation.chain(), None), Some(&first()), Some(usage), at(10));
        used.wasted_usd.expect("a price")
    };
    let near = |is: f64, wanted: f64| assert!((is - wanted).abs() < 1e-9, "{is}, wanted {wanted}");
    near(wasted(&named, 10_000), 8_000.0 * 1.5 / 1e6);
    named.prices = Some(Prices { input: 2.0, cached_input: 0.5, output: 9.0, cache_write: Some(2.5) });
    // 2,000 tokens are new, 8,000 were to be read.
    near(wasted(&named, 10_000), 8_000.0 * 2.0 / 1e6);
    near(wasted(&named, 5_000), (3_000.0 * 2.0 + 5_000.0 * 1.5) / 1e6);
    near(wasted(&named, 0), 8_000.0 * 1.5 / 1e6);
}

#[test]
fn another_budget_of_thought_is_named_as_what_voids_the_messages() {
    let model = model("gpt-5.4");
    let conversation = conversation(&model, "Be brief.", &["shell"], &["a", "b", "c"]);
    let cause = |before: Option<u32>, now: Option<u32>| {
        let seen = PromptSeen { thinking: before, ..first() };
        let used = judge(&model, (conversation.chain(), now), Some(&seen), Some(usage(12_000, 2_000)), at(10));
        assert_eq!(used.prefix.as_ref().map(|mark| mark.thinking), Some(now), "it is recorded with the call");
        used.miss.map(|miss| miss.cause)
    };
    assert_eq!(cause(Some(16_000), Some(1_024)), Some(MissCause::ThinkingChanged));
    assert_eq!(cause(Some(1_024), Some(0)), Some(MissCause::ThinkingChanged));
    assert_eq!(cause(Some(16_000), Some(16_000)), Some(MissCause::Provider));
    assert_eq!(cause(None, Some(16_000)), Some(MissCause::Provider), "an earlier build did not record it");
}

#[test]
fn a_reply_without_counts_is_not_judged() {
    let model = model("gpt-5.4");
    let conversation = conversation(&model, "Be brief.", &["shell"], &["a", "b", "c"]);
    let used = judge(&model, (conversation.chain(), None), Some(&first()), None, at(10));
    assert_eq!((used.miss, used.expected_tokens, used.prefix.map(|mark| mark.from)), (None, 0, Some(2)));
}

#[test]
fn what_is_recorded_of_a_miss_is_read_again_and_old_rows_still_are() {
    let miss = CacheMiss { idle_seconds: Some(400), ..CacheMiss::of(MissCause::TtlExpired) };
    let used = CacheUse {
        expected_tokens: 5,
        read_tokens: 1,
        miss: Some(miss),
        wasted_usd: Some(0.5),
        saved_usd: None,
        prefix: None,
    };
    let written = serde_json::to_value(&used).expect("JSON");
    assert_eq!(
        written,
        json!({"expected_tokens": 5, "read_tokens": 1, "miss": {"cause": "ttl_expired", "idle_seconds": 400}, "wasted_usd": 0.5})
    );
    assert_eq!(serde_json::from_value::<CacheUse>(written).expect("read"), used);
    let old: CacheUse = serde_json::from_value(json!({"expected_tokens": 5, "read_tokens": 1})).expect("read");
    assert_eq!((old.expected_tokens, old.miss, old.prefix), (5, None, None));
}

proptest! {
    #[test]
    fn the_chain_grows_with_the_prefix_and_tells_every_change(
        wire in any_wire(),
        texts in proptest::collection::vec(any_text(), 2..8),
        changed in any::<prop::sample::Index>(),
    ) {
        let model = Model::new("m", wire, "http://localhost/v1".parse().expect("a URL"), None);
        let mut conversation = Conversation::new(&model, "x", &[tool("shell")]);
        let mut earlier = Vec::new();
        let mut seen: Option<PromptSeen> = None;
        for text in &texts {
            conversation.push(&Item::Developer { text: text.clone() });
            conversation.push(&user(text));
            let items = conversation.chain().items().to_vec();
            prop_assert!(items.starts_with(&earlier));
            earlier = items;
            let used = judge(&model, (conversation.chain(), None), seen.as_ref(), Some(usage(5_000, 5_000)), at(0));
            seen = Some(PromptSeen::after(seen, "m", at(0), usage(5_000, 5_000), used.prefix.as_ref()));
            prop_assert_eq!(&seen.as_ref().expect("seen").items, &earlier, "the log's marks add up to the chain");
        }
        let at_item = changed.index(texts.len());
        let mut other = Conversation::new(&model, "x", &[tool("shell")]);
        for (index, text) in texts.iter().enumerate() {
            let text = if index == at_item { format!("{text}!") } else { text.clone() };
            other.push(&Item::Developer { text: text.clone() });
            other.push(&user(&text));
        }
        let used = judge(&model, (other.chain(), None), seen.as_ref(), Some(usage(5_000, 0)), at(0));
        prop_assert_eq!(used.miss.and_then(|miss| miss.item), Some(at_item as u32 * 2));
    }
}

#[test]
fn four_blocks_are_marked_for_anthropic_and_only_the_marks_move() {
    let model = Model::new("claude-x", Wire::Messages, "http://localhost/v1".parse().expect("a URL"), None);
    let mut conversation = Conversation::new(&model, "Be brief.", &[tool("shell"), tool("edit")]);
    let mut earlier: Option<String> = None;
    for round in 0..5 {
        conversation.push(&user(&format!("question {round}")));
        let body = conversation.body("k", 9);
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        let marked = |block: &Value| block.get("cache_control").is_some();
        assert_eq!(value["tools"].as_array().expect("tools").iter().map(marked).collect::<Vec<_>>(), [false, true]);
        assert!(marked(&value["system"][0]));
        let turns: Vec<&Value> =
            value["messages"].as_array().expect("messages").iter().filter(|m| m["role"] == "user").collect();
        let marks: Vec<usize> = (0..turns.len())
            .filter(|at| turns[*at]["content"].as_array().expect("blocks").last().is_some_and(marked))
            .collect();
        let newest: Vec<usize> = (turns.len().saturating_sub(2)..turns.len()).collect();
        assert_eq!(marks, newest, "the two newest turns");
        let text = String::from_utf8(body).expect("text");
        assert!(text.matches("cache_control").count() <= 4);
        let plain = text.replace(r#","cache_control":{"type":"ephemeral"}"#, "");
        let prefix = plain.split(r#"]}],"max_tokens""#).next().expect("a start").to_owned();
        if let Some(earlier) = earlier.replace(prefix.clone()) {
            assert!(prefix.starts_with(&earlier), "{earlier}\n{prefix}");
        }
        conversation.push(&Item::Reply(journeyman::domain::item::Reply {
            wire: Wire::Messages,
            raw: vec![r#"{"role":"assistant","content":[{"type":"text","text":"answer"}]}"#.to_owned()],
            text: "answer".to_owned(),
            reasoning: String::new(),
            calls: Vec::new(),
            cut: false,
            model: "claude-x".to_owned(),
            model_id: String::new(),
        }));
    }
}
