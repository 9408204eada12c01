//! What is known of models by name, and what of it reaches a request.

use super::{tool, user};
use journeyman::{
    domain::{
        event::PromptForm,
        item::{DeveloperRole, EditFormat, Wire},
    },
    llm::{Conversation, Model, quirks::quirks},
};
use serde_json::{Value, json};

fn model(name: &str, wire: Wire) -> Model {
    Model::new(name, wire, "http://localhost/v1".parse().expect("a URL"), None)
}

fn body(model: &Model, most: u32) -> Value {
    let mut conversation = Conversation::new(model, "Be brief.", &[tool("shell")]);
    conversation.push(&user("hello"));
    serde_json::from_slice(&conversation.body("task-1", most)).expect("a JSON body")
}

#[test]
fn well_known_models_are_known_under_every_vendors_prefix() {
    use EditFormat::{ApplyPatch, Both, Edit};
    for (name, window, edit) in [
        ("gpt-5.4", 400_000, ApplyPatch),
        ("openai/GPT-5-mini", 400_000, ApplyPatch),
        ("o3-mini", 200_000, ApplyPatch),
        ("gpt-oss-120b", 128_000, ApplyPatch),
        ("claude-sonnet-4-6", 200_000, Edit),
        ("us.anthropic.claude-opus-4-6-v1:0", 200_000, Edit),
        ("deepseek-chat", 128_000, Edit),
        ("Qwen/Qwen3-Coder-480B", 128_000, Edit),
        ("llama-3.3-70b", 128_000, Edit),
        ("devstral:24b", 128_000, Edit),
        ("google/gemini-2.5-pro", 1_000_000, Edit),
        ("zai-org/GLM-4.6", 128_000, Edit),
        ("moonshotai/kimi-k2", 128_000, Edit),
        ("somebody's own", 128_000, Both),
        ("", 128_000, Both),
    ] {
        let found = quirks(name);
        assert_eq!((found.window_tokens, found.edit_format), (window, edit), "{name}");
    }
    assert!(!quirks("gpt-5").temperature && quirks("gpt-4.1").temperature && quirks("unknown").temperature);
}

#[test]
fn tools_are_given_by_edit_format_and_list() {
    let given = |model: &Model| -> Vec<&str> {
        ["shell", "apply_patch", "edit", "read_file"].into_iter().filter(|tool| model.is_given(tool)).collect()
    };
    assert_eq!(given(&model("scripted", Wire::Chat)), ["shell", "apply_patch", "edit", "read_file"]);
    assert_eq!(given(&model("gpt-5.4", Wire::Responses)), ["shell", "apply_patch", "read_file"]);
    let mut claude = model("claude-sonnet-4-6", Wire::Messages);
    assert_eq!(given(&claude), ["shell", "edit", "read_file"]);
    claude.edit_format = Some(EditFormat::Both);
    assert_eq!(given(&claude), ["shell", "apply_patch", "edit", "read_file"]);
    claude.edit_format = None;
    claude.tools = vec!["shell".to_owned(), "apply_patch".to_owned()];
    assert_eq!(given(&claude), ["shell", "apply_patch"]);
    claude.tools = vec!["shell".to_owned()];
    assert_eq!(given(&claude), ["shell"]);
}

#[test]
fn an_effort_reaches_each_wire_in_its_own_words() {
    let with_effort = |name: &str, wire: Wire, effort: &str| {
        let mut model = model(name, wire);
        model.reasoning_effort = Some(effort.to_owned());
        model
    };
    let responses = body(&with_effort("gpt-5.4", Wire::Responses, "high"), 500);
    assert_eq!(responses["reasoning"], json!({"effort": "high", "summary": "auto"}));
    assert_eq!(body(&with_effort("gpt-5.4", Wire::Chat, "low"), 500)["reasoning_effort"], "low");
    let adaptive = body(&with_effort("claude-sonnet-4-6", Wire::Messages, "high"), 500);
    assert_eq!(
        (&adaptive["thinking"], &adaptive["output_config"]),
        (&json!({"type": "adaptive"}), &json!({"effort": "high"}))
    );
    let budget = with_effort("claude-sonnet-4-5", Wire::Messages, "high");
    assert_eq!(body(&budget, 32_000)["thinking"], json!({"type": "enabled", "budget_tokens": 16_000}));
    let long = Model { max_output_tokens: 64_000, ..budget.clone() };
    assert_eq!(body(&long, 64_000)["thinking"], json!({"type": "enabled", "budget_tokens": 24_576}));
    assert!(body(&budget, 32_000).get("output_config").is_none());
    assert!(body(&budget, 1_000).get("thinking").is_none(), "a short reply has no room for a thought");
    assert!(body(&with_effort("claude-sonnet-4-5", Wire::Messages, "none"), 32_000).get("thinking").is_none());
    let mut plain = budget.clone();
    plain.without = vec!["thinking".to_owned()];
    assert!(body(&plain, 32_000).get("thinking").is_none());
}

#[test]
fn a_limit_that_comes_near_changes_the_budget_of_thought_twice_at_most() {
    let mut claude = model("claude-sonnet-4-5", Wire::Messages);
    claude.reasoning_effort = Some("high".to_owned());
    let budgets: Vec<Option<u64>> = [32_000, 31_999, 25_000, 17_024, 17_023, 9_000, 2_048, 2_047, 64]
        .map(|most| body(&claude, most)["thinking"]["budget_tokens"].as_u64())
        .to_vec();
    let (whole, least) = (Some(16_000), Some(1_024));
    assert_eq!(budgets, [whole, whole, whole, whole, least, least, least, None, None]);
    let conversation = Conversation::new(&claude, "Be brief.", &[tool("shell")]);
    assert_eq!([32_000, 9_000, 64].map(|most| conversation.thinking(most)), [Some(16_000), Some(1_024), Some(0)]);

    // What a task started with holds, whatever the settings become.
    let form = claude.form();
    let changed = Model { max_output_tokens: 8_000, ..claude.clone() };
    assert_eq!(body(&changed, 32_000)["thinking"]["budget_tokens"], 4_000);
    assert_eq!(body(&changed.as_of(Some(&form)), 32_000), body(&claude, 32_000));
    let kept: PromptForm = serde_json::from_value(json!({
        "model": "claude-sonnet-4-5", "developer_role": "user", "parallel_tool_calls": true, "reasoning_effort": "high",
    }))
    .expect("an earlier build's form");
    assert_eq!(body(&claude.clone().as_of(Some(&kept)), 32_000), body(&claude, 32_000));
    assert_eq!(Conversation::new(&model("gpt-5.4", Wire::Responses), "x", &[]).thinking(9), None);
}

#[test]
fn calls_in_parallel_and_cache_keys_are_asked_for_where_they_are_known() {
    assert_eq!(body(&model("gpt-5.4", Wire::Responses), 9)["parallel_tool_calls"], true);
    assert!(body(&model("o3", Wire::Responses), 9).get("parallel_tool_calls").is_none());
    let mut llama = model("llama-3.3-70b", Wire::Chat);
    assert!(body(&llama, 9).get("parallel_tool_calls").is_none());
    llama.parallel_tool_calls = Some(true);
    assert_eq!(body(&llama, 9)["parallel_tool_calls"], true);
    assert!(body(&llama, 9).get("prompt_cache_key").is_none());
    let own = Model::new("gpt-5.4", Wire::Chat, "https://api.openai.com/v1".parse().expect("a URL"), None);
    let own = body(&own, 9);
    assert_eq!((&own["prompt_cache_key"], &own["max_completion_tokens"]), (&json!("task-1"), &json!(9)));
}

#[test]
fn a_task_keeps_the_form_that_it_started_with() {
    let started = model("m", Wire::Chat);
    let form = started.form();
    let mut changed = started.clone();
    changed.developer_role = Some(DeveloperRole::System);
    changed.parallel_tool_calls = Some(false);
    changed.reasoning_effort = Some("high".to_owned());
    assert_ne!(body(&changed, 9), body(&started, 9));
    assert_eq!(body(&changed.clone().as_of(Some(&form)), 9), body(&started, 9));
    let other = PromptForm { model: "other".to_owned(), ..form };
    assert_eq!(body(&changed.clone().as_of(Some(&other)), 9), body(&changed, 9));
    assert_eq!(body(&changed.clone().as_of(None), 9), body(&changed, 9));
    // The name is another model's now: what was pinned was not of this one.
    let pointed = Model { model_id: "another".to_owned(), ..changed };
    assert_eq!(body(&pointed.clone().as_of(Some(&started.form())), 9), body(&pointed, 9));
}
