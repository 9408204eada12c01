//! Results as JSON by a schema: asked for once the work is done, checked, and given back with what is wrong.

use super::play::{Play, edit, shell};
use journeyman::{
    agent::Step,
    domain::{
        ErrorCode, EventData, Status,
        check::Verdict,
        schema,
        task::{Control, OnBusy, TaskResult},
        tool::ToolOutcome,
    },
};
use serde_json::{Value, json};

const GOOD: &str = "{\"files\": [\"a.py\"]}";

fn wanted() -> Value {
    json!({
        "type": "object", "required": ["files"], "additionalProperties": false,
        "properties": { "files": { "type": "array", "items": { "type": "string" } } },
    })
}

fn play(changes: Value) -> Play {
    let mut changes = changes;
    changes["output_schema"] = wanted();
    Play::planned(changes)
}

fn ended(play: &mut Play) -> TaskResult {
    let step = play.step();
    assert!(matches!(step, Step::Finish { .. }), "{step:?}");
    play.session.result.clone().unwrap()
}

fn asks(play: &Play) -> Vec<(u32, Vec<String>)> {
    let ask = |data: &EventData| match data {
        EventData::OutputRequested { attempt, errors, .. } => Some((*attempt, errors.clone())),
        _ => None,
    };
    play.log.iter().filter_map(|(event, _)| ask(&event.data)).collect()
}

#[test]
fn an_answer_a_plan_and_a_change_end_with_the_json_that_was_asked_for() {
    for mode in ["answer", "plan", "auto"] {
        let mut play = play(json!({ "mode": mode }));
        if mode == "auto" {
            play.tree = '1';
            play.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
        }
        play.words("It is done.");
        if mode == "auto" {
            assert!(matches!(play.step(), Step::RunChecks { .. }));
            play.checked(&[], false);
        }
        play.words(&format!("```json\n{GOOD}\n```"));
        let result = ended(&mut play);
        assert_eq!(result.structured, Some(json!({ "files": ["a.py"] })), "{mode}");
        assert_eq!(result.summary.as_deref(), Some("It is done."), "{mode}: the words before are kept");
        assert_eq!(result.answer.as_deref(), (mode == "answer").then_some("It is done."));
        assert_eq!(play.session.error, None);
        assert_eq!(asks(&play), [(1, Vec::new())]);
        if mode == "auto" {
            assert_eq!((result.verdict, play.session.used.cycles), (Some(Verdict::Verified), 1));
        }
    }
}

#[test]
fn words_that_are_the_json_already_are_asked_for_nothing() {
    for words in [GOOD.to_owned(), format!("```\n{GOOD}\n```"), format!("\n```json\n{GOOD}\n```\n")] {
        let mut play = play(json!({ "mode": "answer" }));
        play.words(&words);
        let result = ended(&mut play);
        assert_eq!(result.structured, Some(json!({ "files": ["a.py"] })), "{words}");
        assert_eq!(play.session.used.model_calls, 1);
    }
}

#[test]
fn what_is_wrong_goes_back_twice_and_then_the_run_fails_with_its_patch_and_verdict() {
    let mut play = play(json!({}));
    play.tree = '1';
    play.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
    play.words("It is done.");
    play.step();
    play.checked(&[], false);
    for words in ["Here it is: {}", "{\"files\": [7], \"more\": 1}", "{\"files\": "] {
        play.words(words);
    }
    let result = ended(&mut play);
    let error = play.session.error.clone().unwrap();
    assert_eq!((play.session.status, error.code), (Status::Failed, ErrorCode::OutputSchema));
    assert!(error.message.contains("after 3 tries: it is not JSON alone"), "{}", error.message);
    assert_eq!((result.verdict, result.structured), (Some(Verdict::Verified), None));
    assert_eq!(result.summary.as_deref(), Some("It is done."));
    let asked = asks(&play);
    assert_eq!(asked.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(asked[1].1[0].starts_with("it is not JSON alone"), "{asked:?}");
    assert_eq!(asked[2].1.len(), 2, "{asked:?}");
    assert!(asked[2].1[0].starts_with("the whole: ") && asked[2].1[1].starts_with("/files/0: "), "{asked:?}");
}

#[test]
fn a_reply_that_is_cut_or_empty_counts_as_a_try() {
    let mut play = play(json!({ "mode": "answer" }));
    play.words("It is so.");
    for _ in 0..3 {
        play.words("");
    }
    ended(&mut play);
    assert_eq!(play.session.error.as_ref().unwrap().code, ErrorCode::OutputSchema);
}

#[test]
fn work_that_follows_the_question_is_validated_before_its_answer_counts() {
    let mut play = play(json!({}));
    play.tree = '1';
    play.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
    play.words("It is done.");
    play.step();
    play.checked(&[], false);
    play.tree = '2';
    play.turn(shell("sed -i s/1/2/ a.py"), ToolOutcome::Ok, "");
    play.words(GOOD);
    assert!(matches!(play.step(), Step::RunChecks { last: false }), "the tree is another");
    play.checked(&["a"], true);
    let result = ended(&mut play);
    assert_eq!((play.tree, result.verdict), ('1', Some(Verdict::Verified)), "what held is put back");
    assert!(result.structured.is_some());
}

#[test]
fn a_limit_ends_the_run_while_its_result_is_asked_for() {
    let mut play = play(json!({ "mode": "answer", "limits": { "turns": 2 } }));
    play.words("It is so.");
    play.words("No.");
    let result = ended(&mut play);
    assert_eq!(play.session.error.as_ref().unwrap().code, ErrorCode::LimitTurns);
    assert_eq!((result.summary.as_deref(), result.structured), (Some("It is so."), None));
}

#[test]
fn a_follow_up_is_asked_anew_and_so_is_work_that_people_have_added_to() {
    let mut play = play(json!({ "mode": "answer" }));
    play.words("It is so.");
    play.words(GOOD);
    ended(&mut play);
    let say = |play: &mut Play, run: u32, text: &str| {
        let data = EventData::MessageUser { text: text.into(), author: "a".into(), user: None, on_busy: OnBusy::Steer };
        play.record_in(run, data);
    };
    say(&mut play, 2, "And b.py?");
    play.status(Status::Queued);
    play.status(Status::Running);
    play.words("That too.");
    play.step();
    say(&mut play, 2, "And c.py?");
    play.reply("[]", &[]);
    play.words("All three.");
    play.words("{\"files\": [\"a.py\", \"b.py\", \"c.py\"]}");
    let result = ended(&mut play);
    assert_eq!(result.summary.as_deref(), Some("All three."));
    assert_eq!(result.structured.unwrap()["files"].as_array().unwrap().len(), 3);
    assert_eq!(asks(&play).iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_run_that_fails_or_is_cancelled_is_asked_for_nothing() {
    let mut failing = play(json!({ "limits": { "refinements": 0 } }));
    failing.tree = '1';
    failing.turn(edit("a.py", "1"), ToolOutcome::Ok, "done");
    failing.words(GOOD);
    failing.step();
    failing.checked(&["a"], false);
    assert_eq!(ended(&mut failing).structured, None);
    assert_eq!(failing.session.error.as_ref().unwrap().code, ErrorCode::ChecksFailed);

    let mut cancelled = play(json!({ "mode": "answer" }));
    cancelled.words("It is so.");
    cancelled.record(EventData::TaskControl { action: Control::Cancel, author: "a".into() }, None);
    assert_eq!(ended(&mut cancelled).structured, None);
    assert_eq!(asks(&cancelled).len(), 0);
}

#[test]
fn schemas_that_cost_too_much_or_reach_outside_are_refused_where_they_do() {
    // Twenty definitions, each of which stands for two of the next: a million parts.
    let doubling: Value = (0..20)
        .map(|at| {
            let next = json!({ "$ref": format!("#/$defs/d{}", at + 1) });
            (format!("d{at}"), json!({ "allOf": [next, next] }))
        })
        .chain([("d20".to_owned(), json!({ "type": "string" }))])
        .collect::<serde_json::Map<_, _>>()
        .into();
    let deep = (0..70).fold(json!({}), |inner, _| json!({ "items": inner }));
    let chain: Value = (0..1_000)
        .map(|at| (format!("d{at}"), json!({ "$ref": format!("#/$defs/d{}", at + 1) })))
        .chain([("d1000".to_owned(), json!(true))])
        .collect::<serde_json::Map<_, _>>()
        .into();
    for (schema, pointer, why) in [
        (json!(true), "", "must be an object"),
        (json!({ "title": "x".repeat(70_000) }), "", "65536 bytes"),
        (json!({ "type": "objekt" }), "/type", "objekt"),
        (json!({ "properties": { "a/b": { "minLength": -1 } } }), "/properties/a~1b/minLength", "-1"),
        (json!({ "pattern": "(" }), "/pattern", ""),
        (json!({ "pattern": "(a)\\1" }), "/pattern", ""),
        (json!({ "$schema": "http://json-schema.org/draft-07/schema#" }), "/$schema", "2020-12"),
        (json!({ "$ref": "https://example.com/a.json" }), "/$ref", "nothing is fetched"),
        (json!({ "items": { "$ref": "file:///etc/passwd" } }), "/items/$ref", "nothing is fetched"),
        (json!({ "items": { "$ref": "#/$defs/none" } }), "/items/$ref", "points to nothing"),
        (json!({ "$ref": "#" }), "/$ref", "recursive"),
        (json!({ "$defs": { "a": { "$ref": "#/$defs/a" } } }), "/$defs/a/$ref", "recursive"),
        (
            json!({ "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" }),
            "/$defs/a/items/$ref",
            "recursive",
        ),
        (json!({ "$dynamicRef": "#a" }), "/$dynamicRef", "JSON pointers"),
        (json!({ "items": { "$id": "https://example.com/" } }), "/items/$id", "at the top alone"),
        (json!({ "$defs": doubling, "$ref": "#/$defs/d0" }), "", "10000 parts"),
        (deep, &"/items".repeat(65), "64 deep"),
        (json!({ "$defs": chain, "$ref": "#/$defs/d0" }), "/$defs/d64", "64 deep"),
    ] {
        let fault = schema::check(&schema).expect_err(why);
        assert!(fault.why.contains(why), "{why:?} in {fault:?}");
        assert_eq!(fault.pointer, pointer, "{fault:?}");
    }
    for schema in [
        json!({}),
        wanted(),
        json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/a" }),
        json!({ "$defs": { "name": { "type": "string", "pattern": "^[a-z]+$" } }, "items": { "$ref": "#/$defs/name" } }),
        json!({ "properties": { "$ref": { "type": "string" }, "$id": {} }, "enum": [{ "$ref": "data" }] }),
        json!({ "format": "date-time", "unknownKeyword": 7 }),
    ] {
        assert_eq!(schema::check(&schema), Ok(()), "{schema}");
    }
}

#[test]
fn what_is_wrong_with_a_value_is_said_in_the_order_of_its_places_and_bounded() {
    let schema = json!({ "additionalProperties": { "type": "integer", "minimum": 3 } });
    let many: serde_json::Map<String, Value> =
        (0..100).map(|at| (format!("k{at:03}"), json!("x".repeat(900)))).collect();
    let errors = schema::errors(&schema, &Value::Object(many));
    assert_eq!(errors.len(), 20);
    assert!(errors[0].starts_with("/k000: ") && errors[19].starts_with("/k019: "), "{errors:?}");
    assert!(errors.iter().all(|error| error.chars().count() <= 300 && !error.contains("xxxx")), "{errors:?}");
    assert_eq!(schema::errors(&schema, &json!({ "a": 3 })), Vec::<String>::new());
    let large = schema::errors(&json!({}), &json!("x".repeat(300_000)));
    assert_eq!(large, ["it has more than 262144 bytes"]);
    assert_eq!(schema::errors(&json!({ "$ref": "#" }), &json!(1)).len(), 1, "a schema that was never checked");
}
