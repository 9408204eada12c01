//! Tests of the network of whole tasks: commands in real sandboxes, checks, approvals.

use super::world::{Ca, NAMES, Site, answer};
use crate::support::{
    replayed,
    service::{Api, Ground, TestService, call, plan, say},
};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A service whose names lead to the loopback.
pub(super) struct Net {
    pub(super) ground: Ground,
    _settings: TempDir,
}

impl Net {
    pub(super) async fn new(script: &Value, ca: &Ca, settings: &str) -> Self {
        let mut ground = Ground::new(script).await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("settings.toml");
        let names: String = NAMES.iter().map(|name| format!("\"{name}\" = \"127.0.0.1\"\n")).collect();
        std::fs::write(&file, format!("{settings}\n[network.names]\n{names}")).unwrap();
        ground.variables.extend([
            ("JOURNEYMAN_CONFIG".to_owned(), file.display().to_string()),
            ("JOURNEYMAN_PRIVATE_HOSTS".to_owned(), "127.0.0.0/8".to_owned()),
            ("JOURNEYMAN_CA_FILE".to_owned(), ca.file.display().to_string()),
        ]);
        Self { ground, _settings: dir }
    }

    pub(super) async fn start(&self) -> (TestService, Api) {
        let service = self.ground.start().await;
        let api = service.api();
        (service, api)
    }
}

/// The log folds to itself, with its words and without.
pub(super) async fn replays(api: &Api, task: &str) {
    for query in ["", "?redact=true"] {
        let replayed = replayed::fold(&replayed::export(api, task, query).await);
        assert!(replayed.difference.is_none(), "{query}: {:#?}", replayed.difference);
        assert!(replayed.decided > 0);
    }
}

pub(super) fn shell(command: &str) -> Value {
    call("shell", json!({ "command": command }))
}

pub(super) fn outputs(events: &[Value]) -> Vec<String> {
    let completed = events.iter().filter(|event| event["kind"] == "tool.completed");
    completed.map(|event| event["data"]["output"].as_str().unwrap().to_owned()).collect()
}

pub(super) fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["data"]).collect()
}

#[tokio::test]
async fn commands_reach_what_is_listed_by_the_tools_they_know_and_nothing_else() {
    let ca = Ca::new();
    let tls =
        Site::https(ca.server(&["registry.test", "git.test"]), |seen| answer(200, &[], format!("tls {}", seen.line)))
            .await;
    let plain = Site::http(|seen| answer(200, &[], format!("plain {}", seen.line))).await;
    let other = Site::http(|_| answer(200, &[], "reached")).await;
    let (s, p, o) = (tls.port, plain.port, other.port);
    let python = format!(
        "python3 -c \"import urllib.request as u; print(u.urlopen('https://registry.test:{s}/simple/x/').read().decode())\""
    );
    let script = json!({ "sequence": [
        shell(&format!("curl -sS https://registry.test:{s}/a && curl -sS http://a.test:{p}/b")),
        shell(&python),
        shell(&format!("curl -sS http://b.test:{o}/; curl -sS https://b.test:{o}/ || true")),
        shell(&format!("curl -sS --noproxy '*' http://127.0.0.1:{p}/ || echo raw-refused")),
        shell("python3 - <<'E'\nimport socket\nfor family, kind, to in [(socket.AF_INET, socket.SOCK_STREAM, ('93.184.216.34', 80)), (socket.AF_INET, socket.SOCK_DGRAM, ('1.1.1.1', 53)), (socket.AF_INET6, socket.SOCK_STREAM, ('2606:4700::1111', 443))]:\n    s = socket.socket(family, kind); s.settimeout(2)\n    try:\n        s.connect(to); s.send(b'x'); print('CONNECTED', to)\n    except OSError as e:\n        print('no way', to[0])\ntry:\n    socket.getaddrinfo('registry.test', 443); print('RESOLVED')\nexcept OSError:\n    print('no names')\nE"),
        say("Done."),
    ] });
    let net = Net::new(&script, &ca, "").await;
    let (service, api) = net.start().await;
    let hosts = [format!("registry.test:{s}"), format!("a.test:{p}")];
    let body = json!({ "request": "look", "network": { "mode": "allowlist", "hosts": hosts } });
    let task = api.create(&body).await;
    assert_eq!(api.rest(&task).await["status"], "succeeded");
    let events = api.events(&task).await;
    let said = outputs(&events);
    assert!(said[0].contains("tls GET /a") && said[0].contains("plain GET /b"), "{}", said[0]);
    assert!(said[1].contains("tls GET /simple/x/"), "{}", said[1]);
    assert!(said[2].contains(&format!("network refused: b.test:{o}")) && said[2].contains("403"), "{}", said[2]);
    assert!(said[3].contains("raw-refused"), "{}", said[3]);
    assert!(said[4].matches("no way").count() == 3 && said[4].contains("no names"), "{}", said[4]);
    assert_eq!(other.connections(), 0);
    let facts = net.ground.model.requests().await[0].to_string();
    assert!(facts.contains(&format!("Network: only a.test:{p}, registry.test:{s};")), "{facts}");
    let used: Vec<&Value> =
        of_kind(&events, "network.used").into_iter().flat_map(|data| data["hosts"].as_array().unwrap()).collect();
    let of = |host: &str, outcome: &str| {
        let mine = used.iter().filter(|used| used["host"] == host && used["outcome"] == outcome);
        mine.map(|used| used["requests"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((of("registry.test", "allowed"), of("a.test", "allowed"), of("b.test", "refused")), (2, 1, 2));
    assert!(used.iter().any(|used| used["host"] == "registry.test" && used["bytes_in"].as_u64() > Some(500)));
    let used = events.iter().position(|event| event["kind"] == "network.used").unwrap();
    assert_eq!(events[used]["at"], events[used + 1]["at"], "it costs no commit of its own");
    replays(&api, &task).await;
    service.stop().await;
}

/// What a plain file server needs for `git clone`.
fn served(directory: &Path) -> impl Fn(&super::world::Seen) -> super::world::Answer + Send + Sync + 'static {
    let directory = directory.to_owned();
    move |seen| {
        let path = seen.line.split_whitespace().nth(1).unwrap().split('?').next().unwrap();
        match std::fs::read(directory.join(path.trim_start_matches('/'))) {
            Ok(content) => answer(200, &[], content),
            Err(_) => answer(404, &[], ""),
        }
    }
}

#[tokio::test]
async fn git_clones_over_tls_and_two_tasks_at_once_have_their_own_policies() {
    let ca = Ca::new();
    let root = tempfile::tempdir().unwrap();
    let repositories = crate::support::service::Repositories::new();
    repositories.make("lib", &[("lib.py", "LIB = 1\n")]);
    let bare = root.path().join("lib.git");
    let from = repositories.path().join("lib").display().to_string();
    crate::support::service::git(
        repositories.path(),
        &["clone", "--quiet", "--bare", &from, &bare.display().to_string()],
    );
    crate::support::service::git(&bare, &["update-server-info"]);
    let site = Site::https(ca.server(&["git.test"]), served(root.path())).await;
    let port = site.port;
    let script = json!({ "sequence": [
        shell(&format!("git clone --quiet https://git.test:{port}/lib.git /tmp/lib && cat /tmp/lib/lib.py")),
        say("Done."),
    ] });
    let net = Net::new(&script, &ca, "").await;
    let (service, api) = net.start().await;
    let with = |hosts: Vec<String>| json!({ "request": "look", "network": { "mode": "allowlist", "hosts": hosts } });
    let (one, other) =
        (api.create(&with(vec![format!("git.test:{port}")])).await, api.create(&with(vec!["a.test".to_owned()])).await);
    api.rest(&one).await;
    api.rest(&other).await;
    let said = outputs(&api.events(&one).await);
    assert!(said[0].contains("LIB = 1"), "{}", said[0]);
    let said = outputs(&api.events(&other).await);
    assert!(said[0].contains("403") && !said[0].contains("LIB"), "{}", said[0]);
    service.stop().await;
}

#[tokio::test]
async fn a_check_has_the_network_only_if_it_says_so() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], "fine")).await;
    let port = site.port;
    let script = json!({ "sequence": [plan(), shell("echo changed > file.txt"), say("Done.")] });
    let net = Net::new(&script, &ca, "").await;
    net.ground.repositories.make("one", &[("file.txt", "first\n")]);
    let (service, api) = net.start().await;
    let url = format!("file://{}", net.ground.repositories.path().join("one").display());
    let ask = format!("curl -sS --fail http://a.test:{port}/");
    let by_hand = format!("! curl -sS --fail --max-time 5 --proxy http://127.0.0.1:3128 http://a.test:{port}/");
    let body = json!({
        "request": "change", "repository": { "url": url },
        "network": { "mode": "allowlist", "hosts": [format!("a.test:{port}")] },
        "checks": [
            { "name": "with", "command": ask, "network": true },
            { "name": "by hand", "command": by_hand },
            { "name": "without", "command": format!("! {ask}") },
        ],
    });
    let task = api.create(&body).await;
    let task_row = api.rest(&task).await;
    assert_eq!(task_row["result"]["verdict"], "verified", "{task_row:#}");
    assert!(site.connections() >= 1);
    replays(&api, &task).await;
    service.stop().await;
}

#[tokio::test]
async fn people_allow_hosts_for_the_rest_of_the_task() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], "fine")).await;
    let port = site.port;
    let host = format!("a.test:{port}");
    let look = shell(&format!("python3 -c \"import urllib.request as u; print(u.urlopen('http://{host}/').read())\""));
    let script = json!({ "sequence": [
        look,
        call("request_network", json!({ "hosts": [host], "reason": "the data" })),
        look,
        call("request_network", json!({ "hosts": ["b.test"], "reason": "more" })),
        say("Done."),
        look,
        say("Done again."),
    ] });
    let net = Net::new(&script, &ca, "").await;
    let (service, api) = net.start().await;
    // What Python does is no network tool: nobody is asked about it.
    let task = api.create(&json!({ "request": "look", "approval": "on_risk" })).await;
    let waiting = api.rest(&task).await;
    assert_eq!((&waiting["status"], &waiting["waiting_for"]), (&json!("waiting"), &json!("approval")));
    let pending = api.get(&format!("/v1/tasks/{task}/approvals")).await.1["data"][0].clone();
    assert_eq!(pending["kind"], "network");
    assert_eq!(pending["default"], "deny");
    assert_eq!(pending["subject"], json!({ "hosts": [host], "reaches": [host], "reason": "the data" }));
    let id = pending["id"].as_str().unwrap();
    let path = format!("/v1/tasks/{task}/approvals/{id}");
    assert_eq!(api.post(&path, &json!({ "decision": "approve" })).await.0, 200);
    let waiting = api.until(&task, |task| task["usage"]["turns"] == 4 && task["status"] == "waiting").await;
    assert_eq!(waiting["waiting_for"], "approval");
    let page = api.get("/v1/approvals?state=pending").await.1;
    let id = page["data"][0]["id"].as_str().unwrap();
    let path = format!("/v1/tasks/{task}/approvals/{id}");
    assert_eq!(api.post(&path, &json!({ "decision": "deny", "note": "not that one" })).await.0, 200);
    api.until(&task, |task| task["status"] == "succeeded").await;
    // Another process goes on with what was allowed.
    service.stop().await;
    let (service, api) = net.start().await;
    assert_eq!(api.post(&format!("/v1/tasks/{task}/messages"), &json!({ "text": "again" })).await.0, 202);
    api.until(&task, |task| task["run"] == 2 && task["status"] == "succeeded").await;
    let events = api.events(&task).await;
    let said = outputs(&events);
    assert!(!said[0].contains("fine") && said[2].contains("fine") && said[4].contains("fine"), "{said:#?}");
    assert!(said[1].contains(&format!("only {host};")), "{}", said[1]);
    assert!(said[3].starts_with("denied: not approved") && said[3].contains("not that one"), "{}", said[3]);
    assert_eq!(of_kind(&events, "network.allowed"), [&json!({ "call": "call_2_0", "hosts": [host] })]);
    replays(&api, &task).await;
    service.stop().await;
}

#[tokio::test]
async fn the_operators_cap_holds_for_tasks_and_for_what_people_are_asked() {
    let ca = Ca::new();
    let script = json!({ "sequence": [
        call("request_network", json!({ "hosts": ["evil.example"], "reason": "x" })),
        call("request_network", json!({ "hosts": ["not a host"], "reason": "x" })),
        say("Done."),
    ] });
    let net = Net::new(&script, &ca, "[network]\nhosts = [\"preset:npm\", \"*.test\"]\nopen = false").await;
    let (service, api) = net.start().await;
    let new = |network: Value| json!({ "request": "look", "approval": "on_risk", "network": network });
    for (network, pointer) in [
        (json!({ "mode": "open" }), "/network/mode"),
        (json!({ "mode": "allowlist", "hosts": ["a.test", "pypi.org"] }), "/network/hosts/1"),
        (json!({ "mode": "allowlist", "hosts": ["preset:pypi"] }), "/network/hosts/0"),
        (json!({ "mode": "allowlist", "hosts": ["preset:none"] }), "/network/hosts/0"),
        (json!({ "mode": "allowlist", "hosts": ["a.test"], "methods": ["get"] }), "/network/methods/0"),
        (json!({ "mode": "allowlist", "hosts": ["a.test"], "max_mib": 0 }), "/network/max_mib"),
    ] {
        let (status, problem) = api.post("/v1/tasks", &new(network)).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
    }
    let task = api.create(&new(json!({ "mode": "allowlist", "hosts": ["preset:npm", "x.test"] }))).await;
    assert_eq!(api.rest(&task).await["status"], "succeeded");
    let said = outputs(&api.events(&task).await);
    assert!(said[0].contains("the operator's settings let no task reach evil.example"), "{said:#?}");
    assert!(said[1].contains("\"not a host\" must be a host name"), "{said:#?}");
    let requests = net.ground.model.requests().await;
    assert!(requests[0].to_string().contains("registry.npmjs.org, registry.yarnpkg.com, x.test;"));
    replays(&api, &task).await;
    // Where nobody is asked, there is no such tool.
    net.ground.model.forget().await;
    let task = api.create(&json!({ "request": "look" })).await;
    api.rest(&task).await;
    let requests = net.ground.model.requests().await;
    assert!(!requests[0]["tools"].to_string().contains("request_network"));
    let said = outputs(&api.events(&task).await);
    assert!(said[0].contains("cannot be used in this task"), "{said:#?}");
    service.stop().await;
}

#[tokio::test]
async fn a_broker_s_secret_goes_out_to_its_host_and_is_never_inside() {
    const VALUE: &str = "canary-of-a-broker-4711-long";
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |seen| {
        let told = seen.headers.get("authorization").cloned().unwrap_or_default();
        answer(200, &[("x-echo", told.as_str())], format!("heard {told}"))
    })
    .await;
    let other = Site::https(ca.server(&["git.test"]), |_| answer(200, &[], "fine")).await;
    let (port, elsewhere) = (site.port, other.port);
    let ask = |host: &str, port: u16| {
        shell(&format!("curl -sS -i -H \"Authorization: Bearer $REGISTRY_TOKEN\" https://{host}:{port}/; env"))
    };
    let script = json!({ "sequence": [ask("registry.test", port), ask("git.test", elsewhere), say("Done.")] });
    let net = Net::new(&script, &ca, "").await;
    let (service, api) = net.start().await;
    let hosts = [format!("registry.test:{port}"), format!("git.test:{elsewhere}")];
    let environment = json!({ "name": "with a token", "network": { "mode": "allowlist", "hosts": hosts } });
    let (status, made) = api.post("/v1/environments", &environment).await;
    assert_eq!(status, 201, "{made:#}");
    let path = format!("/v1/environments/{}/secrets/REGISTRY_TOKEN", made["id"].as_str().unwrap());
    let secret = json!({ "value": VALUE, "use": "broker", "hosts": [hosts[0]] });
    let put = api.http.put(format!("{}{path}", api.base)).bearer_auth(&api.key).json(&secret).send().await.unwrap();
    assert_eq!(put.status(), 204, "{}", put.text().await.unwrap());
    let task = api.create(&json!({ "request": "look", "environment": "with a token" })).await;
    assert_eq!(api.rest(&task).await["status"], "succeeded");
    let events = api.events(&task).await;
    let said = outputs(&events);
    assert_eq!(site.seen()[0].headers["authorization"], format!("Bearer {VALUE}"));
    let handle = other.seen()[0].headers["authorization"].clone();
    assert!(handle.starts_with("Bearer jm-secret-"), "another host gets the handle alone: {handle}");
    assert!(said[0].contains("heard Bearer") && said[0].contains("REGISTRY_TOKEN=jm-secret-"), "{}", said[0]);
    let all = json!([events, net.ground.model.requests().await]).to_string();
    assert!(!all.contains(VALUE) && !all.contains("canary-of-a-broker"), "the value was seen inside");
    replays(&api, &task).await;
    service.stop().await;
}

#[tokio::test]
async fn a_setup_reaches_what_its_own_policy_allows_and_its_tasks_do_not() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], "a library")).await;
    let host = format!("a.test:{}", site.port);
    let script = json!({ "sequence": [
        shell(&format!("cat node_modules/lib; curl -sS --max-time 5 http://{host}/ || echo nothing is reached")),
        say("Done."),
    ] });
    let net = Net::new(&script, &ca, "").await;
    net.ground.repositories.make("one", &[("package.json", "{}\n"), (".gitignore", "node_modules\n")]);
    let (service, api) = net.start().await;
    let environment = json!({
        "name": "fetches", "setup": format!("mkdir -p node_modules && curl -sS --fail http://{host}/ > node_modules/lib"),
        "setup_network": { "mode": "allowlist", "hosts": [host] },
    });
    let (status, made) = api.post("/v1/environments", &environment).await;
    assert_eq!(status, 201, "{made:#}");
    let url = format!("file://{}", net.ground.repositories.path().join("one").display());
    let body = json!({ "request": "look", "mode": "answer", "repository": { "url": url }, "environment": "fetches" });
    let task = api.create(&body).await;
    let ended = api.rest(&task).await;
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
    let said = outputs(&api.events(&task).await);
    assert!(said[0].contains("a library") && said[0].contains("nothing is reached"), "{}", said[0]);
    assert_eq!(site.connections(), 1, "the setup's alone");
    let events = api.events(&task).await;
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let completed = kinds.iter().position(|kind| *kind == "setup.completed").unwrap();
    assert_eq!(kinds[completed + 1], "network.used", "{kinds:?}");
    let told = &events[completed + 1]["data"];
    assert_eq!((&told["setup"], &told["hosts"][0]["requests"]), (&json!(true), &json!(1)), "{told}");
    assert!(told["bytes"].as_u64() > Some(100) && told["hosts"][0]["outcome"] == "allowed", "{told}");
    assert_eq!(of_kind(&events, "network.used").len(), 1, "the task itself has no way out: {events:#?}");
    replays(&api, &task).await;

    // One that fails tells what it reached, too, before the task ends.
    let environment = json!({
        "name": "fails", "setup": format!("curl -sS --fail http://{host}/; curl -sS https://b.test/; exit 4"),
        "setup_network": { "mode": "allowlist", "hosts": [host] },
    });
    assert_eq!(api.post("/v1/environments", &environment).await.0, 201);
    let body = json!({ "request": "look", "repository": { "url": url }, "environment": "fails" });
    let task = api.create(&body).await;
    assert_eq!(api.rest(&task).await["error"]["code"], "workspace_failed");
    let events = api.events(&task).await;
    let output = of_kind(&events, "setup.completed")[0]["output"].as_str().unwrap();
    assert!(output.contains("a library") && output.contains("403"), "{output}");
    let hosts = of_kind(&events, "network.used")[0]["hosts"].to_string();
    assert!(hosts.contains("a.test") && hosts.contains("b.test") && hosts.contains("refused"), "{hosts}");
    replays(&api, &task).await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_task_may_load_is_counted_over_workspaces_runs_and_processes() {
    let ca = Ca::new();
    let site = Site::http(|_| answer(200, &[], vec![b'x'; 400 << 10])).await;
    let host = format!("a.test:{}", site.port);
    let load = shell(&format!("curl -sS --fail http://{host}/ | wc -c"));
    let script = json!({ "sequence": [load, say("Done."), load, say("Done."), load, say("Done.")] });
    let net = Net::new(&script, &ca, "").await;
    let network = json!({ "mode": "allowlist", "hosts": [host], "max_mib": 1 });
    let (mut service, mut api) = net.start().await;
    let task = api.create(&json!({ "request": "look", "network": network })).await;
    for run in 1..=3 {
        api.until(&task, |task| task["run"] == run && task["status"] == "succeeded").await;
        service.stop().await;
        (service, api) = net.start().await;
        if run < 3 {
            assert_eq!(api.post(&format!("/v1/tasks/{task}/messages"), &json!({ "text": "again" })).await.0, 202);
        }
    }
    let events = api.events(&task).await;
    let said = outputs(&events);
    let whole = (400 << 10).to_string();
    assert!(said[0].contains(&whole) && said[1].contains(&whole), "{said:#?}");
    assert!(!said[2].contains(&whole), "the third goes beyond the task's limit: {said:#?}");
    let told = of_kind(&events, "network.used");
    let bytes: u64 = told.iter().map(|told| told["bytes"].as_u64().unwrap_or(0)).sum();
    assert!((1 << 20..1_100_000).contains(&bytes), "{bytes}: {told:#?}");
    assert!(json!(told).to_string().contains("more than 1 MiB"), "{told:#?}");
    replays(&api, &task).await;
    // Another task of the same begins from nothing.
    let other = api.create(&json!({ "request": "look", "network": network })).await;
    api.rest(&other).await;
    assert!(outputs(&api.events(&other).await)[0].contains(&whole));
    service.stop().await;
}
