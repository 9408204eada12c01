//! Events that say more than one thing, or are told by another than who they are about.

use super::{reading::rules, sent::sent_with};
use journeyman::{
    domain::linked_account::Provider,
    trackers::{
        Delivery, parse,
        rules::{Wanted, meaning, wanted},
    },
};
use serde_json::{Value, json};

fn read(tracker: Provider, name: &str, change: &dyn Fn(&mut Value)) -> Delivery {
    let sent = sent_with(tracker, name, change);
    parse(tracker, &sent.map(), &sent.body)
}

/// What triggers what is wanted; why nothing is.
fn told(tracker: Provider, name: &str, change: &dyn Fn(&mut Value)) -> String {
    match wanted(&read(tracker, name, change), &rules()) {
        Wanted::Task { trigger, .. } | Wanted::Cancel { trigger, .. } => trigger,
        Wanted::Merged { commit } => format!("merged as {}", &commit[..4]),
        Wanted::Failure { .. } => "a check failed".to_owned(),
        Wanted::Message { .. } => "a message".to_owned(),
        Wanted::Moved => "it has another name now".to_owned(),
        Wanted::Reopened => "it is open again".to_owned(),
        Wanted::Nothing(why) => why,
    }
}

#[test]
fn what_has_come_about_counts_whoever_tells_of_it() {
    let own = |p: &mut Value| p["sender"]["login"] = json!("Journeyman");
    let program = |p: &mut Value| p["sender"] = json!({ "id": 5, "login": "merge-queue[bot]", "type": "Bot" });
    for change in [&own as &dyn Fn(&mut Value), &program] {
        assert_eq!(told(Provider::Github, "pull_request_merged", change), "merged as cccc");
        assert_eq!(told(Provider::Github, "issues_closed", change), "it was closed");
        assert_eq!(told(Provider::Github, "check_run_completed", change), "a check failed");
        assert_eq!(told(Provider::Github, "status_failed", change), "a check failed");
    }
    let app = |p: &mut Value| p["user"]["accountType"] = json!("app");
    assert_eq!(told(Provider::Jira, "issue_done", &app), "it was closed");
    let integration = |p: &mut Value| p["actor"] = json!({ "id": "i-9", "type": "integration", "service": "github" });
    assert_eq!(told(Provider::Linear, "issue_completed", &integration), "it was closed");
    // What asks for something does not.
    assert_eq!(told(Provider::Github, "issues_labeled", &program), "its sender is a program");
    assert_eq!(told(Provider::Github, "issues_labeled", &own), "its sender is the service's own account");
}

#[test]
fn an_end_ends_whatever_else_is_set_by_the_same_act() {
    let handed_back = |p: &mut Value| {
        let more = json!([
            { "field": "assignee", "fieldtype": "jira", "fieldId": "assignee", "from": null, "fromString": null,
                "to": "557058:cid", "toString": "Cid" },
            { "field": "labels", "fieldtype": "jira", "fieldId": "labels", "from": null, "fromString": "", "to": null,
                "toString": "agent" },
        ]);
        let items = p["changelog"]["items"].as_array_mut().unwrap();
        items.splice(0..0, more.as_array().unwrap().iter().cloned());
    };
    assert_eq!(told(Provider::Jira, "issue_done", &handed_back), "it was closed");
    let labelled = |p: &mut Value| {
        p["updatedFrom"]["labelIds"] = json!([]);
        p["updatedFrom"]["assigneeId"] = Value::Null;
    };
    assert_eq!(told(Provider::Linear, "issue_completed", &labelled), "it was closed");
}

#[test]
fn an_assignment_counts_beside_a_label_that_no_rule_names() {
    let name = |p: &mut Value, label: &str| {
        let labels = &mut p["changes"]["labels"]["current"];
        labels[0]["title"] = json!(label);
        *labels = json!([labels[0]]);
    };
    let to = |p: &mut Value, login: &str| {
        let one = json!({ "id": 9, "name": login, "username": login, "avatar_url": "https://gitlab.com/9.png" });
        p["changes"]["assignees"] = json!({ "previous": [], "current": [one] });
    };
    let both = |label: &'static str, login: &'static str| {
        move |p: &mut Value| {
            name(p, label);
            to(p, login);
        }
    };
    let told = |label, login| told(Provider::Gitlab, "issue_labelled", &both(label, login));
    assert_eq!(told("docs", "journeyman-acme"), "it was assigned to journeyman-acme");
    assert_eq!(told("agent", "journeyman-acme"), "the label agent was set");
    assert_eq!(told("docs", "cid"), "no rule names the label docs");
}

#[test]
fn an_issue_that_was_brought_from_elsewhere_is_nobodys_who_is_known() {
    let brought = |p: &mut Value| {
        p["issue"]["original_author"] = json!("a-stranger");
        p["issue"]["original_author_id"] = json!(4_711);
    };
    let author =
        |change: &dyn Fn(&mut Value)| read(Provider::Gitea, "issue_label_updated", change).issue.unwrap().author;
    assert_eq!(author(&brought), None);
    assert_eq!(author(&|_| {}).unwrap().login, "ada");
}

#[test]
fn an_issue_that_another_has_written_commands_nothing_by_who_moved_it_here() {
    let moved = |p: &mut Value| {
        p["issue"]["user"]["login"] = json!("a-stranger");
        p["issue"]["user"]["id"] = json!(4_711);
        p["changes"] = json!({ "old_issue": {}, "old_repository": {} });
    };
    assert_eq!(told(Provider::Github, "issues_opened", &moved), "a new issue that no rule names");
    // Who assigns it speaks for himself.
    let assigned = |p: &mut Value| {
        moved(p);
        p["issue"]["assignees"] = json!([{ "id": 77, "login": "journeyman-acme", "type": "User" }]);
    };
    assert_eq!(told(Provider::Github, "issues_opened", &assigned), "it was made and assigned to journeyman-acme");
}

#[test]
fn what_was_merged_without_a_commit_of_its_own_is_the_last_of_the_branch() {
    let commit = |merge: Value, squash: Value| {
        let change = move |p: &mut Value| {
            p["object_attributes"]["merge_commit_sha"] = merge.clone();
            p["object_attributes"]["squash_commit_sha"] = squash.clone();
            p["object_attributes"]["last_commit"]["id"] = json!("dddddddd");
        };
        told(Provider::Gitlab, "merge_request_merged", &change)
    };
    assert_eq!(commit(json!("cccccccc"), Value::Null), "merged as cccc");
    assert_eq!(commit(Value::Null, json!("eeeeeeee")), "merged as eeee");
    assert_eq!(commit(Value::Null, Value::Null), "merged as dddd");
}

#[test]
fn a_check_without_a_pull_request_is_known_by_its_commit() {
    let issue = |name: &str, change: &dyn Fn(&mut Value)| {
        let delivery =
            read(if name == "check_run_completed" { Provider::Github } else { Provider::Gitea }, name, change);
        delivery.issue.map(|issue| (issue.key, issue.branch, issue.repository.unwrap().name))
    };
    let by_commit = || Some((String::new(), None, "acme/calc".to_owned()));
    let early = |p: &mut Value| {
        p["check_run"]["pull_requests"] = json!([]);
        p["check_run"]["check_suite"]["head_branch"] = json!("journeyman/0199-mend-add");
    };
    assert_eq!(issue("check_run_completed", &early), by_commit());
    let of_main = |p: &mut Value| {
        early(p);
        p["check_run"]["check_suite"]["head_branch"] = json!("main");
    };
    assert_eq!(issue("check_run_completed", &of_main), None);
    assert_eq!(issue("status_failed", &|_| {}), by_commit());
    let at_a_branch = |p: &mut Value| p["run"]["prettyref"] = json!("journeyman/0199-mend-add");
    assert_eq!(issue("action_run_failure", &at_a_branch), by_commit());
    let well = |p: &mut Value| p["workflow_run"]["conclusion"] = json!("success");
    assert_eq!(told(Provider::Gitea, "workflow_run_failed", &well), "a check that came to success");
}

/// A tracker that sends a stop request again has not been told to stop twice; a later one is another.
#[test]
fn a_stop_request_is_one_by_its_activity() {
    let of = |change: &dyn Fn(&mut Value)| {
        let delivery = read(Provider::Linear, "agent_session_stopped", change);
        meaning(&delivery, &wanted(&delivery, &rules()))
    };
    assert_eq!(of(&|_| {}), of(&|p| p["agentActivity"]["content"]["body"] = json!("")));
    assert_ne!(of(&|_| {}), of(&|p| p["agentActivity"]["id"] = json!("aa-9")));
}
