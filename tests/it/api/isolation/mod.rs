//! The isolation walk: every operation of openapi.yaml, asked by every kind of caller for another team's things. What is another
//! team's answers as what never was, to the byte; what the caller's role does not allow answers 403, and nothing changes.

mod estate;
mod table;

use super::harness::{Server, server};
use estate::{Estate, Ids, MARK};
use futures::StreamExt;
use journeyman::{api, domain::Role, store};
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};
use table::{Content, Need, Row, path, rows};

/// Method and path of each operation, by its name.
fn operations() -> BTreeMap<String, (Method, String)> {
    let document = api::document();
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            operations.insert(name, (method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    operations
}

/// An answer without what differs from request to request, the ids in it by their kinds.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

async fn ask(server: &Server, key: &str, (method, place): (&Method, &str), ids: &Ids, content: &Content) -> Said {
    let mut place = path(place, ids);
    if let Content::Query(query) = content {
        place = format!("{place}?{query}");
    }
    let mut request = server.request(method.clone(), &place, key);
    request = match content {
        Content::None | Content::Query(_) => request,
        Content::Stream => request.header("accept", "text/event-stream"),
        Content::Json(body) => request.json(body),
        Content::Bytes(bytes) => request.body(*bytes),
    };
    let answer = request.send().await.unwrap();
    let (status, mut request_id) = (answer.status().as_u16(), String::new());
    let mut headers = Vec::new();
    for (name, value) in answer.headers() {
        match name.as_str() {
            "x-request-id" => request_id = value.to_str().unwrap().to_owned(),
            "date" | "content-length" | "etag" => {}
            name => headers.push((name.to_owned(), ids.masked(value.to_str().unwrap()))),
        }
    }
    let streams = headers.iter().any(|(name, value)| name == "content-type" && value == "text/event-stream");
    let bytes = if streams {
        // It has no end: what it begins with is what it shows.
        answer.bytes_stream().next().await.unwrap().unwrap()
    } else {
        answer.bytes().await.unwrap()
    };
    let body = String::from_utf8_lossy(&bytes).replace(&request_id, "REQUEST");
    headers.sort();
    Said { status, headers, body: ids.masked(&body) }
}

/// Somebody of another team than the things'.
struct Caller {
    what: &'static str,
    key: String,
    /// Absent: nobody.
    role: Option<Role>,
    operator: bool,
}

async fn strangers(server: &Server, ours: &Estate) -> Vec<Caller> {
    let stranger = async |what, role| {
        let (_, key) = server.user("strangers", what, role, None).await;
        Caller { what, key, role: Some(role), operator: false }
    };
    let mut callers = vec![
        stranger("a viewer", Role::Viewer).await,
        stranger("a member", Role::Member).await,
        stranger("an admin", Role::Admin).await,
        // His membership here is of no use to his key there.
        stranger("an admin who is a member here", Role::Admin).await,
    ];
    let both = store::accounts::user_by_identity(&server.store, "local", callers[3].what).await.unwrap();
    let team = ours.ids.of("teams").parse().unwrap();
    store::accounts::set_member(&server.store, team, both.unwrap(), Role::Member).await.unwrap();
    let (_, key) = server.operator("strangers", "an operator").await;
    callers.push(Caller { what: "an operator", key, role: Some(Role::Viewer), operator: true });
    let (gone, key) = server.user("strangers", "somebody deactivated", Role::Admin, None).await;
    let (_, operator) = server.operator("elsewhere", "who deactivates").await;
    server.post(&format!("/v1/users/{gone}/deactivate"), &operator, &serde_json::json!({})).await.expect(200);
    callers.push(Caller { what: "somebody deactivated", key, role: None, operator: false });
    callers.push(Caller { what: "nobody", key: String::new(), role: None, operator: false });
    callers
}

/// How a caller is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The same whatever he names, and this.
    Status(u16),
    /// The same whatever he names, and nothing of ours in it.
    Alike,
    /// What is there is reached, what is not is not.
    Reached,
}

fn expected(row: &Row, caller: &Caller, names_a_thing: bool) -> Expected {
    let Some(role) = caller.role else {
        return if row.need == Need::Nothing { Expected::Alike } else { Expected::Status(401) };
    };
    match row.need {
        Need::Nothing | Need::Credential => Expected::Alike,
        _ if caller.operator && row.operators_too => Expected::Reached,
        Need::Operator => Expected::Status(403),
        Need::Role(least) if role < least => Expected::Status(403),
        Need::Role(_) if row.admins_reach.is_some() => Expected::Reached,
        Need::Role(_) if names_a_thing => Expected::Status(404),
        Need::Role(_) => Expected::Alike,
    }
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let documented: BTreeSet<String> = operations().into_keys().collect();
    let rows = rows();
    let mut told = BTreeSet::new();
    for row in &rows {
        assert!(told.insert(row.operation.to_owned()), "{} has two rows in isolation/table.rs", row.operation);
    }
    let missing: Vec<_> = documented.difference(&told).collect();
    assert!(missing.is_empty(), "say in tests/it/api/isolation/table.rs who may do this: {missing:?}");
    let gone: Vec<_> = told.difference(&documented).collect();
    assert!(gone.is_empty(), "rows of isolation/table.rs without an operation in openapi.yaml: {gone:?}");
}

#[tokio::test]
async fn another_teams_things_are_to_everybody_as_if_they_had_never_been() {
    let server = server().await;
    let ours = Estate::lay(&server, "ours").await;
    // Operators reach other teams: so that ours stays as it is they reach for another one.
    let reached = Estate::lay(&server, "reached").await;
    let callers = strangers(&server, &ours).await;
    let operations = operations();
    let before = ours.seen(&server).await;
    let (mut asked, mut faults) = (0, Vec::new());
    for row in rows() {
        let (method, template) = &operations[row.operation];
        for caller in &callers {
            let reaches = expected(&row, caller, template.contains('{'));
            let ids = if reaches == Expected::Reached { &reached.ids } else { &ours.ids };
            let nobodys = Ids::unknown();
            for (of_ours, of_nobody) in row.contents(ids).iter().zip(row.contents(&nobodys)) {
                let found = ask(&server, &caller.key, (method, template), ids, of_ours).await;
                asked += 1;
                let names = path(template, ids) != path(template, &nobodys)
                    || format!("{of_ours:?}") != format!("{of_nobody:?}");
                let none = match names {
                    true => Some(ask(&server, &caller.key, (method, template), &nobodys, &of_nobody).await),
                    false => None,
                };
                if let Some(fault) = fault(&row, reaches, &found, none.as_ref()) {
                    faults.push(format!(
                        "{} by {}: {fault}\n  there: {found:?}\n  never: {none:?}",
                        row.operation, caller.what
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of {asked}:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(ours.seen(&server).await, before, "something of ours has changed");
}

/// What is wrong with an answer about what is there, beside that about what never was.
fn fault(row: &Row, expected: Expected, found: &Said, none: Option<&Said>) -> Option<String> {
    if found.status >= 500 {
        return Some("a fault of the server".to_owned());
    }
    if expected == Expected::Reached {
        let reached = row.admins_reach.map_or(found.status < 300, |wanted| found.status == wanted);
        let there = reached || row.or.contains(&found.status);
        let apart = none.is_none_or(|none| matches!(none.status, 404 | 422));
        return (!there || !apart).then(|| "what is there is not reached, or what is not there is".to_owned());
    }
    if let Expected::Status(wanted) = expected
        && found.status != wanted
    {
        return Some(format!("expected {wanted}"));
    }
    if found.body.to_lowercase().contains(MARK) {
        return Some("it shows what is ours".to_owned());
    }
    none.filter(|none| *none != found).map(|_| "it differs from what never was".to_owned())
}

#[tokio::test]
async fn within_a_team_the_role_decides() {
    let server = server().await;
    let operations = operations();
    let mut faults = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        let least = match row.need {
            Need::Nothing | Need::Credential => continue,
            Need::Role(least) => Some(least),
            Need::Operator => None,
        };
        let (method, template) = &operations[row.operation];
        let own = Estate::lay(&server, &number.to_string()).await;
        for (role, key) in [(Role::Viewer, &own.viewer), (Role::Member, &own.member), (Role::Admin, &own.admin)] {
            for content in row.contents(&own.ids) {
                let said = ask(&server, key, (method, template), &own.ids, &content).await;
                let others = match role {
                    Role::Viewer => row.of_others[0],
                    Role::Member => row.of_others[1],
                    Role::Admin => None,
                };
                let done = said.status < 300 || row.or.contains(&said.status);
                let right = match least {
                    Some(least) if role >= least => done && others.is_none() || others == Some(said.status),
                    _ => said.status == 403,
                };
                // What is asked without naming anybody is everybody's own.
                let bare = matches!(content, Content::None) && !template.contains('{') && done;
                if !(right || bare && least.is_some_and(|least| role >= least)) {
                    faults.push(format!("{} by {role:?}: {said:?}", row.operation));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
