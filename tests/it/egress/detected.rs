//! Tasks without an environment: what package managers would install is found, installed and there for the checks.

use super::{
    registries::{made, registry},
    tasks::Net,
    world::{Ca, Site},
};
use crate::support::{
    replayed,
    service::{Api, call, plan, say},
};
use serde_json::{Value, json};

const CHECK: &str = "python3 -c 'import tiny' && node -e 'require(\"tinyjs\")' && grep -q 'a + b' calc.py";

fn script() -> Value {
    let look = "python3 -c 'import tiny; print(tiny.SAYS)'; node -e 'console.log(require(\"tinyjs\"))'; git status --porcelain";
    json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": call("shell", json!({ "command": look })) },
        { "when": { "calls": 2 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] })
}

async fn of_kind(api: &Api, task: &str, kind: &str) -> Vec<Value> {
    api.events(task)
        .await
        .into_iter()
        .filter(|event| event["kind"] == kind)
        .map(|event| event["data"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_package_managers_would_install_is_there_for_the_agent_and_for_the_checks() {
    let ca = Ca::new();
    let root = tempfile::tempdir().unwrap();
    made(root.path());
    let site = Site::https(ca.server(&["registry.test"]), registry(root.path())).await;
    let host = format!("registry.test:{}", site.port);
    let mut net = Net::new(&script(), &ca, "").await;
    net.ground.variables.push(("JOURNEYMAN_SETUP_NETWORK".to_owned(), host.clone()));
    let files = [
        ("calc.py", "def add(a, b):\n    return a - b\n".to_owned()),
        ("requirements.txt", format!("--index-url https://{host}/simple\ntiny\n")),
        ("package.json", json!({ "name": "app", "dependencies": { "tinyjs": "1.0.0" } }).to_string()),
        (".npmrc", format!("registry=https://{host}\n")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let url = net.ground.repositories.make("calc", &files);
    let (service, api) = net.start().await;
    let request = json!({ "request": "mend add", "checks": [CHECK], "repository": { "url": url } });

    let first = api.create(&request).await;
    let task = api.rest(&first).await;
    let completed = of_kind(&api, &first, "setup.completed").await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}\n{completed:#?}");
    let started = of_kind(&api, &first, "setup.started").await;
    let commands = json!(["npm install", "python3 -m pip install -r requirements.txt"]);
    let mut told = started[0]["commands"].as_array().unwrap().clone();
    told.sort_by_key(ToString::to_string);
    assert_eq!((started.len(), &started[0]["environment"], json!(told)), (1, &Value::Null, commands));
    assert_eq!((&completed[0]["outcome"], &completed[0]["cached"]), (&json!("ok"), &json!(false)));
    let looked = of_kind(&api, &first, "tool.completed").await;
    let looked = looked.iter().find(|data| data["tool"] == "shell").unwrap()["output"].to_string();
    assert!(looked.contains("hello from a wheel") && looked.contains("hello from npm"), "{looked}");
    assert_eq!(task["result"]["patch"]["files"], 1, "nothing of the packages is in the patch: {task:#}");
    let prompt = net.ground.model.requests().await[0].to_string();
    assert!(prompt.contains("has run before: what it installed"), "{prompt}");

    // The next task finds it, with the registry away.
    drop(site);
    let second = api.create(&request).await;
    let task = api.rest(&second).await;
    assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
    assert_eq!(of_kind(&api, &second, "setup.started").await.len(), 0);
    for task in [&first, &second] {
        let replayed = replayed::fold(&replayed::export(&api, task, "").await);
        assert!(replayed.difference.is_none(), "{:?}", replayed.difference);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_setup_that_fails_is_told_and_not_tried_by_each_task_anew() {
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |_| super::world::answer(404, &[], "gone")).await;
    let host = format!("registry.test:{}", site.port);
    let mut net = Net::new(&script(), &ca, "").await;
    net.ground.variables.push(("JOURNEYMAN_SETUP_NETWORK".to_owned(), host.clone()));
    let requirements = format!("--index-url https://{host}/simple\ntiny\n");
    let files = [("calc.py", "def add(a, b):\n    return a - b\n"), ("requirements.txt", &requirements)];
    let url = net.ground.repositories.make("calc", &files);
    let (service, api) = net.start().await;
    let request = json!({ "request": "mend add", "checks": ["grep -q 'a + b' calc.py"], "repository": { "url": url } });
    for (at, cached) in [false, true].into_iter().enumerate() {
        let id = api.create(&request).await;
        let task = api.rest(&id).await;
        assert_eq!(task["result"]["verdict"], "verified", "{task:#}");
        let completed = of_kind(&api, &id, "setup.completed").await;
        assert_eq!((&completed[0]["outcome"], &completed[0]["cached"]), (&json!("error"), &json!(cached)), "{at}");
        assert!(completed[0]["output"].as_str().unwrap().contains("tiny"), "{completed:#?}");
        assert_eq!(of_kind(&api, &id, "setup.started").await.len(), usize::from(!cached));
        let prompt = net.ground.model.requests().await.last().unwrap().to_string();
        assert!(prompt.contains("packages that the repository needs may be missing"), "{prompt}");
    }
    // Questions need no packages.
    let id = api.create(&json!({ "request": "what is it?", "mode": "answer", "repository": { "url": url } })).await;
    api.rest(&id).await;
    assert_eq!(of_kind(&api, &id, "setup.completed").await.len(), 0);
    service.stop().await;
}
