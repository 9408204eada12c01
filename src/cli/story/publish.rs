//! What became of publishing, in a line.

use crate::{
    cli::screen::{Tone, clean},
    domain::publish::PublishState,
};

pub(super) fn told(
    state: PublishState,
    branch: &str,
    pull_request_url: Option<&str>,
    reason: Option<&str>,
) -> (Tone, String) {
    let (tone, what) = match state {
        PublishState::Requested => (Tone::Plain, "publishing as"),
        PublishState::WaitingApproval => (Tone::Warn, "waits for an approval to be published as"),
        PublishState::Done => (Tone::Accent, "published as"),
        PublishState::Conflict => (Tone::Warn, "in conflict with its base, not published as"),
        PublishState::Failed => (Tone::Warn, "could not be published as"),
        PublishState::Denied => (Tone::Warn, "denied, not published as"),
    };
    let url = pull_request_url.map(|url| format!(" · {}", clean(url))).unwrap_or_default();
    let reason = reason.map(|reason| format!(": {}", clean(reason))).unwrap_or_default();
    (tone, format!("{what} {}{url}{reason}", clean(branch)))
}
