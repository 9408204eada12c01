//! What an integration may say.

use super::IntegrationEdit;
use crate::{
    domain::{
        IntegrationId,
        integration::{Answers, GithubApp, IntegrationSpec, MappedRepository, Rules},
        network::NetworkCap,
    },
    secrets::Secret,
    service::{
        Faults, Hooks,
        given::{limits, network},
    },
    trackers::template,
};
use std::collections::BTreeMap;
use url::Url;

const NAME_CHARS_MAX: usize = 100;
const SECRET_CHARS_MIN: usize = 8;
const SECRET_CHARS_MAX: usize = 500;
const TOKEN_BYTES_MAX: usize = 8 << 10;
const URL_CHARS_MAX: usize = 2_000;
const REF_CHARS_MAX: usize = 250;
const WORD_CHARS_MAX: usize = 200;
const LABELS_MAX: usize = 50;
const REPOSITORIES_MAX: usize = 500;
const USERS_MAX: usize = 500;
const TEMPLATE_CHARS_MAX: usize = 5_000;
const WISHES_MAX: usize = 20;
const ID_CHARS_MAX: usize = 100;

/// What an integration is after an edit.
pub(super) fn edited(
    name: String,
    spec: IntegrationSpec,
    edit: IntegrationEdit,
    hooks: &Hooks,
    cap: &NetworkCap,
    faults: &mut Faults,
) -> (String, IntegrationSpec) {
    let (mut name, mut spec) = (name, spec);
    if let Some(new) = edit.name {
        new.trim().clone_into(&mut name);
        faults.line("/name", &name, NAME_CHARS_MAX);
        if name.parse::<IntegrationId>().is_ok() {
            faults.add("/name", "may not look like an id");
        }
    }
    if let Some(secret) = &edit.secret {
        check_secret(secret, faults);
    }
    if let Some(token) = edit.token.as_ref().and_then(Option::as_ref) {
        check_token(token, faults);
    }
    if let Some(base_url) = edit.base_url {
        spec.base_url = base_url.filter(|url| !url.is_empty()).map(|url| url.trim_end_matches('/').to_owned());
        if let Some(base_url) = &spec.base_url {
            check_base_url(base_url, faults);
        }
    }
    if let Some(given) = edit.rules {
        spec.rules = rules(given.unwrap_or_default(), faults);
    }
    if let Some(given) = edit.repositories {
        spec.repositories = repositories(given.unwrap_or_default(), hooks, faults);
    }
    if let Some(users) = edit.allowed_users {
        spec.allowed_users = users.unwrap_or_default().iter().map(|user| user.trim().to_owned()).collect();
        faults.count("/allowed_users", spec.allowed_users.len(), USERS_MAX);
        for (index, user) in spec.allowed_users.iter().enumerate() {
            faults.line(&format!("/allowed_users/{index}"), user, WORD_CHARS_MAX);
        }
    }
    if let Some(environment) = edit.environment {
        spec.environment = environment.filter(|name| !name.is_empty());
    }
    if let Some(approval) = edit.approval {
        spec.approval = approval;
    }
    if let Some(given) = edit.network {
        spec.network = given.map(|input| network("/network", &input, cap, faults));
    }
    if let Some(given) = edit.limits {
        spec.limits = given.unwrap_or_default();
        limits(&spec.limits, faults);
    }
    if let Some(publish) = edit.publish {
        spec.publish = publish.unwrap_or_default();
    }
    if let Some(given) = edit.answers {
        spec.answers = answers(given.unwrap_or_default(), faults);
    }
    if let Some(given) = edit.pull_requests {
        spec.pull_requests = given.unwrap_or_default();
        for (field, words) in [("labels", &spec.pull_requests.labels), ("reviewers", &spec.pull_requests.reviewers)] {
            let pointer = format!("/pull_requests/{field}");
            faults.count(&pointer, words.len(), WISHES_MAX);
            for (index, word) in words.iter().enumerate() {
                faults.line(&format!("{pointer}/{index}"), word, WORD_CHARS_MAX);
            }
        }
    }
    if let Some(app) = edit.app {
        spec.app = app;
        let Some(GithubApp { app_id, installation_id }) = &spec.app else { return (name, spec) };
        for (pointer, word) in [("/app/app_id", app_id), ("/app/installation_id", installation_id)] {
            if word.is_empty()
                || word.len() > ID_CHARS_MAX
                || !word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
            {
                faults.add(pointer, "must be an id of letters, digits and dots");
            }
        }
    }
    (name, spec)
}

fn check_secret(secret: &Secret, faults: &mut Faults) {
    let text = secret.expose();
    let chars = text.chars().count();
    if !(SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&chars) || text.trim() != text {
        let why =
            format!("must have from {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters, none of them around it blank");
        faults.add("/secret", why);
    }
    if text.chars().any(char::is_control) {
        faults.add("/secret", "may not contain line breaks or other control characters");
    }
}

fn check_token(token: &Secret, faults: &mut Faults) {
    let text = token.expose();
    if text.trim().is_empty() || text.len() > TOKEN_BYTES_MAX {
        faults.add("/token", format!("must have from 1 to {TOKEN_BYTES_MAX} bytes"));
    }
}

fn check_base_url(text: &str, faults: &mut Faults) {
    faults.long("/base_url", text, URL_CHARS_MAX);
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let bare = |url: &Url| {
        let plain = url.username().is_empty() && url.password().is_none();
        plain && url.query().is_none() && url.fragment().is_none()
    };
    if !url.is_some_and(|url| bare(&url)) {
        faults.add("/base_url", "must be an address such as https://git.example.org");
    }
}

fn rules(given: Rules, faults: &mut Faults) -> Rules {
    let word = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let rules = Rules {
        labels: given.labels.iter().map(|label| label.trim().to_owned()).collect(),
        mention: word(given.mention),
        assignee: word(given.assignee),
    };
    faults.count("/rules/labels", rules.labels.len(), LABELS_MAX);
    for (index, label) in rules.labels.iter().enumerate() {
        faults.line(&format!("/rules/labels/{index}"), label, WORD_CHARS_MAX);
    }
    for (pointer, word) in [("/rules/mention", &rules.mention), ("/rules/assignee", &rules.assignee)] {
        let Some(word) = word else { continue };
        faults.line(pointer, word, WORD_CHARS_MAX);
        if word.contains(char::is_whitespace) || word == "@" {
            faults.add(pointer, "must be a name such as @agent");
        }
    }
    rules
}

fn answers(given: Answers, faults: &mut Faults) -> Answers {
    let Answers { enabled, template } = given;
    let template = template.filter(|text| !text.trim().is_empty());
    if let Some(text) = &template {
        faults.long("/answers/template", text, TEMPLATE_CHARS_MAX);
        for unknown in template::unknown(text) {
            let known = template::NAMES.map(|name| format!("{{{name}}}")).join(", ");
            faults.add("/answers/template", format!("{{{unknown}}} is not known: there are {known}"));
        }
    }
    Answers { enabled, template }
}

fn repositories(
    given: BTreeMap<String, MappedRepository>,
    hooks: &Hooks,
    faults: &mut Faults,
) -> BTreeMap<String, MappedRepository> {
    faults.count("/repositories", given.len(), REPOSITORIES_MAX);
    for (key, MappedRepository { url, reference }) in &given {
        let pointer = format!("/repositories/{}", key.replace('~', "~0").replace('/', "~1"));
        faults.line(&pointer, key, WORD_CHARS_MAX);
        faults.text(&format!("{pointer}/url"), url, URL_CHARS_MAX);
        if let Err(why) = (hooks.repository_url)(url) {
            faults.add(format!("{pointer}/url"), why);
        }
        if let Some(reference) = reference {
            faults.text(&format!("{pointer}/ref"), reference, REF_CHARS_MAX);
            if let Err(why) = (hooks.repository_ref)(reference) {
                faults.add(format!("{pointer}/ref"), why);
            }
        }
    }
    given
}
