//! Requests of whole tasks: each repeats the one before, whatever happens, and the cache accounts say so.

use crate::support::{
    failpoint::each_at_its_own_boundary,
    replayed::{export, fold},
    service::{Api, Ground, call, git, say},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

/// One line of a script: calls, words, calls as words, and what goes wrong once.
fn any_line() -> impl Strategy<Value = Value> {
    let text = proptest::sample::select(vec!["Looking.", "\"ü€😀\"\\ \u{2028}", "", "```\ncode\n```", "I look:"]);
    let path = proptest::sample::select(vec!["calc.py", "nothing.py", "ü \"quoted\".txt"]);
    let fault = proptest::sample::select(vec![
        Value::Null,
        Value::Null,
        json!("429; retry_after_seconds=0.01; times=1"),
        json!("cut; after_events=2; times=1"),
        json!("no_usage"),
        json!("duplicate_call_ids"),
        json!("unknown_tool"),
    ]);
    (text, path, fault, 0..4_u32).prop_map(|(text, path, fault, kind)| {
        let arguments = json!({ "path": path });
        let calls = match kind {
            0 => json!([{ "tool": "read_file", "arguments": arguments }]),
            1 => json!([{ "tool": "read_file", "arguments": arguments }, { "tool": "list_files", "arguments": {} }]),
            2 => json!([{ "tool": "read_file", "arguments": "{no json" }]),
            _ => json!([]),
        };
        let as_text = json!({ "name": "read_file", "arguments": arguments });
        let text = if kind == 3 { format!("{text}\n<tool_call>\n{as_text}\n</tool_call>") } else { text.to_owned() };
        let mut line = json!({ "text": text, "calls": calls, "reasoning": "Hm." });
        if !fault.is_null() {
            line["fault"] = fault;
        }
        line
    })
}

/// A request's parts in the order in which providers read them. On Chat and Messages the last user message may
/// still grow: it counts by its blocks, or by its text.
pub(crate) fn parts(wire: &str, body: &Value) -> String {
    let mut plain = body.clone();
    strip_markers(&mut plain);
    let list = if wire == "responses" { &plain["input"] } else { &plain["messages"] };
    let items: Vec<String> = list.as_array().unwrap().iter().map(open_ended).collect();
    format!("{}\n{}\n{}\n{}", plain["instructions"], plain["system"], plain["tools"], items.join("\n"))
}

fn open_ended(item: &Value) -> String {
    let text = item.to_string();
    match (item["role"].as_str(), item.get("type")) {
        (Some("user"), None) => {
            let end = if item["content"].is_string() { "\",\"role\":\"user\"}" } else { "],\"role\":\"user\"}" };
            text.strip_suffix(end).unwrap_or(&text).to_owned()
        }
        _ => text,
    }
}

fn strip_markers(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("cache_control");
            map.values_mut().for_each(strip_markers);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_markers),
        _ => {}
    }
}

async fn ask(ground: &Ground, api: &Api) -> String {
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    api.create(&json!({ "request": "what does add do?", "mode": "answer", "repository": { "url": url } })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_in_a_run_each_request_repeats_the_one_before() {
    let mut runner = TestRunner::deterministic();
    for wire in ["responses", "chat", "messages"] {
        for _ in 0..2 {
            let lines = proptest::collection::vec(any_line(), 4..9).new_tree(&mut runner).unwrap().current();
            let mut sequence = lines.clone();
            sequence.extend([say("That is all."), call("list_files", json!({})), say("And that.")]);
            let mut ground = Ground::new(&json!({ "sequence": sequence })).await;
            ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
            ground.wire = wire;
            let service = ground.start().await;
            let api = service.api();
            let id = ask(&ground, &api).await;
            let first = api.rest(&id).await;
            assert_eq!(first["status"], "succeeded", "{wire} {lines:#?}: {:#?}", api.events(&id).await);
            api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and what else?" })).await;
            let task = api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;

            let bodies: Vec<Value> = ground.model.requests().await.iter().map(|r| r["body"].clone()).collect();
            assert!(bodies.len() > lines.len(), "{wire}: {} requests", bodies.len());
            for pair in bodies.windows(2) {
                let (before, after) = (parts(wire, &pair[0]), parts(wire, &pair[1]));
                assert!(after.starts_with(&before), "{wire} {lines:#?}\n{before}\n----\n{after}");
            }
            let events = api.events(&id).await;
            let completed: Vec<&Value> = events.iter().filter(|e| e["kind"] == "model.completed").collect();
            for (at, event) in completed.iter().enumerate() {
                let cache = &event["data"]["cache"];
                let cause = cache["miss"]["cause"].as_str();
                // A call without counts promises more than the next can read.
                let fine = matches!(cause, None | Some("below_minimum" | "provider")) || at == 0;
                assert!(fine, "{wire} call {at}: {cache:#}");
                assert_eq!(cache["prefix"]["instructions"], completed[0]["data"]["cache"]["prefix"]["instructions"]);
                assert_eq!(cache["prefix"]["tools"], completed[0]["data"]["cache"]["prefix"]["tools"]);
            }
            let marks = completed.iter().map(|e| &e["data"]["cache"]["prefix"]);
            marks.fold(0, |count, mark| {
                assert_eq!(mark["from"], count, "{wire}: nothing that was sent is another now");
                count + mark["items"].as_array().unwrap().len()
            });
            let read: u64 = completed.iter().map(|e| e["data"]["cache"]["read_tokens"].as_u64().unwrap()).sum();
            assert_eq!(task["usage"]["cache"]["read_tokens"], read);
            service.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_keeps_its_tools_and_form_when_the_settings_change() {
    let script = json!({ "sequence": [say("First."), say("Second.")] });
    let mut ground = Ground::new(&script).await;
    ground.wire = "chat";
    ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let file = ground.data.path().join("models.toml");
    let url = ground.model.url.clone();
    let write = |rest: &str| {
        let entry =
            format!("[[models]]\nname = \"mine\"\nmodel = \"claude-x\"\napi = \"chat\"\nurl = \"{url}\"\n{rest}");
        std::fs::write(&file, entry).unwrap();
    };
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), file.display().to_string()));
    let body = |ground: &Ground| {
        let url = format!("file://{}", ground.repositories.path().join("calc").display());
        json!({ "request": "what is x?", "mode": "answer", "model": "mine", "repository": { "url": url } })
    };

    write("reasoning_effort = \"low\"");
    let service = ground.start().await;
    let id = service.api().create(&body(&ground)).await;
    service.api().rest(&id).await;
    service.stop().await;
    write(
        "edit_format = \"apply_patch\"\ndeveloper_role = \"system\"\nparallel_tool_calls = false\ntools = [\"shell\"]",
    );
    let service = ground.start().await;
    let api = service.api();
    api.post(&format!("/v1/tasks/{id}/messages"), &json!({ "text": "and y?" })).await;
    api.until(&id, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    let new = api.create(&body(&ground)).await;
    api.rest(&new).await;
    service.stop().await;

    let bodies: Vec<Value> = ground.model.requests().await.iter().map(|r| r["body"].clone()).collect();
    let [first, second, new] = bodies.as_slice() else { panic!("{} requests", bodies.len()) };
    assert!(parts("chat", second).starts_with(&parts("chat", first)), "{first:#}\n{second:#}");
    for field in ["tools", "reasoning_effort", "parallel_tool_calls"] {
        assert_eq!(second[field], first[field], "{field}");
    }
    let tools = |body: &Value| -> Vec<String> {
        let tools = body["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(tools(first).contains(&"edit".to_owned()) && !tools(first).contains(&"apply_patch".to_owned()));
    assert!(!first["messages"][0].to_string().contains("apply_patch"), "one editor is given, one is told of");
    assert_eq!((tools(new), &new["messages"][1]["role"]), (vec!["shell".to_owned()], &json!("system")));
    assert!(new.get("reasoning_effort").is_none() && new.get("parallel_tool_calls").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn conventions_that_are_links_are_read_where_they_lead_within_the_base() {
    use std::os::unix::fs::symlink;
    let ground = Ground::new(&json!({ "sequence": [say("That is all.")] })).await;
    let files = [("docs/agents.md", "Write it in tabs.\n"), ("a/x.py", "x = 1\n"), ("b/y.py", "y = 1\n")];
    ground.repositories.make("calc", &files);
    let repository = ground.repositories.path().join("calc");
    symlink("docs/agents.md", repository.join("CLAUDE.md")).unwrap();
    symlink("../CLAUDE.md", repository.join("a/AGENTS.md")).unwrap();
    symlink("/etc/hostname", repository.join("b/AGENTS.md")).unwrap();
    symlink("../../../etc/passwd", repository.join("b/CLAUDE.md")).unwrap();
    symlink("CONTRIBUTING.md", repository.join("CONTRIBUTING.md")).unwrap();
    git(&repository, &["add", "-A"]);
    git(&repository, &["-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "-qm", "links"]);
    let service = ground.start().await;
    let api = service.api();
    let id = ask(&ground, &api).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    let brief = events.iter().find(|event| event["kind"] == "brief.ready").unwrap();
    assert_eq!(brief["data"]["conventions"], json!(["CLAUDE.md"]), "each text once, links out of the base never");
    let asked = ground.model.requests().await[0]["body"].to_string();
    assert!(asked.contains("Write it in tabs.") && !asked.contains("<repository-text path=\\\"b/"), "{asked}");
    service.stop().await;
}

/// Six looks around and an answer, slow enough to be spoken into.
fn looks() -> Value {
    let look = json!({
        "text": "Looking.", "reasoning": "Hm.",
        "calls": [
            { "tool": "read_file", "arguments": { "path": "calc.py" } },
            { "tool": "shell", "arguments": { "command": "echo turn {{turn}}" } },
        ],
        "repeat": 6,
    });
    json!({ "pace": { "first_byte_ms": 40 }, "sequence": [look, say("That is all.")] })
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_steering_and_policies_leave_each_request_a_prefix_of_the_next_on_chat_and_messages() {
    for wire in ["chat", "messages"] {
        let (failpoint, fallen) = each_at_its_own_boundary();
        let mut ground = Ground::new(&looks()).await;
        ground.wire = wire;
        ground.repositories.make("calc", &[("calc.py", "def add(a, b):\n    return a - b\n")]);
        let url = format!("file://{}", ground.repositories.path().join("calc").display());
        let service = ground.start_with(ground.data.path(), Some(failpoint)).await;
        let api = service.api();
        let mut ids = Vec::new();
        for n in 0..20 {
            let approval = ["never", "plan", "on_risk"][n % 3];
            let network =
                [json!({ "mode": "off" }), json!({ "mode": "allowlist", "hosts": ["pypi.org", "*.debian.org"] })]
                    [n % 2]
                    .clone();
            let body = json!({
                "request": format!("what does add do? <{n}>"), "mode": "answer", "approval": approval, "network": network,
                "repository": { "url": url },
            });
            let id = api.create(&body).await;
            api.met(&id, "tool.completed", 1 + n % 5).await;
            let steer = json!({ "text": format!("and sub? <{n}>"), "on_busy": "steer" });
            assert_eq!(api.post(&format!("/v1/tasks/{id}/messages"), &steer).await.0, 202);
            ids.push(id);
        }
        let mut crashed = 0;
        for (n, id) in ids.iter().enumerate() {
            let task = api.until(id, |task| task["status"] == "succeeded").await;
            let requests = ground.model.requests().await;
            let own = |body: &Value| body.to_string().contains(&format!("what does add do? <{n}>"));
            let bodies: Vec<&Value> =
                requests.iter().map(|request| &request["body"]).filter(|body| own(body)).collect();
            assert!(bodies.len() >= 7, "{wire} {n}: {} requests: {task:#}", bodies.len());
            for pair in bodies.windows(2) {
                let (before, after) = (parts(wire, pair[0]), parts(wire, pair[1]));
                assert!(after.starts_with(&before), "{wire} {n}: {before}\n----\n{after}");
            }
            assert!(bodies.last().unwrap().to_string().contains(&format!("and sub? <{n}>")), "{wire} {n}");
            let events = api.events(id).await;
            let marks = events.iter().filter(|e| e["kind"] == "model.completed").map(|e| &e["data"]["cache"]["prefix"]);
            marks.fold(0, |count, mark| {
                assert_eq!(mark["from"], count, "{wire} {n}: nothing that was sent is another now");
                count + mark["items"].as_array().unwrap().len()
            });
            crashed += usize::from(fallen.lock().unwrap()[&id.parse().unwrap()].1);
            let replayed = fold(&export(&api, id, "").await);
            assert!(replayed.difference.is_none() && replayed.unknown_prompts == 0, "{wire} {n}: {replayed:#?}");
        }
        assert!(crashed >= 12, "{wire}: only {crashed} fell");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_comes_near_changes_the_budget_of_thought_twice_and_nothing_of_the_prefix() {
    let look = json!({
        "reasoning": "Hm.", "calls": [{ "tool": "shell", "arguments": { "command": "echo turn {{turn}}" } }], "repeat": 60,
    });
    let mut ground = Ground::new(&json!({ "sequence": [look, say("That is all.")] })).await;
    ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let path = ground.data.path().join("models.toml");
    let entry = format!(
        "[[models]]\nname = \"mine\"\nmodel = \"claude-sonnet-4-5\"\napi = \"messages\"\nurl = \"{}\"\n\
         reasoning_effort = \"high\"\n",
        ground.model.url
    );
    std::fs::write(&path, entry).unwrap();
    ground.variables.push(("JOURNEYMAN_CONFIG".to_owned(), path.display().to_string()));
    let service = ground.start().await;
    let api = service.api();
    let url = format!("file://{}", ground.repositories.path().join("calc").display());
    let body = json!({
        "request": "what is x?", "mode": "answer", "model": "mine", "repository": { "url": url },
        "limits": { "tokens": 80_000 },
    });
    let id = api.create(&body).await;
    let task = api.rest(&id).await;
    assert_eq!(task["error"]["code"], "limit_tokens", "{task:#}");

    let bodies: Vec<Value> = ground.model.requests().await.iter().map(|r| r["body"].clone()).collect();
    let budgets: Vec<u64> =
        bodies.iter().map(|body| body["thinking"]["budget_tokens"].as_u64().unwrap_or_default()).collect();
    let mut distinct = budgets.clone();
    distinct.dedup();
    assert!(distinct.starts_with(&[16_000, 1_024]) && distinct.len() <= 3, "{budgets:?}");
    let most: Vec<u64> = bodies.iter().map(|body| body["max_tokens"].as_u64().unwrap()).collect();
    assert!(most.windows(2).filter(|pair| pair[0] != pair[1]).count() > 3, "the replies' room falls often: {most:?}");
    for (body, budget) in bodies.iter().zip(&budgets) {
        assert!(*budget == 0 || budget + 1_024 <= body["max_tokens"].as_u64().unwrap(), "{body:#}");
    }
    for pair in bodies.windows(2) {
        assert!(parts("messages", &pair[1]).starts_with(&parts("messages", &pair[0])));
    }
    let thoughts = bodies.last().unwrap()["messages"].to_string().matches("\"type\":\"thinking\"").count();
    assert_eq!(thoughts, bodies.len() - 1, "every thought goes back as it came");
    let events = api.events(&id).await;
    let told: Vec<u64> = events
        .iter()
        .filter(|event| event["kind"] == "model.completed")
        .map(|event| event["data"]["cache"]["prefix"]["thinking"].as_u64().unwrap())
        .collect();
    assert_eq!(told, budgets, "each call records what it went out with");
    let replayed = fold(&export(&api, &id, "").await);
    assert!(replayed.difference.is_none() && replayed.unknown_prompts == 0, "{replayed:#?}");
    service.stop().await;
}
