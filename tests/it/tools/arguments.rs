//! What models send as arguments, and what they are told.

use journeyman::{
    domain::{
        plan::StepStatus,
        tool::{ToolEffect, ToolOutcome, effect},
    },
    tools::{Parsed, RememberScope, ToolSet, parse, specs},
};
use serde_json::{Value, json};
use std::time::Duration;

fn refusal(tool: &str, arguments: &str) -> String {
    let answer = parse(tool, arguments).expect_err("it is refused");
    assert_eq!(answer.outcome, ToolOutcome::Error);
    assert!(!answer.changed_files);
    String::from_utf8(answer.output).expect("a refusal is text")
}

fn assert_refused(tool: &str, arguments: &str, texts: &[&str]) {
    let said = refusal(tool, arguments);
    for text in texts {
        assert!(said.contains(text), "{tool} {arguments}\nlacks {text:?} in:\n{said}");
    }
}

#[test]
fn the_tools_are_those_of_the_contract_in_its_order() {
    let names = |set| specs(set).into_iter().map(|spec| spec.name).collect::<Vec<_>>();
    let contract = [
        "shell",
        "write_stdin",
        "apply_patch",
        "edit",
        "read_file",
        "search",
        "list_files",
        "update_plan",
        "ask_user",
        "remember",
    ];
    assert_eq!(names(ToolSet::Contract), contract);
    assert_eq!(names(ToolSet::Work), contract[..9]);
    assert_eq!(names(ToolSet::Memory), contract[9..]);
}

#[test]
fn schemas_have_the_arguments_of_the_contract_with_sorted_keys() {
    let wanted = [
        ("shell", "background command timeout_ms workdir", "command"),
        ("write_stdin", "process text wait_ms", "process"),
        ("apply_patch", "patch", "patch"),
        ("edit", "new old path replace_all", "new old path"),
        ("read_file", "limit offset path", "path"),
        ("search", "glob limit path pattern", "pattern"),
        ("list_files", "depth glob path", ""),
        ("update_plan", "approaches criteria explanation plan", "plan"),
        ("ask_user", "questions", "questions"),
        ("remember", "scope text", "text"),
    ];
    let specs = specs(ToolSet::Contract);
    for (spec, (name, all, required)) in specs.iter().zip(wanted) {
        let schema: Value = serde_json::from_str(&spec.parameters).expect("a schema is JSON");
        let properties: Vec<&str> =
            schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
        let needed: Vec<&str> =
            schema["required"].as_array().expect("required").iter().filter_map(Value::as_str).collect();
        assert_eq!(
            (spec.name.as_str(), properties.join(" "), needed.join(" ")),
            (name, all.to_owned(), required.to_owned())
        );
        assert_eq!(schema["additionalProperties"], json!(false));
        assert!(keys_are_sorted(&spec.parameters), "{}", spec.parameters);
        assert!(!spec.description.contains("  -"), "{}", spec.description);
    }
}

/// Reads the keys of every object in the order of the text.
fn keys_are_sorted(json: &str) -> bool {
    let mut levels: Vec<Option<String>> = Vec::new();
    let mut rest = json.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '{' | '[' => levels.push(None),
            '}' | ']' => {
                levels.pop();
            }
            '"' => {
                let text = &json[at..];
                let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
                let key = stream.next().expect("a string").expect("valid");
                let length = stream.byte_offset();
                for _ in 0..json[at + 1..at + length].chars().count() {
                    rest.next();
                }
                if json[at + length..].starts_with(':') {
                    let last = levels.last_mut().expect("inside an object");
                    if last.as_ref().is_some_and(|last| *last > key) {
                        return false;
                    }
                    *last = Some(key);
                }
            }
            _ => {}
        }
    }
    true
}

#[test]
fn every_tool_that_can_be_run_has_its_effect() {
    use ToolEffect::{Asks, Edits, Plans, Reads, Runs};
    let effects: Vec<ToolEffect> = specs(ToolSet::Work).iter().map(|spec| effect(&spec.name)).collect();
    assert_eq!(effects, [Runs, Runs, Edits, Edits, Reads, Reads, Reads, Plans, Asks]);
}

#[test]
fn right_arguments_become_typed_calls_with_defaults() {
    assert_eq!(
        parse("shell", r#"{"command":"ls -l"}"#),
        Ok(Parsed::Shell {
            command: "ls -l".into(),
            workdir: None,
            timeout: Duration::from_secs(120),
            background: false
        })
    );
    assert_eq!(
        parse("read_file", r#"{"path":"/workspace/src/./a.rs","offset":5,"limit":null}"#),
        Ok(Parsed::ReadFile { path: "src/a.rs".into(), offset: 5, limit: 1000 })
    );
    assert_eq!(
        parse("list_files", ""),
        Ok(Parsed::ListFiles { path: None, depth: 3, glob: None }),
        "no arguments at all are an empty object"
    );
    assert_eq!(
        parse("search", r#"{"pattern":"x","path":"/workspace/"}"#),
        Ok(Parsed::Search { pattern: "x".into(), path: None, glob: None, limit: 100 })
    );
    assert_eq!(
        parse("write_stdin", r#"{"process":3}"#),
        Ok(Parsed::WriteStdin { process: 3, text: String::new(), wait: Duration::from_secs(1) })
    );
}

#[test]
fn json_with_mistakes_that_have_one_reading_is_understood() {
    let wanted = parse("read_file", r#"{"path":"a b"}"#);
    assert!(wanted.is_ok());
    for arguments in [
        r#""{\"path\":\"a b\"}""#,
        "```json\n{\"path\": \"a b\"}\n```",
        r#"{"path": "a b",}"#,
        "\u{feff}  {\"path\": \"a b\"}  ",
        r#"{"path": "a b", "offset": null}"#,
        r#"{"path": "a b", "offset": 1.0}"#,
    ] {
        assert_eq!(parse("read_file", arguments), wanted, "{arguments}");
    }
    let lines = parse("edit", "{\"path\":\"a\",\"old\":\"x\ny\",\"new\":\"x,]\tz\"}");
    let edit = Parsed::Edit { path: "a".into(), old: "x\ny".into(), new: "x,]\tz".into(), replace_all: false };
    assert_eq!(lines, Ok(edit), "raw line breaks inside strings are what they look like");
}

#[test]
fn a_number_in_quotes_is_read_as_the_number_that_it_is() {
    let quoted = parse("write_stdin", r#"{"process":"3","text":"x"}"#);
    assert_eq!(quoted, parse("write_stdin", r#"{"process":3,"text":"x"}"#));
    assert_refused("shell", r#"{"command":"ls","timeout_ms":"soon"}"#, &["`timeout_ms`", "an integer", "\"soon\""]);
    assert_refused("shell", r#"{"command":"ls","timeout_ms":"0"}"#, &["`timeout_ms`", "from 1 to 3600000"]);
}

#[test]
fn wrong_arguments_are_told_with_place_nearest_match_and_mend() {
    assert_refused("shell", "{}", &["`command` is missing", "string"]);
    assert_refused(
        "shell",
        r#"{"cmd":"ls"}"#,
        &["`cmd` is no argument", "did you mean `command`?", "`command` is missing"],
    );
    assert_refused(
        "shell",
        r#"{"command":"ls","background":"true"}"#,
        &["`background`", "true or false", "true without quotes"],
    );
    assert_refused("shell", r#"{"command":"ls","timeout_ms":0}"#, &["`timeout_ms`", "from 1 to 3600000, not 0"]);
    assert_refused(
        "shell",
        r#"{"command":["bash","-lc","ls"]}"#,
        &["`command` must be a string, not an array", "\"ls\""],
    );
    assert_refused("shell", r#"{"command":"ls\u0000"}"#, &["`command`", "NUL"]);
    assert_refused("shell", r#"{"command":"  "}"#, &["`command` is empty"]);
    assert_refused(
        "edit",
        r#"{"path":"a","old_string":"x","new_string":"y"}"#,
        &[
            "`old_string` is no argument here, did you mean `old`?",
            "`new_string` is no argument here, did you mean `new`?",
        ],
    );
    assert_refused("read_file", r#"{"path":"../x"}"#, &["`path`", "outside the workspace"]);
    assert_refused("read_file", r#"{"path":"a","limit":1.5}"#, &["`limit`", "not 1.5"]);
    assert_refused(
        "update_plan",
        r#"{"plan":[{"step":"a","status":"done"}]}"#,
        &["`plan[0].status`", "\"done\"", "\"completed\""],
    );
    assert_refused(
        "update_plan",
        r#"{"plan":[{"steps":"a","status":"pending"}]}"#,
        &["`plan[0].steps`", "did you mean `step`?"],
    );
    assert_refused("update_plan", r#"{"plan":[]}"#, &["`plan` must have 1 to 50 items, not 0"]);
    assert_refused("update_plan", r#"{"plan":"do it"}"#, &["`plan` must be an array", "between [ and ]"]);
}

#[test]
fn text_that_is_no_json_is_told_with_its_place() {
    assert_refused("read_file", r#"{"path": "a" "offset": 1}"#, &["not JSON", "line 1 column 14", "⟪here⟫"]);
    assert_refused("read_file", r#"{"path": "a"#, &["not JSON", "ends before"]);
    assert_refused("search", r#"{"pattern": "\d+"}"#, &["not JSON", "escape", "\\\\"]);
    assert_refused("read_file", "[1]", &["must be a JSON object", "an array"]);
    assert_refused("read_file", "please read a.txt", &["not JSON", "one JSON object"]);
    assert_refused("read_file", "{\"päth\": \"ä\" ü}", &["not JSON", "⟪here⟫"]);
}

#[test]
fn an_unknown_tool_is_told_the_nearest_one() {
    for (given, near) in [
        ("bash", "shell"),
        ("functions.shell", "shell"),
        ("str_replace", "edit"),
        ("grep", "search"),
        ("readFile", "read_file"),
        ("todo_write", "update_plan"),
        ("aply_patch", "apply_patch"),
    ] {
        assert_refused(given, "{}", &[given, &format!("did you mean `{near}`?")]);
    }
    assert_refused("launch_rockets", "{}", &["there is no tool `launch_rockets`", "shell, write_stdin"]);
    assert_refused("remember", "{}", &["remember was not called", "`text`"]);
    assert_refused("remember", r#"{"text": " "}"#, &["remember was not called: `text` is empty"]);
    let remembered = |arguments: &str| parse("remember", arguments).unwrap();
    let wanted = |scope| Parsed::Remember { text: "Use tabs".to_owned(), scope };
    assert_eq!(remembered(r#"{"text": " Use tabs "}"#), wanted(RememberScope::Repository));
    assert_eq!(remembered(r#"{"text": "Use tabs", "scope": "user"}"#), wanted(RememberScope::User));
}

#[test]
fn a_plan_has_one_step_in_progress_at_most_and_approaches_of_both_forms() {
    let plan = json!({
        "plan": [
            {"step": "read", "status": "completed"},
            {"step": "mend", "status": "in_progress"},
            {"step": "test", "status": "in_progress"},
        ],
        "approaches": ["rewrite it", {"name": "mend it", "for": "small", "against": null, "chosen": true}],
        "criteria": ["tests pass", ""],
    });
    let Ok(Parsed::UpdatePlan { steps, explanation, approaches, criteria }) = parse("update_plan", &plan.to_string())
    else {
        panic!("a plan is read");
    };
    let states: Vec<StepStatus> = steps.iter().map(|step| step.status).collect();
    assert_eq!(states, [StepStatus::Completed, StepStatus::InProgress, StepStatus::Pending]);
    assert_eq!(explanation, None);
    assert_eq!(
        approaches.iter().map(|a| (a.name.as_str(), a.chosen)).collect::<Vec<_>>(),
        [("rewrite it", false), ("mend it", true)]
    );
    assert_eq!(criteria, ["tests pass"]);
    let packed = json!({"plan": plan["plan"].to_string()});
    assert!(parse("update_plan", &packed.to_string()).is_ok(), "a list that was encoded twice is unpacked");
}

#[test]
fn a_patch_is_understood_however_it_is_sent() {
    let text = "*** Begin Patch\n*** Delete File: a.txt\n*** End Patch\n";
    let wanted = parse("apply_patch", &json!({"patch": text}).to_string());
    assert!(wanted.is_ok());
    assert_eq!(parse("apply_patch", text), wanted);
    assert_eq!(parse("apply_patch", &json!(text).to_string()), wanted);
    for command in [
        format!("apply_patch <<'EOF'\n{text}EOF"),
        format!("apply_patch << \"PATCH\"\n{text}PATCH\n"),
        format!("cd /workspace && apply_patch <<EOF\n{text}EOF\n"),
        format!("apply_patch '{text}'"),
    ] {
        assert_eq!(parse("shell", &json!({"command": command}).to_string()), wanted, "{command}");
    }
    let below = parse(
        "shell",
        &json!({"command": format!("cd src && apply_patch <<EOF\n{text}EOF"), "workdir": "b"}).to_string(),
    );
    let Ok(Parsed::ApplyPatch { patch }) = below else { panic!("a patch") };
    assert_eq!(patch.sections[0].path(), "b/src/a.txt");
    let more = format!("apply_patch <<'EOF'\n{text}EOF\nmake test");
    assert!(matches!(parse("shell", &json!({"command": more}).to_string()), Ok(Parsed::Shell { .. })));
    assert_refused(
        "apply_patch",
        r#"{"patch":"*** Begin Patch\n*** Foo"}"#,
        &["nothing was changed", "line 2 of the patch"],
    );
}
