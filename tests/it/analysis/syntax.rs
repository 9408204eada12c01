//! Tests of syntax checks after edits, and of kept analyses: whole tasks.

use crate::support::{
    replayed::{export, fold},
    service::{Ground, call, plan, say},
};
use serde_json::{Value, json};
use sqlx::Connection;

const CALC: &str = "def add(a, b):\n    return a - b\n";

fn outputs(events: &[Value]) -> Vec<String> {
    let completed = events.iter().filter(|event| event["kind"] == "tool.completed");
    completed.map(|event| event["data"]["output"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_break_is_told_once_with_the_next_call() {
    let shell = |command: &str| call("shell", json!({ "command": command }));
    let script = json!({ "sequence": [
        plan(),
        shell("sed -i 's/a - b/(a + b/' calc.py && echo 'def (' > old.py"),
        call("read_file", json!({ "path": "calc.py" })),
        shell("sed -i 's/(a + b/a + b/' calc.py; echo 'def half(:' > new.py"),
        call("edit", json!({ "path": "new.py", "old": "def half(:", "new": "def half(a:" })),
        shell("rm new.py"),
        say("Done."),
    ] });
    let ground = Ground::new(&script).await;
    let url = ground.repositories.make("calc", &[("calc.py", CALC), ("old.py", "def (\n\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url }, "checks": ["true"] })).await;
    api.rest(&id).await;
    let told = |body: &Value| -> Vec<String> {
        let items = body["input"].as_array().unwrap().iter().filter(|item| item["role"] == "developer");
        let texts = items.map(|item| item["content"][0]["text"].as_str().or(item["content"].as_str()).unwrap());
        texts.filter(|text| text.starts_with("Files that commands changed")).map(str::to_owned).collect()
    };
    let requests = ground.model.requests().await;
    let last = told(&requests.last().unwrap()["body"]);
    assert_eq!(last.len(), 2, "{last:#?}");
    let start = "Files that commands changed have syntax errors that were not there before:\n";
    assert!(last[0].starts_with(&format!("{start}calc.py:2:")) && !last[0].contains("old.py"), "{}", last[0]);
    assert!(last[1].starts_with(&format!("{start}new.py:1:")) && !last[1].contains("calc.py"), "{}", last[1]);
    let replayed = fold(&export(&api, &id, "").await);
    assert_eq!((replayed.difference, replayed.unknown_prompts), (None, 0));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_breaks_the_syntax_is_answered_with_the_error_and_the_next_mends_it() {
    let edit = |old: &str, new: &str| call("edit", json!({ "path": "calc.py", "old": old, "new": new }));
    let patch = "*** Begin Patch\n*** Add File: run.sh\n+if true; then\n+  echo x\n*** Add File: data.json\n+{\"a\": }\n*** End Patch\n";
    let script = json!({ "sequence": [
        plan(),
        edit("return a - b", "return (a + b"),
        edit("return (a + b", "return a + b"),
        call("apply_patch", json!({ "patch": patch })),
        say("Done."),
    ] });
    let ground = Ground::new(&script).await;
    let url =
        ground.repositories.make("calc", &[("calc.py", CALC), ("use.py", "from calc import add\nprint(add(1, 2))\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url } })).await;
    api.rest(&id).await;
    let outputs = outputs(&api.events(&id).await);
    let broken = &outputs[1];
    assert!(broken.starts_with("done:\nM calc.py"), "{broken}");
    let error = "\nsyntax errors that were not there before:\ncalc.py:2:";
    assert!(broken.contains(error) && broken.contains("\n    return (a + b"), "{broken}");
    assert!(outputs[2].starts_with("done:\nM calc.py") && !outputs[2].contains("syntax"), "{}", outputs[2]);
    assert!(outputs[3].contains("\ndata.json:1:7: expected value"), "{}", outputs[3]);
    assert!(outputs[3].contains("\nbash -n: "), "{}", outputs[3]);

    // The brief told of the code, and the analysis is kept for the next task on this commit.
    let requests = ground.model.requests().await;
    let first = requests[0]["body"].to_string();
    assert!(first.contains("## Symbols") && first.contains("1: def add(a, b)"), "{first}");
    let mut connection = sqlx::PgConnection::connect(&ground.database).await.unwrap();
    let kept = "SELECT count(*) FROM analyses";
    let before: i64 = sqlx::query_scalar(kept).fetch_one(&mut connection).await.unwrap();
    // What is kept is what is used: another content under the key is what the next brief tells.
    let mark = "UPDATE analyses SET content = $1";
    let altered = altered(&mut connection).await;
    sqlx::query(mark).bind(altered).execute(&mut connection).await.unwrap();
    // Another process, which has nothing of it in memory.
    service.stop().await;
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "mend add", "repository": { "url": url } })).await;
    api.rest(&id).await;
    let after: i64 = sqlx::query_scalar(kept).fetch_one(&mut connection).await.unwrap();
    assert_eq!((before, after), (1, 1));
    let requests = ground.model.requests().await;
    assert!(requests.last().unwrap()["body"].to_string().contains("def kept_add(a, b)"));
    service.stop().await;
}

async fn altered(connection: &mut sqlx::PgConnection) -> Vec<u8> {
    use std::io::{Read, Write};
    let packed: Vec<u8> = sqlx::query_scalar("SELECT content FROM analyses").fetch_one(connection).await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.replace("def add(a, b)", "def kept_add(a, b)").as_bytes()).unwrap();
    encoder.finish().unwrap()
}
