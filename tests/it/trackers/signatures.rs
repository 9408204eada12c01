//! Whether a request is believed: its raw bytes, its age, the secrets that hold.

use super::sent::{SECRET, Sent, hex_mac, now_ms, sent};
use base64::{Engine, engine::general_purpose::STANDARD};
use journeyman::{
    domain::linked_account::Provider,
    secrets::Secret,
    trackers::{Refused, verify},
};

const ALL: [(Provider, &str); 5] = [
    (Provider::Github, "issues_labeled"),
    (Provider::Gitlab, "issue_labelled"),
    (Provider::Gitea, "issue_label_updated"),
    (Provider::Jira, "issue_labelled"),
    (Provider::Linear, "issue_labelled"),
];

fn secrets() -> Vec<Secret> {
    vec![Secret::new("the next secret of it"), Secret::new(SECRET)]
}

fn look(sent: &Sent) -> Result<(), Refused> {
    verify(sent.tracker, &sent.map(), &sent.body, &secrets(), now_ms())
}

#[test]
fn each_trackers_own_signature_is_believed_by_either_of_two_secrets() {
    for (tracker, name) in ALL {
        assert_eq!(look(&sent(tracker, name)), Ok(()), "{tracker:?}");
        assert_eq!(look(&sent(tracker, name).signed("the next secret of it")), Ok(()), "{tracker:?}");
        assert_eq!(look(&sent(tracker, name).signed("the secret before both")), Err(Refused::Wrong), "{tracker:?}");
    }
}

#[test]
fn another_body_a_shorter_one_and_no_signature_are_refused() {
    for (tracker, name) in ALL {
        let header = match tracker {
            Provider::Github => "x-hub-signature-256",
            Provider::Gitlab => "x-gitlab-token",
            Provider::Gitea => "x-gitea-signature",
            Provider::Jira => "x-hub-signature",
            Provider::Linear => "linear-signature",
        };
        assert_eq!(look(&sent(tracker, name).without(header)), Err(Refused::Missing), "{tracker:?}");
        assert_eq!(look(&sent(tracker, name).with(header, "")), Err(Refused::Wrong), "{tracker:?}");
        assert_eq!(look(&sent(tracker, name).with(header, "sha256=00")), Err(Refused::Wrong), "{tracker:?}");
        if tracker == Provider::Gitlab {
            // Its token says nothing of the body.
            continue;
        }
        let mut other = sent(tracker, name);
        let last = other.body.len() - 2;
        other.body[last] ^= 1;
        assert_eq!(look(&other), Err(Refused::Wrong), "{tracker:?}");
        other.body.truncate(last);
        assert_eq!(look(&other), Err(Refused::Wrong), "{tracker:?}");
        let mut twice = sent(tracker, name);
        let value = twice.headers.iter().find(|(name, _)| name == header).unwrap().1.clone();
        twice.headers.push((header.to_owned(), value));
        let mut map = twice.map();
        map.append(header.parse::<http::HeaderName>().unwrap(), "x".parse().unwrap());
        let done = verify(tracker, &map, &twice.body, &secrets(), now_ms());
        assert_eq!(done, Err(Refused::Wrong), "{tracker:?}: two signatures");
    }
}

#[test]
fn a_giteas_request_is_no_githubs_although_it_is_signed_as_one() {
    let mut gitea = sent(Provider::Gitea, "issue_label_updated");
    gitea.tracker = Provider::Github;
    assert_eq!(look(&gitea), Err(Refused::OtherTracker));
    let mut github = sent(Provider::Github, "issues_labeled");
    github.tracker = Provider::Gitea;
    assert_eq!(look(&github), Err(Refused::Missing));
}

#[test]
fn an_empty_secret_signs_nothing() {
    let sent = sent(Provider::Github, "issues_labeled").signed("");
    let done = verify(Provider::Github, &sent.map(), &sent.body, &[Secret::new("")], now_ms());
    assert_eq!(done, Err(Refused::Wrong));
}

#[test]
fn linears_signed_time_is_at_most_a_minute_from_now() {
    let sent = sent(Provider::Linear, "issue_labelled");
    for (later_ms, wanted) in
        [(0, Ok(())), (59_000, Ok(())), (62_000, Err(Refused::Stale)), (-62_000, Err(Refused::Stale))]
    {
        let done = verify(Provider::Linear, &sent.map(), &sent.body, &secrets(), now_ms() + later_ms);
        assert_eq!(done, wanted, "{later_ms}");
    }
    let mut timeless = sent.clone();
    timeless.body = b"{}".to_vec();
    assert_eq!(look(&timeless.signed(SECRET)), Err(Refused::Stale));
}

#[test]
fn gitlabs_newer_signature_holds_for_five_minutes() {
    let bytes = sent(Provider::Gitlab, "issue_labelled").without("x-gitlab-token");
    let key = STANDARD.encode("the bytes of a signing token");
    let signing = [Secret::new(format!("whsec_{key}"))];
    let at = |sent_at: i64| {
        let start = format!("msg_1.{sent_at}.");
        let signed = [start.as_bytes(), &bytes.body].concat();
        let hex = hex_mac("the bytes of a signing token", &signed);
        let mac: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let signature = format!("v1,AAAA v1,{}", STANDARD.encode(mac));
        bytes
            .clone()
            .with("webhook-id", "msg_1")
            .with("webhook-timestamp", &sent_at.to_string())
            .with("webhook-signature", &signature)
    };
    let now = now_ms() / 1_000;
    for (sent_at, wanted) in
        [(now, Ok(())), (now - 290, Ok(())), (now - 310, Err(Refused::Stale)), (now + 310, Err(Refused::Stale))]
    {
        let sent = at(sent_at);
        assert_eq!(verify(Provider::Gitlab, &sent.map(), &sent.body, &signing, now_ms()), wanted, "{sent_at}");
    }
    let moved = at(now).with("webhook-timestamp", &(now + 1).to_string());
    let done = verify(Provider::Gitlab, &moved.map(), &moved.body, &signing, now_ms());
    assert_eq!(done, Err(Refused::Missing), "another time is not signed, and there is no token");
}
