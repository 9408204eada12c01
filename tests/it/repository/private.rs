//! Private repositories: reached with what their team gave, which nobody gets to see.

use super::{
    House,
    servers::{Https, Proxy, Ssh, user_name},
};
use journeyman::{
    domain::{TeamId, git_credential::GitCredentialKind},
    net::{AddressPolicy, Outgoing},
    secrets::Secret,
    workspace::repository::{Credentials, GitCredential, Repositories, RepositoryError, RepositorySettings},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

const TOKEN: &str = "canary-token'with \\ \"quotes\"";

/// What the one team has that has anything.
fn given(team: TeamId, credential: GitCredential) -> Credentials {
    Credentials(Some(Arc::new(move |asking, _| {
        let found = (asking == team).then(|| credential.clone());
        Box::pin(async move { Ok(found) })
    })))
}

fn token(username: &str, secret: &str) -> GitCredential {
    let (username, secret) = (Some(username.to_owned()), Secret::new(secret));
    GitCredential {
        id: "the-credential".to_owned(),
        kind: GitCredentialKind::Token,
        username,
        secret,
        names_port: true,
        known_hosts: None,
    }
}

fn key(secret: &str, known_hosts: Option<&str>) -> GitCredential {
    GitCredential {
        id: "the-credential".to_owned(),
        kind: GitCredentialKind::Ssh,
        username: Some(user_name()),
        secret: Secret::new(secret),
        names_port: false,
        known_hosts: known_hosts.map(str::to_owned),
    }
}

/// Repositories on a data directory of their own, that may reach this machine.
fn repositories(house: &House, name: &str, credentials: Credentials, outgoing: Outgoing) -> Repositories {
    let mut settings = RepositorySettings::new(house.root.path().join(name));
    (settings.credentials, settings.outgoing) = (credentials, outgoing);
    settings.connect_timeout = Duration::from_secs(15);
    Repositories::new(settings, AddressPolicy::new(&["127.0.0.1", "localhost"]).unwrap())
}

/// No file below a directory holds this, whatever it is called.
fn is_nowhere_below(directory: &Path, needle: &str) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            is_nowhere_below(&path, needle);
        } else if let Ok(content) = std::fs::read(&path) {
            let found = content.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "{needle} is in {}", path.display());
        }
    }
}

#[track_caller]
fn refused(error: RepositoryError, mend: &str) {
    assert!(error.is_remote(), "{error:?}");
    let message = error.public_message();
    assert!(message.contains(mend), "{message}");
    assert!(!message.contains("canary") && !message.contains("PRIVATE KEY"), "{message}");
}

#[tokio::test]
async fn a_token_reaches_a_private_repository_over_tls_of_a_private_ca() {
    let house = House::new();
    let remote = house.remote("one", &[("a", "1")]);
    let server = Https::start(&house, "bot", TOKEN).await;
    let outgoing = Outgoing { ca_file: Some(server.ca.clone()), ..Outgoing::default() };
    let url = server.url("one");
    let with = repositories(&house, "with", given(house.team, token("bot", TOKEN)), outgoing.clone());
    let base = with.resolve(house.team, &url, None).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"1");
    super::commit(&remote, &[("a", "2")]);
    let base = with.resolve(house.team, &url, Some("main")).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"2");
    assert!(server.requests().contains("200 /one/git-upload-pack bot"), "{}", server.requests());

    // What it brought is that team's alone.
    let others = journeyman::clock::new_id();
    let commit = base.commit.clone().unwrap();
    refused(with.resolve(others, &url, Some(commit.as_str())).await.unwrap_err(), "POST /v1/git_credentials");
    let without = repositories(&house, "without", Credentials::default(), outgoing.clone());
    refused(without.resolve(house.team, &url, None).await.unwrap_err(), "POST /v1/git_credentials");
    let wrong = repositories(&house, "wrong", given(house.team, token("bot", "canary-of-another")), outgoing);
    refused(wrong.resolve(house.team, &url, None).await.unwrap_err(), "PATCH /v1/git_credentials/the-credential");
    let untrusting = repositories(&house, "untrusting", given(house.team, token("bot", TOKEN)), Outgoing::default());
    let before = server.requests();
    refused(untrusting.resolve(house.team, &url, None).await.unwrap_err(), "certificate");
    assert_eq!(server.requests(), before, "nothing is sent to a host that is not who it says");
    for name in ["with", "wrong", "untrusting"] {
        is_nowhere_below(&house.root.path().join(name), TOKEN);
    }
}

#[tokio::test]
async fn a_proxy_is_gone_through_and_gets_no_token() {
    let house = House::new();
    house.remote("one", &[("a", "1")]);
    let server = Https::start(&house, "bot", TOKEN).await;
    let proxy = Proxy::start().await;
    let through = Outgoing {
        proxy: Some(format!("http://127.0.0.1:{}", proxy.port).parse().unwrap()),
        ca_file: Some(server.ca.clone()),
        no_proxy: String::new(),
    };
    let credentials = given(house.team, token("bot", TOKEN));
    let repositories_through = repositories(&house, "through", credentials.clone(), through.clone());
    let base = repositories_through.resolve(house.team, &server.url("one"), None).await.unwrap();
    assert_eq!(base.read("a").unwrap().unwrap(), b"1");
    let asked = proxy.asked.lock().unwrap().clone();
    let connect = format!("CONNECT localhost:{}", server.port);
    assert!(!asked.is_empty() && asked.iter().all(|request| request.starts_with(&connect)), "{asked:?}");
    assert!(asked.iter().all(|request| !request.to_lowercase().contains("authorization")), "{asked:?}");
    // Around it where the settings say so.
    let around = Outgoing { no_proxy: "localhost".to_owned(), ..through.clone() };
    let direct = repositories(&house, "around", credentials.clone(), around);
    direct.resolve(house.team, &server.url("one"), None).await.unwrap();
    assert_eq!(proxy.asked.lock().unwrap().len(), asked.len());
    // A name that leads to a private address is not for the proxy to reach either.
    let mut settings = RepositorySettings::new(house.root.path().join("strict"));
    (settings.credentials, settings.outgoing) = (credentials, through);
    let strict = Repositories::new(settings, AddressPolicy::default());
    for host in ["localhost", "127.0.0.1", "0x7f.1", "169.254.169.254", "metadata.google.internal"] {
        let url = format!("https://{host}:{}/one", server.port);
        let error = strict.resolve(house.team, &url, None).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Source(_)), "{host}: {error:?}");
    }
    assert_eq!(proxy.asked.lock().unwrap().len(), asked.len());
}

#[tokio::test]
async fn a_key_reaches_a_private_repository_over_ssh_and_only_the_host_that_is_known() {
    for kind in ["ed25519", "rsa"] {
        let house = House::new();
        let remote = house.remote("one", &[("a", "1")]);
        let server = Ssh::start(&house, kind).await;
        let (user, known) = (user_name(), Some(server.known_hosts.as_str()));
        let with =
            |name: &str, credential| repositories(&house, name, given(house.team, credential), Outgoing::default());
        let strict = with("strict", key(&server.key, known));
        for url in [server.url(&remote, Some(&user)), server.url(&remote, None)] {
            let base = strict.resolve(house.team, &url, None).await.unwrap();
            assert_eq!(base.read("a").unwrap().unwrap(), b"1");
        }
        let url = server.url(&remote, Some(&user));
        // Pasted with other line ends, and without the last one.
        let pasted = server.key.trim().replace('\n', "\r\n");
        with("pasted", key(&pasted, None)).resolve(house.team, &url, None).await.unwrap();
        let error = with("unknown", key(&server.other_key, known)).resolve(house.team, &url, None).await.unwrap_err();
        refused(error, "PATCH /v1/git_credentials/the-credential");
        let elsewhere = server.known_hosts.replace("AAAAC3", "AAAAC4");
        let error =
            with("moved", key(&server.key, Some(&elsewhere))).resolve(house.team, &url, None).await.unwrap_err();
        refused(error, "known_hosts");
        let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----\n";
        let error = with("broken", key(broken, known)).resolve(house.team, &url, None).await.unwrap_err();
        assert!(error.is_remote() && !error.public_message().contains("canary"), "{error:?}");
        let without = repositories(&house, "without", Credentials::default(), Outgoing::default());
        refused(without.resolve(house.team, &url, None).await.unwrap_err(), "POST /v1/git_credentials");
        let line = server.key.lines().nth(2).unwrap();
        for name in ["strict", "pasted", "unknown", "moved"] {
            is_nowhere_below(&house.root.path().join(name), line);
        }
    }
}

#[tokio::test]
async fn the_first_key_that_a_host_shows_is_kept_for_each_team_and_port() {
    let (house, elsewhere) = (House::new(), House::new());
    let (remote, further) = (house.remote("one", &[("a", "1")]), elsewhere.remote("two", &[("a", "2")]));
    let (server, other) = (Ssh::start(&house, "ed25519").await, Ssh::start(&elsewhere, "ed25519").await);
    let user = user_name();
    let resolve = async |team: TeamId, server: &Ssh, path: &Path| {
        let credentials = given(team, key(&server.key, None));
        let repositories = repositories(&house, "data", credentials, Outgoing::default());
        repositories.resolve(team, &server.url(path, Some(&user)), None).await
    };
    let neighbours = journeyman::clock::new_id();
    resolve(house.team, &server, &remote).await.unwrap();
    // The same name at another port is another host.
    resolve(house.team, &other, &further).await.unwrap();
    let kept = |team: TeamId| house.root.path().join("data/known-hosts").join(team.to_string());
    let text = std::fs::read_to_string(kept(house.team)).unwrap();
    assert!([&server, &other].iter().all(|one| text.contains(&format!("[localhost]:{} ", one.port))), "{text}");
    assert!(!kept(neighbours).exists(), "what one team has seen is not another's");
    // Another key at the port that is known: the machine between, as far as anybody can tell.
    let of =
        |server: &Ssh| server.known_hosts.split_whitespace().find(|word| word.starts_with("AAAA")).unwrap().to_owned();
    let (own, others) = (of(&server), of(&other));
    std::fs::write(kept(house.team), text.replace(&own, &others)).unwrap();
    refused(resolve(house.team, &server, &remote).await.unwrap_err(), "known_hosts");
    resolve(house.team, &other, &further).await.unwrap();
    resolve(neighbours, &server, &remote).await.unwrap();
    assert!(std::fs::read_to_string(kept(neighbours)).unwrap().contains(&own));
}

/// Every process's arguments and environment that this user may read.
fn processes() -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            all.extend(std::fs::read(entry.path().join(file)).unwrap_or_default());
            all.push(b'\n');
        }
    }
    all
}

#[tokio::test]
async fn while_git_has_a_token_no_process_shows_it_and_no_file_holds_it() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/one", listener.local_addr().unwrap().port());
    let (sender, receiver) = oneshot::channel();
    // A server that asks for a password, and keeps whoever gives one waiting.
    tokio::spawn(async move {
        let mut sender = Some(sender);
        let mut held = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 16 << 10];
            let count = client.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            if let Some(header) = request.lines().find_map(|line| line.strip_prefix("Authorization: Basic ")) {
                if let Some(sender) = sender.take() {
                    sender.send(header.to_owned()).unwrap();
                }
                held.push(client);
                continue;
            }
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let canary = "canary-that-stands-nowhere";
    let repositories = repositories(&house, "data", given(house.team, token("bot", canary)), Outgoing::default());
    let (team, asking) = (house.team, repositories.clone());
    let asked = tokio::spawn(async move { asking.resolve(team, &url, None).await });
    let header = tokio::time::timeout(Duration::from_secs(10), receiver).await.unwrap().unwrap();
    let redactor = journeyman::secrets::Redactor::new([&Secret::new(canary)]);
    assert!(redactor.redact_known(&header).contains("***"), "the server was given the token: {header}");
    let seen = processes();
    assert!(matches!(redactor.redact_known_bytes(&seen), std::borrow::Cow::Borrowed(_)), "a process shows the token");
    is_nowhere_below(house.root.path(), canary);
    asked.abort();
}

/// A value that a task's environment has, as a file of its repository has it too.
const CANARY: &str = "canary/5f2c 9b1e+77aa~of-the-environment";

fn script() -> serde_json::Value {
    let spell = "import urllib.parse;d=open('leak.txt','rb').read();print(d.hex());print(d.hex().upper());\
        print(urllib.parse.quote(d,safe=''));print(urllib.parse.quote_plus(d))";
    let spelled = format!(
        "cat leak.txt; for before in '' a ab; do printf '%s' \"$before\" | cat - leak.txt | base64 -w0; echo; \
         printf '%s' \"$before\" | cat - leak.txt | base64 -w0 | tr '+/' '-_'; echo; done; /usr/bin/python3 -c \"{spell}\""
    );
    let slow = "s=$(cat leak.txt); for ((i = 0; i < ${#s}; i += 7)); do printf '%s' \"${s:i:7}\"; sleep 0.12; done; \
        cp leak.txt copy.txt; base64 leak.txt > copy.b64; sed -i 's/a - b/a + b/' calc.py";
    let call = |command: &str| crate::support::service::call("shell", serde_json::json!({ "command": command }));
    serde_json::json!({ "rules": [
        { "when": { "calls": 0 }, "reply": crate::support::service::plan() },
        { "when": { "calls": 1 }, "reply": call(&spelled) },
        { "when": { "calls": 2 }, "reply": call(slow) },
        { "when": {}, "reply": crate::support::service::say("Mended.") },
    ] })
}

/// Every row of every table, as Postgres writes it.
async fn dump(url: &str) -> String {
    use sqlx::{AssertSqlSafe, Connection};
    let mut database = sqlx::PgConnection::connect(url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut all = String::new();
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM \"{table}\" t")))
            .fetch_all(&mut database)
            .await
            .unwrap();
        all.extend(rows);
    }
    all
}

#[track_caller]
fn shows_nothing(what: &str, text: &str) {
    for secret in [CANARY, TOKEN] {
        let redactor = journeyman::secrets::Redactor::new([&Secret::new(secret)]);
        assert_eq!(redactor.redact_known(text), text, "{what} shows a secret");
        // Bytes stand in a dump in hexadecimal digits, whatever they spell.
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, secret);
        let hex: String = base64[..16].bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&hex), "{what} shows a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_on_a_private_repository_shows_no_secret_to_anybody() {
    use crate::support::{service::Ground, stream::Stream};
    use serde_json::json;
    let house = House::new();
    let leak = format!("{CANARY}\n{TOKEN}");
    house.remote("calc", &[("calc.py", "def add(a, b):\n    return a - b\n"), ("leak.txt", &leak)]);
    let server = Https::start(&house, "bot", TOKEN).await;
    let mut ground = Ground::new(&script()).await;
    for (name, value) in [
        ("JOURNEYMAN_PRIVATE_HOSTS", "localhost,127.0.0.1".to_owned()),
        ("JOURNEYMAN_CA_FILE", server.ca.display().to_string()),
    ] {
        ground.variables.push((name.to_owned(), value));
    }
    let service = ground.start().await;
    let api = service.api();
    let environment = json!({ "name": "calc", "variables": { "GREETING": "hello" }, "checks": ["grep -q 'a + b' calc.py && test \"$GREETING\" = hello"] });
    let (status, environment) = api.post("/v1/environments", &environment).await;
    assert_eq!(status, 201, "{environment}");
    let path = format!("{}/v1/environments/{}/secrets/TOKEN", api.base, environment["id"].as_str().unwrap());
    let set = api.http.put(path).bearer_auth(&api.key).json(&json!({ "value": CANARY, "use": "setup" })).send().await;
    assert_eq!(set.unwrap().status(), 204);
    let request = json!({ "request": "mend add", "environment": "calc", "repository": { "url": server.url("calc") } });

    let refused = api.rest(&api.create(&request).await).await;
    assert_eq!(refused["error"]["code"], "repository_unreachable", "{refused:#}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("POST /v1/git_credentials"), "{refused:#}");

    let credential =
        json!({ "host": "localhost", "kind": "token", "username": "bot", "secret": TOKEN, "repositories": ["cal*"] });
    assert_eq!(api.post("/v1/git_credentials", &credential).await.0, 201);
    let id = api.create(&request).await;
    let mut stream = Stream::open(&api, &id, None).await.unwrap().unwrap();
    let watching = tokio::spawn(async move {
        let (mut told, mut live) = (String::new(), String::new());
        while let Some(seen) = stream.next().await {
            told.push_str(&seen.data.to_string());
            if seen.event == "tool.output" {
                live.push_str(seen.data["data"]["text"].as_str().unwrap());
            }
        }
        (told, live)
    });
    let task = api.rest(&id).await;
    assert_eq!((&task["status"], &task["result"]["verdict"]), (&json!("succeeded"), &json!("verified")), "{task:#}");
    let (told, live) = watching.await.unwrap();
    shows_nothing("the stream", &told);
    shows_nothing("the live output", &live);
    let events = api.events(&id).await;
    let outputs: Vec<&str> = events.iter().filter_map(|event| event["data"]["output"].as_str()).collect();
    let outputs = outputs.join("\n");
    shows_nothing("the log", &serde_json::to_string(&events).unwrap());
    assert!(outputs.matches("***").count() >= 11, "{outputs}");
    assert!(live.contains("***"), "{live}");
    let (_, patch) = api.text(&format!("/v1/tasks/{id}/patch")).await;
    assert!(patch.contains("+    return a + b") && patch.contains("copy.txt") && patch.contains("+***"), "{patch}");
    shows_nothing("the patch", &patch);
    shows_nothing("the database", &dump(&ground.database).await);
    for request in ground.model.requests().await {
        shows_nothing("a request to the model", &request.to_string());
    }
    service.stop().await;
}
