//! What is kept of oneself, taken out.

use crate::support::{
    calculator,
    service::{call, plan, say},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, process::Command};

/// The entries of a tar.gz, as the machine's own tar reads it.
fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.tar.gz");
    std::fs::write(&file, archive).unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let done = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(&out).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    let (mut found, mut left) = (BTreeMap::new(), vec![out.clone()]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(&out).unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

fn lines(entries: &BTreeMap<String, Vec<u8>>, name: &str) -> Vec<Value> {
    let text = entries.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", entries.keys()));
    String::from_utf8_lossy(text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_data_comes_as_one_archive_and_nothing_of_others() {
    let looks: Vec<Value> = (0..40).map(|turn| call("shell", json!({ "command": format!("echo {turn}") }))).collect();
    let mut sequence = vec![plan(), call("edit", json!({ "path": "calc.py", "old": "a - b", "new": "a + b" }))];
    sequence.extend(looks);
    sequence.push(say("Mended."));
    let script = json!({ "scenarios": { "long": { "sequence": sequence }, "plain": { "rules": [{ "when": {}, "reply": say("Done.") }] } } });
    let ground = calculator::ground(&script).await;
    let service = ground.start().await;
    let (theirs, ours) = (service.api(), ground.member(&service.base, "default", "eve").await);
    let task = |scenario: &str| {
        let mut body = calculator::request(&ground);
        body["request"] = json!(format!("mend add [scenario: {scenario}]"));
        if scenario == "plain" {
            body["checks"] = json!([]);
        }
        body
    };
    let own = ours.create(&task("long")).await;
    assert_eq!(ours.rest(&own).await["result"]["verdict"], "verified");
    let other = theirs.create(&task("plain")).await;
    theirs.rest(&other).await;
    let (status, _) = ours.post(&format!("/v1/tasks/{other}/messages"), &json!({ "text": "words of mine" })).await;
    assert_eq!(status, 202);
    theirs.until(&other, |task| task["status"] == "succeeded" && task["run"] == 2).await;
    ours.post(&format!("/v1/tasks/{other}/feedback"), &json!({ "rating": "up", "comment": "a comment of mine" })).await;
    let reviewed = json!({ "merged": { "ref": "main" }, "review_comments": [{ "text": "a review of mine" }] });
    ours.post(&format!("/v1/tasks/{other}/feedback"), &reviewed).await;
    ours.post("/v1/memories", &json!({ "text": "a memory of mine" })).await;
    theirs.post("/v1/memories", &json!({ "text": "a memory of another" })).await;
    let mut content = b"\x1f\x8b".to_vec();
    content.extend((0..6_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8));
    let bundle = [b"# v2 git bundle\n".to_vec(), content].concat();
    let upload = ours.http.post(format!("{}/v1/uploads", ours.base)).bearer_auth(&ours.key).body(bundle.clone());
    let upload: Value = upload.send().await.unwrap().json().await.unwrap();

    let answer = ours.http.get(format!("{}/v1/me/export", ours.base)).bearer_auth(&ours.key).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "application/gzip")
    );
    assert!(answer.headers().get("content-length").is_none(), "it is written as it is read");
    let entries = unpacked(&answer.bytes().await.unwrap());

    let profile: Value = serde_json::from_slice(&entries["profile.json"]).unwrap();
    assert_eq!((&profile["user"]["name"], &profile["role"]), (&json!("eve"), &json!("member")));
    let events: Vec<Value> = (1..=3)
        .flat_map(|part| {
            let name = format!("tasks/{own}/events-{part:04}.jsonl");
            if entries.contains_key(&name) { lines(&entries, &name) } else { Vec::new() }
        })
        .collect();
    assert!(events.len() > 100, "more than one page");
    assert_eq!(events, ours.events(&own).await, "every event, as the API gives it");
    assert_eq!(
        entries[&format!("tasks/{own}/task.patch")],
        ours.text(&format!("/v1/tasks/{own}/patch")).await.1.into_bytes()
    );
    let told: Value = serde_json::from_slice(&entries[&format!("tasks/{own}/task.json")]).unwrap();
    assert_eq!(told["request"], "mend add [scenario: long]");
    assert_eq!(entries[&format!("uploads/{}.bundle", upload["id"].as_str().unwrap())], bundle);
    assert_eq!(lines(&entries, "memories-0001.jsonl")[0]["text"], "a memory of mine");
    let feedback = lines(&entries, "feedback-0001.jsonl");
    assert_eq!(feedback[0]["comment"], "a comment of mine");
    assert_eq!(
        (&feedback[1]["merged"], &feedback[1]["review_comments"][0]["text"]),
        (&json!("main"), &json!("a review of mine"))
    );
    let said = lines(&entries, "said_elsewhere-0001.jsonl");
    assert!(
        said.iter().any(|event| event["data"]["text"] == "words of mine" && event["task"] == json!(other)),
        "{said:#?}"
    );
    assert!(lines(&entries, "usage-0001.jsonl").iter().any(|row| row["task"] == json!(own)));
    assert_eq!(lines(&entries, "api_keys-0001.jsonl").len(), 1);
    let everything: Vec<u8> = entries.values().flatten().copied().collect();
    let everything = String::from_utf8_lossy(&everything);
    assert!(
        !everything.contains("a memory of another") && !everything.contains(&ours.key),
        "nothing of others, no key"
    );
    assert!(!entries.keys().any(|name| name.contains(&other)), "{:?}", entries.keys());

    let (_, log) = theirs.get("/v1/audit_log?action=user_data.exported").await;
    assert_eq!(log["data"].as_array().unwrap().len(), 1, "{log:#}");
    service.stop().await;
}
