//! Skills: which folders are some, what the prompt lists of them, and how they are read.

use crate::support::service::{Ground, call, git, say};
use journeyman::analysis::{
    BriefFile,
    skills::{Found, SKILL_FILE_BYTES_MAX, candidates, listing},
};
use serde_json::{Value, json};
use std::{os::unix::fs::symlink, path::Path};

fn front(name: &str, description: &str) -> String {
    format!("---\nname: {name}\ndescription: {description}\n---\n# How\nDo it.\n")
}

#[test]
fn a_skill_that_is_malformed_is_named_with_what_is_wrong() {
    let long = "x".repeat(1_025);
    let cases = [
        (front("release", "Makes a release."), None),
        ("\u{feff}---\r\nname: release\r\ndescription: >\r\n  Makes a\r\n  release.\r\n---\r\n".to_owned(), None),
        ("---\nname: release\ndescription: Makes a release.\nlicense: MIT\nmetadata: {a: b}\n---".to_owned(), None),
        ("# Release\n".to_owned(), Some("no front matter between lines `---`")),
        ("---\nname: release\n".to_owned(), Some("no front matter between lines `---`")),
        ("---\n- a\n---\n".to_owned(), Some("front matter that is no YAML mapping")),
        ("---\nname: [\n---\n".to_owned(), Some("front matter that is no YAML mapping")),
        ("---\ndescription: d\n---\n".to_owned(), Some("no `name`")),
        ("---\nname: release\ndescription: 7\n---\n".to_owned(), Some("no `description`")),
        (front("release", "' '"), Some("no `description`")),
        (front("Release", "d"), Some("a `name` that is not 1 to 64 of a-z, 0-9 and single hyphens between")),
        (front("re--lease", "d"), Some("a `name` that is not 1 to 64 of a-z, 0-9 and single hyphens between")),
        (front("deploy", "d"), Some("a `name` that is not its folder's")),
        (front("release", &long), Some("a `description` of more than 1024 characters")),
        ("x".repeat(SKILL_FILE_BYTES_MAX as usize + 1), Some("larger than 64 KiB")),
    ];
    for (content, fault) in cases {
        let mut found = Found::default();
        found.add("release", "", Ok(content.as_bytes()));
        let shown = &content[..content.len().min(80)];
        match fault {
            Some(fault) => assert_eq!(found.broken, [("release".to_owned(), fault.to_owned())], "{shown}"),
            None => assert_eq!(found.skills[0].description, "Makes a release.", "{shown}"),
        }
    }
    let mut found = Found::default();
    found.add("release", "", Ok(b"---\nname: \xff\n---\n"));
    assert_eq!(found.broken[0].1, "not UTF-8");
}

#[test]
fn skills_of_the_root_alone_are_taken_and_of_two_with_a_name_the_first() {
    let paths = [
        ".agents/skills/a/SKILL.md",
        ".agents/skills/SKILL.md",
        ".agents/skills/a/deep/SKILL.md",
        ".claude/skills/a/SKILL.md",
        ".claude/skills/b/SKILL.md",
        ".codex/skills/c/skill.md",
        "sub/.agents/skills/d/SKILL.md",
        ".agents/skillset/e/SKILL.md",
    ];
    let files = paths.map(|path| BriefFile { path, size: 1 });
    let of_root = candidates(&files);
    assert_eq!(of_root, [("a", paths[0]), ("a", paths[3]), ("b", paths[4])]);
    let mut found = Found::default();
    for (folder, path) in of_root {
        found.add(folder, path, Ok(front(folder, path).as_bytes()));
    }
    let taken: Vec<&str> = found.skills.iter().map(|skill| skill.path.as_str()).collect();
    assert_eq!(taken, [paths[0], paths[4]]);
}

#[test]
fn the_list_scales_with_the_window_and_says_what_was_cut() {
    let mut found = Found::default();
    for at in 0..40 {
        let name = format!("skill-{at:02}");
        found.add(&name, "", Ok(front(&name, &"Does one thing well. ".repeat(20)).as_bytes()));
    }
    let (whole, told) = listing(&found, &Found::default(), 128_000);
    assert!(whole.len() < 9_000 && told.len() > 20 && whole.contains("[cut: "), "{whole}");
    assert!(whole.contains("- `skill-00`: Does one thing well.") && whole.contains('…'));
    let (short, told) = listing(&found, &Found::default(), 8_000);
    assert!(short.len() < 1_200 && (1..4).contains(&told.len()), "{short}");
    assert!(short.contains(&format!("[cut: {} more did not fit: skill-0", 40 - told.len())), "{short}");
    assert_eq!(listing(&Found::default(), &Found::default(), 8_000), (String::new(), Vec::new()));
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn skills_are_listed_and_read_on_demand_and_no_link_is_followed() {
    let read = |arguments: Value| call("read_skill", arguments);
    let script = json!({ "sequence": [
        read(json!({ "name": "release" })),
        read(json!({ "name": "release", "path": "notes/steps.md" })),
        read(json!({ "name": "release", "path": "../../secret" })),
        read(json!({ "name": "release", "path": "leak" })),
        read(json!({ "name": "release", "path": "up/secret" })),
        read(json!({ "name": "release", "path": "/etc/passwd" })),
        read(json!({ "name": "release", "path": "big" })),
        read(json!({ "name": "release", "path": "notes" })),
        read(json!({ "name": "../release" })),
        call("read_file", json!({ "path": ".agents/skills/tests/SKILL.md" })),
        say("Known."),
    ] });
    let mut ground = Ground::new(&script).await;
    let house = tempfile::tempdir().unwrap();
    let skills = house.path().join("skills");
    write(&house.path().join("secret"), "SECRET");
    write(&skills.join("release/SKILL.md"), &front("release", "Makes a release."));
    write(&skills.join("release/notes/steps.md"), "Step one.");
    write(&skills.join("release/big"), &"x".repeat(SKILL_FILE_BYTES_MAX as usize + 1));
    write(&skills.join("empty/README.md"), "");
    symlink(house.path().join("secret"), skills.join("release/leak")).unwrap();
    symlink(house.path(), skills.join("release/up")).unwrap();
    symlink(skills.join("release"), skills.join("again")).unwrap();
    let tests = front("tests", "How tests are written here.");
    let url = ground.repositories.make("calc", &[("calc.py", "x = 1\n"), (".agents/skills/tests/SKILL.md", &tests)]);
    let repository = ground.repositories.path().join("calc");
    std::fs::create_dir_all(repository.join(".claude/skills/linked")).unwrap();
    symlink(house.path().join("secret"), repository.join(".claude/skills/linked/SKILL.md")).unwrap();
    write(&repository.join(".codex/skills/odd/SKILL.md"), "no front matter\n");
    git(&repository, &["add", "--all"]);
    git(
        &repository,
        &["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "more"],
    );
    ground.variables.push(("JOURNEYMAN_SKILLS_DIR".to_owned(), skills.display().to_string()));
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "release it", "mode": "answer", "repository": { "url": url } })).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    service.stop().await;

    let first = ground.model.requests().await[0]["body"].clone();
    let names: Vec<&str> =
        first["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"read_skill"), "{names:?}");
    let brief = first["input"][0]["content"].to_string();
    for words in [
        "read them with `read_skill`:\\n- `release`: Makes a release.\\n",
        "- `tests` (`.agents/skills/tests/SKILL.md`): How tests are written here.",
        "`.claude/skills/linked/SKILL.md` (a link, which is not followed)",
        "`.codex/skills/odd/SKILL.md` (no front matter between lines `---`)",
    ] {
        assert!(brief.contains(words), "{words} in {brief}");
    }
    let ready = events.iter().find(|event| event["kind"] == "brief.ready").unwrap();
    let listed = json!([{ "name": "release", "source": "operator" }, { "name": "tests", "source": "repository" }]);
    assert_eq!(ready["data"]["skills"], listed);
    let answers: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["kind"] == "tool.completed")
        .map(|event| (event["data"]["outcome"].as_str().unwrap(), event["data"]["output"].as_str().unwrap()))
        .collect();
    let expected = [
        ("ok", "[files of this skill, to be read with `path`: big, notes/steps.md]"),
        ("ok", "Step one."),
        ("error", "leads out of the skill's folder"),
        ("error", "a link, which is not followed"),
        ("error", "a link, which is not followed"),
        ("error", "leads out of the skill's folder"),
        ("error", "larger than 64 KiB"),
        ("error", "not a file"),
        ("error", "there is no skill of that name; there are `release`"),
        ("ok", "How tests are written here."),
    ];
    assert_eq!(answers.len(), expected.len(), "{answers:#?}");
    for ((outcome, output), (wanted, words)) in answers.iter().zip(expected) {
        assert_eq!((*outcome, output.contains(words)), (wanted, true), "{words}: {output}");
    }
    assert!(!answers.iter().any(|(_, output)| output.contains("SECRET")));
    assert!(answers[0].1.contains("# How\nDo it."));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_skills_of_the_operators_no_tool_for_them_is_offered() {
    let script = json!({ "sequence": [call("read_skill", json!({ "name": "release" })), say("None.")] });
    let mut ground = Ground::new(&script).await;
    let empty = tempfile::tempdir().unwrap();
    ground.variables.push(("JOURNEYMAN_SKILLS_DIR".to_owned(), empty.path().join("none").display().to_string()));
    let url = ground.repositories.make("calc", &[("calc.py", "x = 1\n")]);
    let service = ground.start().await;
    let api = service.api();
    let id = api.create(&json!({ "request": "release it", "mode": "answer", "repository": { "url": url } })).await;
    assert_eq!(api.rest(&id).await["status"], "succeeded");
    let events = api.events(&id).await;
    service.stop().await;
    let first = ground.model.requests().await[0]["body"].clone();
    assert!(!first["tools"].to_string().contains("read_skill") && !first["input"].to_string().contains("## Skills"));
    let answer = events.iter().find(|event| event["kind"] == "tool.completed").unwrap();
    assert_eq!(answer["data"]["outcome"], "error");
}
