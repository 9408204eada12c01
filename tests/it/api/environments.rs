//! Environments, their secrets, git credentials: managed by admins, read by all of the team, secrets by nobody.

use super::harness::{ADMIN, Server, server};
use base64::Engine;
use journeyman::{
    app::{self, AdminAction},
    clock,
    config::{Environment, Settings},
    domain::{Role, TeamId, git_credential::GitCredentialKind},
    net::AddressPolicy,
    runner::Vault,
    secrets::{Keyring, SealError},
    store::{environments, git_credentials, sealed},
    workspace::source::validate_url,
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const CANARY: &str = "canary-5f2c/9b1e+77aa";
/// Of `ssh-keygen -t ed25519 -N x`: its beginning names the cipher.
const LOCKED_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBmAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
const SSH_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n";

async fn put(server: &Server, path: &str, key: &str, body: &Value) -> super::harness::Reply {
    server.send(server.request(Method::PUT, path, key).json(body)).await
}

#[tokio::test]
async fn an_environment_is_made_read_changed_and_deleted() {
    let server = server().await;
    let whole = json!({
        "name": "backend", "image": "docker.io/library/python:3.13", "setup": "pip install -r requirements.txt",
        "start": "redis-server", "variables": { "CI": "yes" },
        "checks": ["pytest -q", { "name": "lint", "command": "ruff check", "required": false }],
        "limits": { "turns": 20 }, "network": { "mode": "allowlist", "hosts": ["PyPI.org"] },
        "setup_network": { "mode": "open" }, "setup_optional": true, "setup_timeout_seconds": 60,
    });
    let made = server.post("/v1/environments", ADMIN, &whole).await.expect(201);
    let environment = made.json();
    let path = format!("/v1/environments/{}", made.id());
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_eq!(environment["snapshot"], json!({ "state": "none", "created_at": null }));
    assert_eq!(environment["network"], json!({ "mode": "allowlist", "hosts": ["pypi.org"] }));
    assert_eq!(
        (&environment["checks"][0]["command"], &environment["checks"][1]["name"]),
        (&json!("pytest -q"), &json!("lint"))
    );
    assert_eq!(environment["limits"], json!({ "turns": 20 }));
    let got = server.get(&path, ADMIN).await.expect(200);
    assert_eq!(got.json(), environment);
    let tag = got.header("etag").unwrap().to_owned();
    server.send(server.request(Method::GET, &path, ADMIN).header("if-none-match", tag)).await.expect(304);
    // What it shows can be given back.
    let edit =
        json!({ "checks": environment["checks"], "network": environment["network"], "image": null, "setup": "make" });
    let edited = server.patch(&path, ADMIN, &edit).await.expect(200).json();
    assert_eq!(
        (&edited["image"], &edited["setup"], &edited["checks"]),
        (&Value::Null, &json!("make"), &environment["checks"])
    );
    assert_eq!((&edited["start"], &edited["limits"]), (&json!("redis-server"), &json!({ "turns": 20 })));
    assert_eq!(server.get("/v1/environments", ADMIN).await.expect(200).json()["data"], json!([edited]));
    let taken = server.post("/v1/environments", ADMIN, &json!({ "name": "backend" })).await.expect(409).json();
    assert_eq!(taken["code"], "name_taken");
    let other = server.post("/v1/environments", ADMIN, &json!({ "name": "other" })).await.expect(201).id();
    server.patch(&format!("/v1/environments/{other}"), ADMIN, &json!({ "name": "backend" })).await.expect(409);
    server.delete(&path, ADMIN).await.expect(204);
    server.delete(&path, ADMIN).await.expect(404);
    server.get(&path, ADMIN).await.expect(404);
    server.post("/v1/environments", ADMIN, &json!({ "name": "backend" })).await.expect(201);
}

#[tokio::test]
async fn what_is_wrong_with_an_environment_is_named() {
    let server = server().await;
    for (body, pointer) in [
        (json!({}), "/name"),
        (json!({ "name": " " }), "/name"),
        (json!({ "name": clock::new_id::<Uuid>() }), "/name"),
        (json!({ "name": "x", "image": "--privileged" }), "/image"),
        (json!({ "name": "x", "setup": "x".repeat((64 << 10) + 1) }), "/setup"),
        (json!({ "name": "x", "variables": { "2x": "y" } }), "/variables/2x"),
        (json!({ "name": "x", "variables": { "X": 1 } }), "/variables/X"),
        (json!({ "name": "x", "checks": [{ "name": "y" }] }), "/checks/0"),
        (json!({ "name": "x", "checks": [""] }), "/checks/0/command"),
        (json!({ "name": "x", "limits": { "turns": 0 } }), "/limits/turns"),
        (json!({ "name": "x", "network": { "mode": "sometimes" } }), "/network/mode"),
        (json!({ "name": "x", "setup_network": { "mode": "off", "hosts": ["a.org"] } }), "/setup_network/hosts"),
        (json!({ "name": "x", "setup_timeout_seconds": 0 }), "/setup_timeout_seconds"),
        (json!({ "name": "x", "secrets": {} }), "/secrets"),
        (json!({ "name": "x", "snapshot": { "state": "ready" } }), "/snapshot"),
    ] {
        let pointers = server.post("/v1/environments", ADMIN, &body).await.pointers();
        assert!(pointers[0].starts_with(pointer), "{body}: {pointers:?}");
    }
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let server = server().await;
    let id = server.post("/v1/environments", ADMIN, &json!({ "name": "backend" })).await.expect(201).id();
    let secrets = format!("/v1/environments/{id}/secrets");
    let body = json!({ "value": CANARY, "use": "setup" });
    assert!(put(&server, &format!("{secrets}/NPM_TOKEN"), ADMIN, &body).await.expect(204).bytes.is_empty());
    let broker = json!({ "value": CANARY, "use": "broker", "hosts": ["api.example.org"] });
    put(&server, &format!("{secrets}/API_KEY"), ADMIN, &broker).await.expect(204);
    let listed = server.get(&secrets, ADMIN).await.expect(200);
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(CANARY));
    let rows = listed.json()["data"].as_array().unwrap().clone();
    let shown = |row: &Value| json!([row["name"], row["use"], row["hosts"]]);
    assert_eq!(
        rows.iter().map(shown).collect::<Vec<_>>(),
        [json!(["API_KEY", "broker", ["api.example.org"]]), json!(["NPM_TOKEN", "setup", []]),]
    );
    let page = server.get(&format!("{secrets}?limit=1"), ADMIN).await.expect(200).json();
    let next = page["next_cursor"].as_str().unwrap().to_owned();
    let second = server.get(&format!("{secrets}?limit=1&cursor={next}"), ADMIN).await.expect(200).json();
    assert_eq!(second["data"][0]["name"], "NPM_TOKEN");
    for (name, body, pointer) in [
        ("X", json!({}), "/value"),
        ("X", json!({ "value": "" }), "/value"),
        ("X", json!({ "value": "x".repeat((16 << 10) + 1) }), "/value"),
        ("X", json!({ "value": "x", "use": "print" }), "/use"),
        ("X", json!({ "value": "x", "use": "broker" }), "/hosts"),
        ("X", json!({ "value": "x", "hosts": ["http://a"] }), "/hosts/0"),
        ("1X", json!({ "value": "x" }), "/name"),
    ] {
        assert_eq!(put(&server, &format!("{secrets}/{name}"), ADMIN, &body).await.pointers(), [pointer], "{body}");
    }
    server.delete(&format!("{secrets}/%00"), ADMIN).await.expect(404);
    let unknown = format!("/v1/environments/{}/secrets/X", clock::new_id::<Uuid>());
    put(&server, &unknown, ADMIN, &body).await.expect(404);

    // Sealed for just this owner, under a key that is not beside it.
    let team = TeamId(server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().parse().unwrap());
    let rows = environments::sealed(&server.store, team, id.parse().unwrap()).await.unwrap();
    let (row, value) = &rows[1];
    let owner = sealed::of_environment(team, id.parse().unwrap(), &row.name);
    let keyring = Keyring::new(&[7; 32], &[]);
    assert_eq!(keyring.open(&owner, value).unwrap().expose(), CANARY);
    let other = sealed::of_environment(team, id.parse().unwrap(), "API_KEY");
    assert!(matches!(keyring.open(&other, value), Err(SealError::Damaged { .. })));
    assert!(!value.sealed.windows(6).any(|window| window == b"canary"));

    server.delete(&format!("{secrets}/API_KEY"), ADMIN).await.expect(204);
    server.delete(&format!("{secrets}/API_KEY"), ADMIN).await.expect(404);
    server.delete(&format!("/v1/environments/{id}"), ADMIN).await.expect(204);
    assert!(environments::sealed(&server.store, team, id.parse().unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn git_credentials_are_kept_without_being_shown() {
    let server = server().await;
    let body = json!({
        "host": "Git.Example.org:8443", "kind": "token", "username": "bot", "secret": CANARY, "repositories": ["team/*"],
    });
    let send = || {
        let request = server.request(Method::POST, "/v1/git_credentials", ADMIN);
        server.send(request.header("idempotency-key", "once").json(&body))
    };
    let made = send().await.expect(201);
    assert_eq!(send().await.expect(201).json(), made.json());
    let path = format!("/v1/git_credentials/{}", made.id());
    let credential = made.json();
    assert_eq!(
        (&credential["host"], &credential["repositories"]),
        (&json!("git.example.org:8443"), &json!(["team/*"]))
    );
    for text in [made.bytes.clone(), server.get(&path, ADMIN).await.expect(200).bytes] {
        assert!(!String::from_utf8_lossy(&text).contains("canary"));
        assert!(!String::from_utf8_lossy(&text).contains("\"secret\""));
    }
    let edited =
        server.patch(&path, ADMIN, &json!({ "repositories": null, "username": "robot" })).await.expect(200).json();
    assert_eq!((&edited["repositories"], &edited["username"]), (&Value::Null, &json!("robot")));
    // A secret is not sent where its giver did not send it.
    assert_eq!(server.patch(&path, ADMIN, &json!({ "host": "evil.example" })).await.pointers(), ["/secret"]);
    let ssh = json!({ "host": "git.example.org", "kind": "ssh", "secret": SSH_KEY,
        "known_hosts": "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n# a comment\n" });
    server.post("/v1/git_credentials", ADMIN, &ssh).await.expect(201);
    assert_eq!(server.get("/v1/git_credentials", ADMIN).await.expect(200).json()["data"].as_array().unwrap().len(), 2);
    for (change, pointer) in [
        (json!({ "host": "https://git.example.org" }), "/host"),
        (json!({ "host": "" }), "/host"),
        (json!({ "kind": "password" }), "/kind"),
        (json!({ "secret": "" }), "/secret"),
        (json!({ "secret": "two\nlines" }), "/secret"),
        (json!({ "repositories": ["a["] }), "/repositories/0"),
        (json!({ "known_hosts": "x" }), "/known_hosts"),
        (json!({ "kind": "ssh" }), "/secret"),
        (json!({ "kind": "ssh", "secret": LOCKED_KEY }), "/secret"),
        (json!({ "kind": "ssh", "secret": SSH_KEY, "username": "-o" }), "/username"),
        (json!({ "kind": "ssh", "secret": SSH_KEY, "known_hosts": "junk" }), "/known_hosts"),
        (json!({ "token": "x" }), "/token"),
    ] {
        let mut body = json!({ "host": "git.example.org", "kind": "token", "secret": "a-token" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(server.post("/v1/git_credentials", ADMIN, &body).await.pointers()[0], pointer, "{change}");
    }
    server.delete(&path, ADMIN).await.expect(204);
    server.delete(&path, ADMIN).await.expect(404);
}

#[tokio::test]
async fn an_environment_that_is_asked_for_twice_is_made_once() {
    let server = server().await;
    let body = json!({ "name": "backend", "caches": ["PIP_CACHE_DIR"] });
    let send = async |body: &Value, key: &str| {
        let request = server.request(Method::POST, "/v1/environments", ADMIN).header("idempotency-key", key);
        server.send(request.json(body)).await
    };
    let made = send(&body, "once").await.expect(201);
    assert_eq!(send(&body, "once").await.expect(201).bytes, made.bytes);
    assert_eq!(send(&json!({ "name": "other" }), "once").await.expect(422).json()["code"], "idempotency_key_reused");
    assert_eq!(send(&body, "again").await.expect(409).json()["code"], "name_taken");
    // Deleted meanwhile: what was answered is answered again, and nothing is made.
    server.delete(&format!("/v1/environments/{}", made.id()), ADMIN).await.expect(204);
    assert_eq!(send(&body, "once").await.expect(201).bytes, made.bytes);
    assert!(server.get("/v1/environments", ADMIN).await.json()["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_credential_is_for_the_paths_and_ports_that_it_names() {
    let server = server().await;
    let team = TeamId(server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().parse().unwrap());
    for (name, host, repositories) in [
        ("one", "git.example.org", json!(["team/*"])),
        ("deep", "deep.example.org", json!(["team/**"])),
        ("port", "git.example.org:8443", Value::Null),
    ] {
        let body =
            json!({ "host": host, "kind": "token", "username": name, "secret": CANARY, "repositories": repositories });
        server.post("/v1/git_credentials", ADMIN, &body).await.expect(201);
    }
    let vault = Vault::new(server.store.clone(), Keyring::new(&[7; 32], &[]));
    let chosen = async |url: &str| {
        let url = validate_url(url, &AddressPolicy::default(), &[]).ok()?;
        let found = vault.git_credential(team, &url).await.unwrap()?;
        Some((found.username.unwrap(), found.names_port))
    };
    let one = Some(("one".to_owned(), false));
    for url in [
        "https://git.example.org/team/app",
        "https://git.example.org/team/app.git",
        "https://GIT.example.org/TEAM/app/",
        "https://git.example.org:443/team/app",
        "https://git.example.org/team/%61pp",
        "https://git.example.org/other/../team/app",
    ] {
        assert_eq!(chosen(url).await, one, "{url}");
    }
    let deep = Some(("deep".to_owned(), false));
    assert_eq!(chosen("https://deep.example.org/team/a/b/c").await, deep);
    for url in [
        "https://git.example.org/team",
        "https://git.example.org/team/sub/app",
        "https://git.example.org/team/../other/app",
        "https://git.example.org/other/app",
        "https://git.example.org.evil.example/team/app",
        "https://deep.example.org/team/../other/app",
        "https://deep.example.org/team/%2e%2e/other/app",
        "https://deep.example.org/team/..%2fother/app",
        "https://deep.example.org/team%2fapp",
        "https://deep.example.org/team//app",
        "https://deep.example.org/team/.%5c./app",
        "git@git.example.org:team/app",
    ] {
        assert_eq!(chosen(url).await, None, "{url}");
    }
    assert_eq!(chosen("https://git.example.org:8443/any/thing").await, Some(("port".to_owned(), true)));
    assert_eq!(chosen("https://deep.example.org:8443/any/thing").await, None);
    // For another port than the scheme's own it is not named: git gets it on the operator's own networks alone.
    assert_eq!(chosen("https://git.example.org:9000/team/app").await, one);
}

#[tokio::test]
async fn members_use_environments_and_admins_manage_them() {
    let server = server().await;
    let (_, member) = server.user("default", "mia", Role::Member, None).await;
    let (_, viewer) = server.user("default", "vera", Role::Viewer, None).await;
    let environment =
        json!({ "name": "backend", "network": { "mode": "open" }, "checks": ["make test"], "limits": { "turns": 7 } });
    let id = server.post("/v1/environments", ADMIN, &environment).await.expect(201).id();
    let path = format!("/v1/environments/{id}");
    for key in [&member, &viewer] {
        server.get("/v1/environments", key).await.expect(200);
        server.get(&path, key).await.expect(200);
        server.get("/v1/git_credentials", key).await.expect(200);
        server.post("/v1/environments", key, &json!({ "name": "mine" })).await.expect(403);
        server.patch(&path, key, &json!({ "setup": "x" })).await.expect(403);
        server.delete(&path, key).await.expect(403);
        put(&server, &format!("{path}/secrets/X"), key, &json!({ "value": "x" })).await.expect(403);
        server.delete(&format!("{path}/secrets/X"), key).await.expect(403);
    }
    // Its network was opened by an admin.
    for named in ["backend", id.as_str()] {
        let task =
            server.post("/v1/tasks", &member, &json!({ "request": "x", "environment": named })).await.expect(201);
        assert_eq!((&task.json()["environment"], &task.json()["limits"]["turns"]), (&json!(named), &json!(7)));
    }
    let unknown = json!({ "request": "x", "environment": "no such one" });
    assert_eq!(server.post("/v1/tasks", &member, &unknown).await.pointers(), ["/environment"]);
}

#[tokio::test]
async fn a_task_keeps_what_its_environment_said_when_it_was_created() {
    let server = server().await;
    let environment = json!({
        "name": "backend", "setup": "npm ci", "variables": { "A": "1" }, "checks": ["make test"],
        "limits": { "turns": 7, "refinements": 1 }, "network": { "mode": "allowlist", "hosts": ["a.org"] },
    });
    let id = server.post("/v1/environments", ADMIN, &environment).await.expect(201).id();
    let body = json!({ "request": "x", "environment": "backend", "limits": { "turns": 9 } });
    let task = server.post("/v1/tasks", ADMIN, &body).await.expect(201).id();
    let own = json!({ "request": "x", "environment": "backend", "checks": ["true"], "network": { "mode": "off" } });
    let own = server.post("/v1/tasks", ADMIN, &own).await.expect(201).id();
    server.delete(&format!("/v1/environments/{id}"), ADMIN).await.expect(204);
    let spec = async |task: &str| {
        let events = server.get(&format!("/v1/tasks/{task}/events"), ADMIN).await.expect(200).json();
        events["data"][0]["data"]["spec"].clone()
    };
    let kept = spec(&task).await;
    assert_eq!((&kept["pinned"]["setup"], &kept["pinned"]["variables"]), (&json!("npm ci"), &json!({ "A": "1" })));
    assert_eq!((&kept["limits"]["turns"], &kept["limits"]["refinements"]), (&json!(9), &json!(1)));
    assert_eq!((&kept["checks"][0]["command"], &kept["network"]["mode"]), (&json!("make test"), &json!("allowlist")));
    assert_eq!(kept["checks"][0]["source"], "repository", "the task has named none");
    let kept = spec(&own).await;
    assert_eq!((&kept["checks"][0]["command"], &kept["network"]["mode"]), (&json!("true"), &json!("off")));
    assert_eq!(kept["checks"][0]["source"], "task");
    assert_eq!(server.get(&format!("/v1/tasks/{task}"), ADMIN).await.expect(200).json()["environment"], "backend");
}

#[tokio::test]
async fn a_new_master_key_opens_everything_once_the_keys_are_wrapped_anew() {
    let server = server().await;
    let id = server.post("/v1/environments", ADMIN, &json!({ "name": "backend" })).await.expect(201).id();
    for name in ["A", "B"] {
        let path = format!("/v1/environments/{id}/secrets/{name}");
        put(&server, &path, ADMIN, &json!({ "value": CANARY })).await.expect(204);
    }
    let credential = json!({ "host": "git.example.org", "kind": "token", "secret": CANARY });
    let credential = server.post("/v1/git_credentials", ADMIN, &credential).await.expect(201).id();
    let team = TeamId(server.get("/v1/me", ADMIN).await.json()["team"]["id"].as_str().unwrap().parse().unwrap());
    let data_dir = tempfile::tempdir().unwrap();
    let settings = |key: [u8; 32], old: Option<[u8; 32]>| {
        let base64 = |key: [u8; 32]| base64::engine::general_purpose::STANDARD.encode(key);
        let mut variables = vec![
            ("DATABASE_URL".to_owned(), server.url.clone()),
            ("JOURNEYMAN_DATA_DIR".to_owned(), data_dir.path().display().to_string()),
            ("JOURNEYMAN_SECRET_KEY".to_owned(), base64(key)),
        ];
        variables.extend(old.map(|old| ("JOURNEYMAN_SECRET_KEY_OLD".to_owned(), base64(old))));
        Settings::load(None, &Environment::new(variables)).unwrap()
    };
    // Without the earlier key each secret is named, and nothing is changed.
    let error = app::admin(&settings([9; 32], None), AdminAction::RotateSecrets).await.unwrap_err().to_string();
    assert!(
        error.contains("3 could not be opened") && error.contains(&id) && error.contains("the secret A"),
        "{error}"
    );
    assert!(!error.contains("canary"));
    let done = app::admin(&settings([9; 32], Some([7; 32])), AdminAction::RotateSecrets).await.unwrap();
    assert!(done[0].starts_with("3 secrets are now under the master key "), "{done:?}");
    let again = app::admin(&settings([9; 32], None), AdminAction::RotateSecrets).await.unwrap();
    assert!(again[0].starts_with("0 secrets"), "{again:?}");
    let after = Keyring::new(&[9; 32], &[]);
    for (row, value) in environments::sealed(&server.store, team, id.parse().unwrap()).await.unwrap() {
        let owner = sealed::of_environment(team, id.parse().unwrap(), &row.name);
        assert_eq!(after.open(&owner, &value).unwrap().expose(), CANARY);
    }
    let rows = git_credentials::for_host(&server.store, team, GitCredentialKind::Token, "git.example.org", 443).await;
    let owner = sealed::of_git_credential(team, credential.parse().unwrap());
    assert_eq!(after.open(&owner, &rows.unwrap()[0].1).unwrap().expose(), CANARY);
}
