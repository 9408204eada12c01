//! Tests of scripted, over real HTTP. [`Scripted`] also serves the tests of other rooms.

use journeyman::{
    domain::item::Wire,
    llm::{Model, Retries},
    scripted::{self, Script},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) const WIRES: [Wire; 3] = [Wire::Responses, Wire::Chat, Wire::Messages];

/// A scripted model server on a free port, ended with the value.
pub(crate) struct Scripted {
    pub(crate) url: Url,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Scripted {
    /// Plays a script given as JSON.
    pub(crate) async fn play(script: Value) -> Self {
        let script = Script::from_json(&script.to_string()).expect("a sound script");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let serving = scripted::serve(script, listener, shutdown.clone());
        let server = tokio::spawn(async move { serving.await.expect("the server serves") });
        let url = format!("http://{address}").parse().expect("a URL");
        Self { url, shutdown, server }
    }

    /// The model that is played, without retries.
    pub(crate) fn model(&self, wire: Wire) -> Model {
        let mut model = Model::new("scripted", wire, self.url.join("/v1").expect("a URL"), None);
        model.retries = Retries { attempts: 0, ..Retries::default() };
        model
    }

    /// `GET` of a path, as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = self.url.join(path).expect("a path");
        let response = http().get(url).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// The requests that have arrived, with their bodies.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        self.get("/requests").await["data"].as_array().expect("a list").clone()
    }

    /// `POST` of a body to a wire's path.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> reqwest::Response {
        let url = self.url.join(path).expect("a path");
        let mut request = http().post(url).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.server.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a plain client, as a test's other side")]
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn chat(messages: &Value) -> Value {
    json!({"model": "m", "messages": messages})
}

async fn says(server: &Scripted, messages: &Value) -> String {
    let answer: Value = server.post("/v1/chat/completions", &[], chat(messages)).await.json().await.expect("JSON");
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

#[tokio::test]
async fn a_sequence_is_played_by_the_number_of_replies_in_the_request() {
    let script = json!({"sequence": [{"text": "one"}, {"text": "again {{turn}}", "repeat": 2}, {"text": "four"}]});
    let server = Scripted::play(script).await;
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    let mut heard = Vec::new();
    for _ in 0..5 {
        let text = says(&server, &json!(messages)).await;
        messages.push(json!({"role": "assistant", "content": text}));
        messages.push(json!({"role": "user", "content": "on"}));
        heard.push(text);
    }
    let beyond = "The script has no line for this request (/none, turn 4).";
    assert_eq!(heard, ["one", "again 1", "again 2", "four", beyond]);
}

#[tokio::test]
async fn the_last_scenario_mark_chooses_and_counts_from_there() {
    let script = json!({"scenarios": {
        "fix": {"sequence": [{"text": "fix 0"}, {"text": "fix 1"}]},
        "more": {"sequence": [{"text": "more 0"}]},
        "by text": {"contains": "the login page", "sequence": [{"text": "login"}]},
    }});
    let server = Scripted::play(script).await;
    let mut messages = vec![json!({"role": "user", "content": "please [scenario: fix] it"})];
    assert_eq!(says(&server, &json!(messages)).await, "fix 0");
    messages.push(json!({"role": "assistant", "content": "fix 0"}));
    messages.push(json!({"role": "user", "content": "go on"}));
    assert_eq!(says(&server, &json!(messages)).await, "fix 1");
    messages.push(json!({"role": "assistant", "content": "fix 1"}));
    messages.push(json!({"role": "user", "content": "[scenario: more]"}));
    assert_eq!(says(&server, &json!(messages)).await, "more 0");
    assert_eq!(says(&server, &json!([{"role": "user", "content": "mend the login page"}])).await, "login");

    let unknown = chat(&json!([{"role": "user", "content": "[scenario: nope]"}]));
    let refused = server.post("/v1/chat/completions", &[], unknown).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.expect("a body").contains("no scenario \\\"nope\\\""));
}

#[tokio::test]
async fn rules_look_at_texts_results_and_tools_and_fill_templates() {
    let script = json!({
        "rules": [
            {"when": {"tools": false}, "reply": {"text": "no tools here"}},
            {"when": {"last_output_matches": "(?P<count>[0-9]+) failed", "last_tool": "shell"},
             "reply": {"text": "{{count}} to mend, {{0}}, {{unknown}}",
                       "calls": [{"tool": "edit", "arguments": {"path": "a{{1}}.py", "deep": [{"n": "{{turn}}"}]}}]}},
            {"when": {"calls": {"min": 1}, "last_output_contains": ["all", "passed"]}, "reply": {"text": "done"}},
            {"when": {"contains": "tests", "turn": 0, "offers": "shell"},
             "reply": {"calls": [{"tool": "shell", "arguments": {"command": "make test"}}]}},
        ],
    });
    let server = Scripted::play(script).await;
    let tools = json!([{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]);
    let ask = async |messages: &Value| -> Value {
        let body = json!({"model": "m", "tools": tools, "messages": messages});
        let answer: Value = server.post("/v1/chat/completions", &[], body).await.json().await.expect("JSON");
        answer["choices"][0]["message"].clone()
    };
    assert_eq!(says(&server, &json!([{"role": "user", "content": "run the tests"}])).await, "no tools here");
    let mut messages = json!([{"role": "user", "content": "run the tests"}]);
    let first = ask(&messages).await;
    assert_eq!(first["tool_calls"][0]["function"], json!({"name": "shell", "arguments": r#"{"command":"make test"}"#}));
    let answered = |message: &Value, output: &str| json!({"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": output});
    let list = messages.as_array_mut().expect("a list");
    list.extend([first.clone(), answered(&first, "12 failed")]);
    let second = ask(&messages).await;
    assert_eq!(second["content"], "12 to mend, 12 failed, {{unknown}}");
    let edit = json!({"name": "edit", "arguments": r#"{"deep":[{"n":"1"}],"path":"a12.py"}"#});
    assert_eq!(second["tool_calls"][0]["function"], edit);
    let list = messages.as_array_mut().expect("a list");
    list.extend([second.clone(), answered(&second, "all 12 passed")]);
    assert_eq!(ask(&messages).await["content"], "done");
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_from_two_servers() {
    let script = json!({"sequence": [{"text": "hm", "calls": [{"tool": "shell", "arguments": {"command": "ls"}}]}]});
    let body = chat(&json!([{"role": "user", "content": "go"}]));
    let mut answers = Vec::new();
    for _ in 0..2 {
        let server = Scripted::play(script.clone()).await;
        answers.push(server.post("/v1/chat/completions", &[], body.clone()).await.text().await.expect("a body"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn cached_tokens_are_those_of_the_longest_known_prefix() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    let long = |c: &str| c.repeat(400);
    let usage = async |messages: &Value| -> (u64, u64) {
        let answer: Value = server.post("/v1/chat/completions", &[], chat(messages)).await.json().await.expect("JSON");
        let usage = &answer["usage"];
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count");
        (usage["prompt_tokens"].as_u64().expect("a count"), cached)
    };
    let message = |role: &str, c: &str| json!({"role": role, "content": long(c)});
    let (a, b, c) = (message("user", "a"), message("assistant", "b"), message("user", "c"));
    assert_eq!(usage(&json!([a])).await, (100, 0));
    assert_eq!(usage(&json!([a])).await, (100, 100));
    assert_eq!(usage(&json!([a, b, c])).await, (300, 100));
    assert_eq!(usage(&json!([a, b, c])).await, (300, 300));
    assert_eq!(usage(&json!([c])).await, (100, 0));
}

#[tokio::test]
async fn requests_that_real_providers_refuse_are_refused() {
    let server = Scripted::play(json!({"rules": [{"reply": {"text": "yes"}}]})).await;
    let call_with = |arguments: &str| {
        let function = json!({"name": "shell", "arguments": arguments});
        json!({"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": function}]})
    };
    let call = call_with("{}");
    let user = json!({"role": "user", "content": "go"});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let refused = [
        ("/v1/chat/completions", chat(&json!([user, call]))),
        ("/v1/chat/completions", chat(&json!([user, result("a")]))),
        ("/v1/chat/completions", chat(&json!([user, call, user, result("a")]))),
        ("/v1/chat/completions", chat(&json!([user, call, result("a"), call, result("a")]))),
        ("/v1/chat/completions", chat(&json!([user, call_with("no json"), result("a")]))),
        ("/v1/chat/completions", json!({"model": "m"})),
        ("/v1/messages", json!({"model": "m", "messages": [user]})),
        ("/v1/messages", json!({"model": "m", "max_tokens": 9, "messages": [user, user]})),
        ("/v1/messages", json!({"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": "x"}]})),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"type": "function_call_output", "call_id": "a", "output": ""}]}),
        ),
        ("/v1/responses", json!({"model": "m", "input": "x", "previous_response_id": "r"})),
    ];
    for (path, body) in refused {
        let answer = server.post(path, &[], body.clone()).await;
        assert_eq!(answer.status(), 400, "{path} {body}");
    }
    let sound = chat(&json!([user, call, result("a"), user]));
    assert_eq!(server.post("/v1/chat/completions", &[], sound).await.status(), 200);
}

#[tokio::test]
async fn it_says_that_it_is_scripted_and_shows_what_arrived_without_keys() {
    let server = Scripted::play(json!({"name": "demo", "key": "sesame", "rules": [{"reply": {"text": "yes"}}]})).await;
    let body = json!({"model": "m", "input": "hello", "stream": true});
    let headers = [("authorization", "Bearer sesame"), ("x-task", "7")];
    let answer = server.post("/v1/responses", &headers, body.clone()).await;
    assert_eq!(answer.headers()["x-scripted"], "journeyman");
    assert_eq!(answer.headers()["x-scripted-line"], "/rule 0");
    assert_eq!(server.post("/v1/responses", &[("authorization", "Bearer other")], body.clone()).await.status(), 401);
    let banner = http().get(server.url.clone()).send().await.expect("an answer").text().await.expect("a text");
    assert!(banner.contains("scripted") && banner.contains("demo"), "{banner}");
    assert_eq!(server.get("/v1/models").await["data"][0]["id"], "scripted");

    let requests = server.requests().await;
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["body"], body);
    assert_eq!(requests[0]["state"], "done");
    assert_eq!(requests[1]["status"], 401);
    assert!(requests[0]["at_us"].as_i64() <= requests[0]["ended_at_us"].as_i64());
    let text = json!(requests).to_string();
    assert!(text.contains("x-task") && !text.contains("sesame") && !text.contains("Bearer"), "{text}");
    assert_eq!(server.get("/requests?after=1").await["data"][0]["n"], 2);
    assert_eq!(server.get("/requests?after=2&wait_ms=1").await["data"], json!([]));
}

#[tokio::test]
async fn the_log_is_bounded_in_entries_and_in_bytes() {
    let script = json!({"log": {"requests": 3, "bytes": 5_000}, "rules": [{"reply": {"text": "yes"}}]});
    let server = Scripted::play(script).await;
    for _ in 0..5 {
        server.post("/v1/responses", &[], json!({"model": "m", "input": "x".repeat(2_000)})).await;
    }
    let requests = server.requests().await;
    let seen: Vec<_> = requests.iter().map(|r| (r["n"].as_u64(), r.get("body").is_some())).collect();
    assert_eq!(seen, [(Some(3), false), (Some(4), true), (Some(5), true)]);
}

#[tokio::test]
async fn a_fault_strikes_its_times_for_each_conversation() {
    let rule = json!({"fault": "status=503; retry_after_seconds=2; times=2"});
    let server = Scripted::play(json!({"rules": [rule, {"reply": {"text": "yes"}}]})).await;
    let status = async |key: &str| {
        let body = json!({"model": "m", "input": "x", "prompt_cache_key": key});
        let answer = server.post("/v1/responses", &[], body).await;
        (answer.status().as_u16(), answer.headers().get("retry-after").cloned())
    };
    let two = Some("2".parse().expect("a header"));
    assert_eq!(status("a").await, (503, two.clone()));
    assert_eq!(status("b").await, (503, two.clone()));
    assert_eq!(status("a").await, (503, two.clone()));
    assert_eq!(status("a").await, (200, None));
    assert_eq!(status("b").await, (503, two));
    assert_eq!(status("b").await, (200, None));
    let by_header =
        server.post("/v1/responses", &[("x-scripted-fault", "418")], json!({"model": "m", "input": "x"})).await;
    assert_eq!(by_header.status(), 418);
    let by_query = server.post("/v1/responses?fault=html", &[], json!({"model": "m", "input": "x"})).await;
    assert_eq!(by_query.headers()["content-type"], "text/html; charset=utf-8");
}

#[test]
fn a_script_that_is_wrong_names_the_place() {
    let wrong = [
        (r#"{"rules": [{"when": {"turns": 3}}]}"#, "rules[0].when"),
        (r#"{"rules": [{"fault": "explode"}]}"#, "rules[0].fault"),
        (r#"{"rules": [{"when": {"matches": "("}}]}"#, "rules[0].when.matches"),
        (r#"{"sequence": [{"txt": "x"}]}"#, "sequence[0].txt"),
        ("{} {}", "trailing"),
    ];
    for (text, place) in wrong {
        let error = Script::from_json(text).expect_err(text).to_string();
        assert!(error.contains(place), "{text}: {error}");
    }
    let error = Script::from_toml("[[rules]]\nwen = 3").expect_err("a wrong key").to_string();
    assert!(error.contains("rules[0].wen"), "{error}");
    let toml = "[[scenarios.fix.sequence]]\ntext = 'a'\n[[scenarios.fix.sequence.calls]]\ntool = 'shell'\narguments = {command = 'ls'}";
    assert!(Script::from_toml(toml).is_ok());
}
