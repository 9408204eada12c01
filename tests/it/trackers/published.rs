//! The payloads of `tests/fixtures/trackers` against what is published of them as packages of Node.js: GitHub's schema,
//! types of the others (`shapes.ts`). A payload without something that is read holds no longer, so that this is known to look.

use super::{
    sent::{fixture, names, sent},
    shapes::{Line, assert_hold},
};
use crate::support::fetched::fetched;
use journeyman::domain::linked_account::Provider;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is read of payloads and always there, where the event has it.
fn always(tracker: Provider) -> &'static [&'static str] {
    match tracker {
        Provider::Github => &[
            "/sender/login",
            "/repository/full_name",
            "/repository/clone_url",
            "/issue/number",
            "/issue/title",
            "/issue/updated_at",
            "/pull_request/number",
            "/pull_request/head/ref",
            "/pull_request/merged",
            "/comment/id",
            "/comment/body",
            "/comment/path",
            "/review/state",
            "/check_run/conclusion",
            "/check_run/pull_requests/0/number",
            "/branches/0/name",
            "/context",
            "/sha",
            "/state",
            "/label/name",
        ],
        Provider::Gitlab => &[
            "/object_kind",
            "/user/username",
            "/project/path_with_namespace",
            "/project/git_http_url",
            "/object_attributes/iid",
            "/object_attributes/action",
            "/object_attributes/noteable_type",
            "/object_attributes/merge_commit_sha",
            "/object_attributes/status",
            "/labels/0/title",
            "/changes/labels/current/0/title",
            "/changes/assignees/current/0/username",
            "/issue/iid",
            "/merge_request/iid",
            "/merge_request/source_branch",
            "/builds/0/name",
        ],
        Provider::Gitea => &[
            "/action",
            "/sender/login",
            "/repository/full_name",
            "/repository/clone_url",
            "/issue/number",
            "/issue/updated_at",
            "/issue/labels/0/name",
            "/issue/assignees/0/login",
            "/changes/added_labels/0/name",
            "/comment/id",
            "/comment/body",
            "/is_pull",
            "/pull_request/number",
            "/pull_request/merged",
            "/pull_request/merge_commit_sha",
            "/review/content",
            "/context",
            "/sha",
            "/state",
            "/target_url",
            "/workflow/name",
            "/workflow_run/conclusion",
            "/workflow_run/head_branch",
            "/workflow_run/head_sha",
            "/run/commit_sha",
            "/run/prettyref",
            "/run/repository",
            "/run/workflow_id",
        ],
        Provider::Jira => &[
            "/webhookEvent",
            "/user/accountId",
            "/user/accountType",
            "/issue/key",
            "/issue/self",
            "/issue/fields/summary",
            "/issue/fields/project/key",
            "/issue/fields/labels",
            "/issue/fields/status/statusCategory/key",
            "/issue/fields/updated",
            "/changelog/items/0/field",
            "/changelog/items/0/toString",
            "/comment/id",
            "/comment/body",
            "/comment/author/accountId",
        ],
        Provider::Linear => &[
            "/type",
            "/action",
            "/actor/id",
            "/updatedFrom",
            "/data/identifier",
            "/data/title",
            "/data/updatedAt",
            "/data/labels/0/name",
            "/data/state/type",
            "/data/body",
            "/data/issue/identifier",
            "/agentSession/id",
            "/agentSession/issue/identifier",
            "/agentActivity",
            "/agentActivity/id",
            "/webhookTimestamp",
        ],
    }
}

fn of(tracker: Provider) -> BTreeMap<String, Value> {
    let own = names().into_iter().filter(|(other, _)| other == tracker.as_str());
    own.map(|(_, name)| (name.clone(), fixture(tracker, &name))).collect()
}

/// The payload without one thing at a time; what it was.
fn maimed(tracker: Provider, payload: &Value) -> Vec<(&'static str, Value)> {
    let without = |pointer: &'static str| {
        let mut payload = payload.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        payload.pointer_mut(parent)?.as_object_mut()?.remove(field).map(|_| (pointer, payload))
    };
    always(tracker).iter().filter_map(|pointer| without(pointer)).collect()
}

#[test]
fn payloads_of_github_hold_by_the_schema_that_it_publishes() {
    let path = fetched("trackers/node_modules/@octokit/webhooks-schemas/schema.json");
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let definitions = &schema["definitions"];
    for (name, payload) in of(Provider::Github) {
        let sent = sent(Provider::Github, &name);
        let kind = format!("{}${}", sent.header("x-github-event"), payload["action"].as_str().unwrap_or("event"));
        assert!(definitions[&kind].is_object(), "{name}: the schema does not know {kind}");
        let own = json!({ "allOf": [{ "$ref": format!("#/definitions/{kind}") }], "definitions": definitions });
        let schema = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft7)
            .should_validate_formats(true)
            .build(&own)
            .unwrap();
        let faults: Vec<String> =
            schema.iter_errors(&payload).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
        let maimed = maimed(Provider::Github, &payload);
        assert!(!maimed.is_empty(), "{name}");
        for (what, payload) in maimed {
            assert!(!schema.is_valid(&payload), "{name} without {what}");
        }
    }
}

/// The type in `shapes.ts` of a payload.
fn shape(tracker: Provider, payload: &Value) -> String {
    let text = |field: &str| payload[field].as_str().unwrap_or_default().to_owned();
    let has = |field: &str| payload.get(field).is_some();
    let kind = match tracker {
        Provider::Linear => text("type"),
        Provider::Gitlab => text("object_kind"),
        Provider::Jira if text("webhookEvent").starts_with("comment") => "comment".to_owned(),
        Provider::Jira => "issue".to_owned(),
        _ if has("workflow_run") => "workflow_run".to_owned(),
        _ if has("run") => "action_run".to_owned(),
        _ if has("state") => "status".to_owned(),
        _ if has("comment") => "issue_comment".to_owned(),
        _ if has("issue") => "issues".to_owned(),
        _ => "pull_request".to_owned(),
    };
    format!("{}_{kind}", tracker.as_str())
}

#[test]
fn payloads_of_the_others_hold_by_types_that_are_published_of_them() {
    // A line for each payload, and for each that lacks something.
    let mut lines = Vec::new();
    for tracker in [Provider::Gitlab, Provider::Gitea, Provider::Jira, Provider::Linear] {
        for (name, payload) in of(tracker) {
            let shape = shape(tracker, &payload);
            let line = |what: &str, value: &Value, holds: bool| Line {
                what: format!("{} {name}{what}", tracker.as_str()),
                shape: shape.clone(),
                value: value.clone(),
                holds,
            };
            lines.push(line("", &payload, true));
            let maimed = maimed(tracker, &payload);
            assert!(maimed.len() > 3, "{name}");
            lines.extend(maimed.iter().map(|(what, payload)| line(&format!(" without {what}"), payload, false)));
        }
    }
    assert_hold(&lines);
}
