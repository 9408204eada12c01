//! Who publishes tasks' work, and how often it is tried.

use super::{ConfigError, parse, source::Source};

/// Characters of a name or an address, at most.
const IDENTITY_CHARS_MAX: usize = 200;
/// More than three hours in all: forges' limits are by the hour.
const ATTEMPTS: u32 = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSettings {
    /// Author and committer.
    pub name: String,
    pub email: String,
    /// Whether commits carry `Signed-off-by`.
    pub sign_off: bool,
    /// How often a publishing is tried whose host cannot be reached.
    pub attempts: u32,
}

pub(super) fn read(source: &Source<'_>) -> Result<PublishSettings, ConfigError> {
    Ok(PublishSettings {
        name: source.parsed("git_name", identity)?.unwrap_or_else(|| "Journeyman".to_owned()),
        email: source.parsed("git_email", identity)?.unwrap_or_else(|| "journeyman@localhost".to_owned()),
        sign_off: source.parsed("git_sign_off", parse::truth)?.unwrap_or(false),
        attempts: source.parsed("publish_attempts", parse::number(1, 100))?.map_or(ATTEMPTS, |n| n as u32),
    })
}

/// What git takes as a name or an address (git-commit-tree(1)).
fn identity(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sane = !text.is_empty()
        && text.chars().count() <= IDENTITY_CHARS_MAX
        && !text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
    if sane { Ok(text.to_owned()) } else { Err("must be a line of text without < and >".to_owned()) }
}
