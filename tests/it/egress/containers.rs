//! A whole task in containers: an image, a setup and what it left, a start, hosts, a broker's secret.

use super::{
    tasks::{Net, of_kind, outputs, replays, shell},
    world::{Ca, Site, answer},
};
use crate::support::{
    engine::{self, BUSYBOX, HOST},
    service::{call, plan, say},
};
use serde_json::json;

const VALUE: &str = "canary-of-a-broker-4711-long";

#[tokio::test(flavor = "multi_thread")]
async fn tasks_in_containers_have_the_hosts_setups_and_secrets_that_others_have() {
    let engine = engine::shared().await;
    let ca = Ca::new();
    let site = Site::https(ca.server(&["registry.test"]), |seen| {
        let told = seen.headers.get("authorization").cloned().unwrap_or_default();
        answer(200, &[], format!("heard {told}"))
    })
    .await;
    let library = Site::http(|_| answer(200, &[], "a library")).await;
    let other = Site::http(|_| answer(200, &[], "reached")).await;
    let (s, l, o) = (site.port, library.port, other.port);
    let python = format!(
        "python3 -c \"import urllib.request as u; print(u.urlopen('https://registry.test:{s}/').read().decode())\""
    );
    let look = format!(
        "cat node_modules/lib; for i in $(seq 200); do [ -s /tmp/begun ] && break; sleep 0.05; done; cat /tmp/begun; git --version; \
         echo $(id -u) $(stat -c %u node_modules/lib); curl -sS --max-time 5 http://a.test:{l}/"
    );
    let reach = format!(
        "curl -sS -H \"Authorization: Bearer $REGISTRY_TOKEN\" https://registry.test:{s}/; {python}; curl -sS http://b.test:{o}/; \
         curl -sS --noproxy '*' --max-time 5 http://127.0.0.1:{o}/ || echo raw-refused; env"
    );
    let script = json!({ "rules": [
        { "when": { "calls": 0 }, "reply": plan() },
        { "when": { "calls": 1 }, "reply": shell(&look) },
        { "when": { "calls": 2 }, "reply": shell(&reach) },
        { "when": { "calls": 3 }, "reply": call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" })) },
        { "when": {}, "reply": say("Mended.") },
    ] });
    let mut net = Net::new(&script, &ca, "").await;
    // Its own workspaces have no git and no Python; those of the environment's image do.
    net.ground.variables.extend(engine.variables(BUSYBOX));
    let files =
        [("calc.py", "def add(a, b):\n    return a - b\n"), ("package.json", "{}\n"), (".gitignore", "node_modules\n")];
    net.ground.repositories.make("one", &files);
    let (service, api) = net.start().await;
    let environment = json!({
        "name": "contained", "image": HOST,
        "setup": format!("mkdir -p node_modules && curl -sS --fail http://a.test:{l}/ > node_modules/lib"),
        "setup_network": { "mode": "allowlist", "hosts": [format!("a.test:{l}")] },
        "start": "echo begun > /tmp/begun; sleep 600",
        "network": { "mode": "allowlist", "hosts": [format!("registry.test:{s}")] },
        "checks": ["grep -q 'a + b' calc.py && test -s node_modules/lib && python3 -c 'import calc; assert calc.add(2, 3) == 5'"],
    });
    let (status, made) = api.post("/v1/environments", &environment).await;
    assert_eq!(status, 201, "{made:#}");
    let path = format!("{}/v1/environments/{}/secrets/REGISTRY_TOKEN", api.base, made["id"].as_str().unwrap());
    let secret = json!({ "value": VALUE, "use": "broker", "hosts": [format!("registry.test:{s}")] });
    let put = api.http.put(path).bearer_auth(&api.key).json(&secret).send().await.unwrap();
    assert_eq!(put.status(), 204, "{}", put.text().await.unwrap());
    let url = format!("file://{}", net.ground.repositories.path().join("one").display());
    let body = json!({ "request": "mend add", "repository": { "url": url }, "environment": "contained" });
    for cached in [false, true] {
        let task = api.create(&body).await;
        let ended = api.until(&task, |task| !matches!(task["status"].as_str(), Some("queued" | "running"))).await;
        let events = api.events(&task).await;
        assert_eq!(ended["result"]["verdict"], "verified", "{ended:#} {events:#?}");
        let setups = of_kind(&events, "setup.completed");
        assert_eq!(setups.iter().map(|setup| &setup["cached"]).collect::<Vec<_>>(), [&json!(cached)]);
        let said = outputs(&events);
        let (look, reach) = (&said[said.len() - 3], &said[said.len() - 2]);
        assert!(look.contains("a librarybegun\ngit version") && look.contains("network refused: a.test"), "{look}");
        let uids =
            look.lines().find(|line| line.split(' ').count() == 2 && line.starts_with(|c: char| c.is_ascii_digit()));
        let (own, of_file) = uids.unwrap().split_once(' ').unwrap();
        assert_eq!(own, of_file, "the task owns what it finds");
        assert!(reach.contains("heard Bearer") && reach.contains("heard \n"), "{reach}");
        assert!(reach.contains(&format!("network refused: b.test:{o}")) && reach.contains("raw-refused"), "{reach}");
        assert!(reach.contains("REGISTRY_TOKEN=jm-secret-"), "{reach}");
        let all = json!([events, net.ground.model.requests().await]).to_string();
        assert!(!all.contains(VALUE), "the value was seen inside");
        replays(&api, &task).await;
    }
    assert!(site.seen().iter().any(|seen| seen.headers.get("authorization") == Some(&format!("Bearer {VALUE}"))));
    assert_eq!((library.connections(), other.connections()), (1, 0), "the setup alone, and nobody");
    service.stop().await;
}
