//! Calls that come as text: what is taken for one, and what goes back to the model.

use super::{Canned, Provider, any_text, ask, tool, user};
use crate::scripted::{Scripted, WIRES};
use journeyman::{
    domain::{Item, item::Wire, tool::ToolSpec},
    llm::{
        Conversation, Live,
        recover::{Offered, calls},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn tools() -> Vec<ToolSpec> {
    let read =
        r#"{"properties":{"limit":{"type":"integer"},"path":{"type":"string"}},"required":["path"],"type":"object"}"#;
    let mut reads = tool("read_file");
    reads.parameters = read.to_owned();
    vec![tool("shell"), reads]
}

const LS: (&str, &str) = ("shell", r#"{"command": "ls"}"#);
const MADE_LS: (&str, &str) = ("shell", r#"{"command":"ls"}"#);

/// A reply's text, what was said before the calls, and the calls.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Replies that end with calls.
const CALLS: &[Case] = &[
    // Hermes, Qwen.
    ("<tool_call>\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}\n</tool_call>", "", &[LS]),
    (
        "Let me look.\n\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call>\n",
        "Let me look.",
        &[LS],
    ),
    (
        "Let me look.<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call>",
        "Let me look.",
        &[LS],
    ),
    // Words of the trade before a mark announce nothing.
    (
        "I will fix the syntax error in calc.py.\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call>",
        "I will fix the syntax error in calc.py.",
        &[LS],
    ),
    (
        "The template and the documentation give an example. You should see it pass now; I run the format check.\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call>",
        "The template and the documentation give an example. You should see it pass now; I run the format check.",
        &[LS],
    ),
    (
        "Quoted paths, such as `a b`, have their own syntax:\n[TOOL_CALLS]shell[ARGS]{\"command\": \"ls\"}",
        "Quoted paths, such as `a b`, have their own syntax:",
        &[LS],
    ),
    (
        "<tool_call>\n{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}\n</tool_call>\n<tool_call>\n{\"name\":\"read_file\",\"arguments\":{\"path\":\"a\"}}\n</tool_call>",
        "",
        &[LS, ("read_file", r#"{"path":"a"}"#)],
    ),
    // The stop token swallowed the end.
    ("<tool_call>\n{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}\n", "", &[LS]),
    ("<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call><|im_end|>", "", &[LS]),
    ("<tool_call>{\"name\":\"shell\",\"arguments\":\"{\\\"command\\\": \\\"ls\\\"}\"}</tool_call>", "", &[LS]),
    (
        "<think>I could call <tool_call> here.</think>\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\": \"ls\"}}</tool_call>",
        "<think>I could call <tool_call> here.</think>",
        &[LS],
    ),
    // Qwen's coder.
    ("<tool_call>\n<function=shell>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>", "", &[MADE_LS]),
    (
        "<function=read_file>\n<parameter=path>\na b\n\n</parameter>\n<parameter=limit>\n5\n</parameter>\n</function>",
        "",
        &[("read_file", r#"{"limit":5,"path":"a b\n"}"#)],
    ),
    // Llama.
    ("<function=shell>{\"command\": \"ls\"}</function>", "", &[LS]),
    ("<|python_tag|>{\"name\": \"shell\", \"parameters\": {\"command\": \"ls\"}}<|eom_id|>", "", &[LS]),
    (
        "{\"name\": \"shell\", \"parameters\": {\"command\": \"ls\"}}; {\"name\": \"shell\", \"parameters\": {\"command\": \"ls\"}}",
        "",
        &[LS, LS],
    ),
    (
        "[shell(command='ls'), read_file(path=\"a\", limit=3)]",
        "",
        &[MADE_LS, ("read_file", r#"{"limit":3,"path":"a"}"#)],
    ),
    // Mistral.
    ("[TOOL_CALLS][{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}]", "", &[LS]),
    ("[TOOL_CALLS]shell[ARGS]{\"command\": \"ls\"}", "", &[LS]),
    ("[TOOL_CALLS]shell[CALL_ID]abc123[ARGS]{\"command\": \"ls\"}</s>", "", &[LS]),
    (
        "[TOOL_CALLS]shell{\"command\": \"ls\"}[TOOL_CALLS]read_file{\"path\":\"a\"}",
        "",
        &[LS, ("read_file", r#"{"path":"a"}"#)],
    ),
    // DeepSeek.
    (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>shell\n```json\n{\"command\": \"ls\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "",
        &[LS],
    ),
    (
        "I look:<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>shell<｜tool▁sep｜>{\"command\": \"ls\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>",
        "I look:",
        &[LS],
    ),
    (
        "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"read_file\">\n<｜DSML｜parameter name=\"path\" string=\"true\">a</｜DSML｜parameter>\n<｜DSML｜parameter name=\"limit\" string=\"false\">7</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        "",
        &[("read_file", r#"{"limit":7,"path":"a"}"#)],
    ),
    // GLM, Kimi, MiniMax, Claude's own, gpt-oss.
    (
        "<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n<arg_key>limit</arg_key>\n<arg_value>7</arg_value>\n</tool_call>",
        "",
        &[("read_file", r#"{"limit":7,"path":"a"}"#)],
    ),
    (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.shell:0<|tool_call_argument_begin|>{\"command\": \"ls\"}<|tool_call_end|><|tool_calls_section_end|>",
        "",
        &[LS],
    ),
    (
        "<minimax:tool_call>\n<invoke name=\"shell\">\n<parameter name=\"command\">ls</parameter>\n</invoke>\n</minimax:tool_call>",
        "",
        &[MADE_LS],
    ),
    (
        "<function_calls>\n<invoke name=\"shell\">\n<parameter name=\"command\">ls</parameter>\n</invoke>\n</function_calls>",
        "",
        &[MADE_LS],
    ),
    ("<|channel|>commentary to=functions.shell <|constrain|>json<|message|>{\"command\": \"ls\"}<|call|>", "", &[LS]),
    // Fences and plain JSON.
    (
        "I look at it.\n```json\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}\n```",
        "I look at it.",
        &[LS],
    ),
    ("```tool_code\nprint(default_api.shell(command=\"ls\"))\n```", "", &[MADE_LS]),
    (
        "```tool_call\n{\"tool\": \"shell\", \"args\": {\"command\": \"ls\"}}\n```\n```tool_call\n{\"tool\": \"shell\", \"args\": {\"command\": \"ls\"}}\n```",
        "",
        &[LS, LS],
    ),
    ("{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}", "", &[LS]),
    ("{\"type\": \"function\", \"function\": {\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}}", "", &[LS]),
    (
        "{\"tool_calls\": [{\"id\": \"x\", \"type\": \"function\", \"function\": {\"name\": \"shell\", \"arguments\": \"{\\\"command\\\": \\\"ls\\\"}\"}}]}",
        "",
        &[LS],
    ),
    (
        "I run the tests now.\n\n{\"action\": \"shell\", \"action_input\": {\"command\": \"ls\"}}",
        "I run the tests now.",
        &[LS],
    ),
];

/// Replies that are words, whatever is in them.
const WORDS: &[&str] = &[
    "",
    "Done.",
    // Not at the end, or with more behind it.
    "<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>\nThat is what the log had.",
    "{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}\n\nThis is what I would send.",
    // An example.
    "A call looks like this:\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "The calls go as follows:\n\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "You can call the tool with\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "Nothing else. For instance\n[TOOL_CALLS]shell[ARGS]{\"command\": \"ls\"}",
    "For example:\n```json\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}\n```",
    "You can use the tool with\n\n{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}}",
    // In a code block, a quotation or a thought.
    "The template is\n```\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>\n```",
    "The test has\n```python\nPROMPT = '''\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>\n'''\n```",
    "The file ends with\n```text\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "Line 3 is\n> <tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "The parser reads `<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>`",
    "the parser reads <tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "<think>I might\n<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    // Tools that were not offered, arguments that are none.
    "<tool_call>{\"name\":\"rm\",\"arguments\":{\"command\":\"ls\"}}</tool_call>",
    "<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}</tool_call>",
    "<tool_call>{\"name\":\"shell\",\"arguments\":[\"ls\"]}</tool_call>",
    "<tool_call>{\"name\":\"shell\",\"arguments\":\"ls\"}</tool_call>",
    "<tool_call>{\"name\":\"shell\",\"arguments\":{\"command\":\"ls\"}}</tool_call><tool_call>{\"name\":\"rm\",\"arguments\":{}}</tool_call>",
    "[TOOL_CALLS]rm{\"command\":\"ls\"}",
    "<function=shell><parameter=command>ls",
    // JSON that is data.
    "```json\n{\"name\": \"journeyman\", \"version\": \"1\"}\n```",
    "```json\n{\"name\": \"shell\", \"arguments\": {\"cmd\": \"ls\"}}\n```",
    "```json\n{\"name\": \"shell\", \"arguments\": {}}\n```",
    "```json\n{\"name\": \"shell\", \"description\": \"Runs\", \"parameters\": {\"command\": \"x\"}}\n```",
    "{\"name\": \"shell\", \"arguments\": {\"command\": \"ls\"}, \"done\": true}",
    "[\"shell\", \"read_file\"]",
    "[shell](https://example.com)",
    "```python\nshell(command=\"ls\")\n```",
    "shell(command=\"ls\")",
    "[shell(command=open(\"x\"))]",
];

#[test]
fn what_ends_a_reply_in_a_known_form_is_a_call() {
    let offered = Offered::new(&tools());
    for (text, said, expected) in CALLS {
        let found = calls(text, &offered).unwrap_or_else(|| panic!("no call in {text:?}"));
        let calls: Vec<_> = found.calls.iter().map(|(tool, arguments)| (tool.as_str(), arguments.as_str())).collect();
        assert_eq!((text[..found.at].trim_end(), calls.as_slice()), (*said, *expected), "{text:?}");
    }
}

#[test]
fn examples_quotations_and_unknown_tools_stay_words() {
    let offered = Offered::new(&tools());
    for text in WORDS {
        assert_eq!(calls(text, &offered), None, "{text:?}");
    }
    for (text, ..) in CALLS {
        assert_eq!(calls(text, &Offered::default()), None, "no tools were offered: {text:?}");
        assert_eq!(calls(&format!("{text}\n\nThat is all."), &offered), None, "words after {text:?}");
        let quoted = text.replace("```", "");
        assert_eq!(calls(&format!("See\n```text\n{quoted}\n```"), &offered), None, "{text:?} in a block");
    }
}

fn any_pieces() -> impl Strategy<Value = String> {
    let corpus: Vec<&str> = CALLS.iter().map(|(text, ..)| *text).chain(WORDS.iter().copied()).collect();
    let cut = (proptest::sample::select(corpus.clone()), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let cut = cut.prop_map(|(text, from, to)| {
        let mut ends = [from.index(text.len() + 1), to.index(text.len() + 1)];
        ends.sort_unstable();
        text[text.floor_char_boundary(ends[0])..text.floor_char_boundary(ends[1])].to_owned()
    });
    let whole = proptest::sample::select(corpus).prop_map(str::to_owned);
    proptest::collection::vec(prop_oneof![whole, cut, any_text(), Just("\n".to_owned())], 1..6)
        .prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn no_unknown_tool_and_no_invalid_json_ever_passes(text in any_pieces()) {
        let offered = Offered::new(&tools());
        if let Some(found) = calls(&text, &offered) {
            prop_assert!(text.is_char_boundary(found.at) && !found.calls.is_empty());
            for (tool, arguments) in &found.calls {
                prop_assert!(["shell", "read_file"].contains(&tool.as_str()), "{tool}");
                let value = serde_json::from_str::<Value>(arguments);
                prop_assert!(value.as_ref().is_ok_and(Value::is_object), "{arguments}");
            }
            prop_assert_eq!(calls(&text, &offered), Some(found), "the same text gives the same calls");
        }
    }
}

#[tokio::test]
async fn a_recovered_call_goes_back_as_the_wire_has_calls_and_takes_its_result() {
    let text = format!("Looking.\n\n{}", CALLS[0].0);
    let rules =
        json!([{"when": {"turn": 0}, "reply": {"text": text, "reasoning": "Think."}}, {"reply": {"text": "Done."}}]);
    let server = Scripted::play(json!({"rules": rules})).await;
    for wire in WIRES {
        let model = server.model(wire);
        let mut conversation = Conversation::new(&model, "Be brief.", &tools());
        conversation.push(&user(&format!("go {wire:?}")));
        let (first, live) = ask(&model, &conversation).await;
        let first = first.expect("a reply").reply;
        assert_eq!(first.text, "Looking.");
        assert_eq!(first.calls, [super::call(3, 0, "shell", r#"{"command": "ls"}"#)]);
        assert!(!first.raw.concat().contains("tool_call>"), "{:?}", first.raw);
        assert_eq!(
            live[live.len() - 3..],
            [Live::Reset, Live::Text("Looking.".to_owned()), Live::Tool("shell".to_owned())]
        );

        let stored: journeyman::domain::item::Reply =
            serde_json::from_str(&serde_json::to_string(&first).expect("JSON")).expect("the same");
        let before = conversation.prefix();
        conversation.push(&Item::Reply(stored));
        conversation.push(&Item::Result { call: first.calls[0].call.clone(), output: "a.txt".to_owned() });
        assert!(conversation.prefix().starts_with(&before));
        let second = ask(&model, &conversation).await.0.expect("a strict server takes it").reply;
        assert_eq!(second.text, "Done.");
    }
}

#[tokio::test]
async fn a_call_at_the_end_of_a_thought_without_words_is_one() {
    let message = json!({"role": "assistant", "content": "", "reasoning_content": format!("I look.\n{}", CALLS[0].0)});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let provider = Provider::answering([Canned::json(200, &body.to_string())]).await;
    let model = provider.model(Wire::Chat);
    let reply = ask(&model, &Conversation::new(&model, "x", &tools())).await.0.expect("a reply").reply;
    assert_eq!((reply.calls.len(), reply.text.as_str()), (1, ""));
}

#[tokio::test]
async fn cut_replies_own_calls_and_settings_leave_the_text_alone() {
    let text = CALLS[0].0;
    let whole = |message: Value, finish: &str| {
        Canned::json(200, &json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).to_string())
    };
    let own = json!([{"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{}"}}]);
    let provider = Provider::answering([
        whole(json!({"content": text}), "length"),
        whole(json!({"content": text, "tool_calls": own}), "tool_calls"),
        whole(json!({"content": text}), "stop"),
    ])
    .await;
    let mut model = provider.model(Wire::Chat);
    let conversation = Conversation::new(&model, "x", &tools());
    let cut = ask(&model, &conversation).await.0.expect("a reply").reply;
    assert!(cut.cut && cut.calls.is_empty() && cut.text == text);
    let own = ask(&model, &conversation).await.0.expect("a reply").reply;
    assert_eq!((own.calls.len(), own.calls[0].arguments.as_str(), own.text.as_str()), (1, "{}", text));
    model.text_calls = Some(false);
    let off = ask(&model, &Conversation::new(&model, "x", &tools())).await.0.expect("a reply").reply;
    assert!(off.calls.is_empty() && off.text == text);
}
