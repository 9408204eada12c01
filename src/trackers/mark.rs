//! What the service's own comments are known again by, whoever's account writes them.
//!
//! Each is made with a mark, which is looked for before the comment is made again, and which tells a delivery about an own
//! comment from one about a person's. Who gives his comment such a mark has it ignored, and no more.
//! - GitHub, GitLab, Gitea: an HTML comment that the text begins with. A reader does not see it.
//! - Jira: a link that the text begins with. Deliveries have no properties of comments, and `{anchor:…}` is lost where Jira turns
//!   wiki markup into its documents (`@atlaskit/editor-wikimarkup-transformer`); links to `#…` stay.
//! - Linear: the comment's id, which is the client's to choose, holds a check of itself. Its editor makes documents of Markdown
//!   too, and what it does with HTML comments is not documented.

use super::{
    delivery::What,
    read::{at, ignored},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid, Variant, Version};

const HIDDEN: &str = "<!-- journeyman";
const LINK: &str = "[Journeyman|#journeyman-";
const FRAGMENT: &str = "#journeyman-";
/// Bytes of an id that are checked by those behind them.
const ID_HEAD_BYTES: usize = 10;
/// How deep the beginning of a document is looked for.
const DEPTH_MAX: usize = 10;

/// As an HTML comment.
pub(super) fn hidden(mark: Uuid) -> String {
    format!("{HIDDEN}:{mark} -->")
}

/// As a link of wiki markup.
pub(super) fn link(mark: Uuid) -> String {
    format!("{LINK}{mark}]")
}

/// As the id of a comment: a UUID that looks random (Linear asks for version 4).
pub(super) fn id(mark: Uuid) -> Uuid {
    let mut bytes = [0; 16];
    let head = Sha256::new_with_prefix("journeyman comment\n").chain_update(mark).finalize();
    bytes[..ID_HEAD_BYTES].copy_from_slice(&head[..ID_HEAD_BYTES]);
    let mut bytes = random(bytes).into_bytes();
    let check = check(&bytes[..ID_HEAD_BYTES]);
    bytes[ID_HEAD_BYTES..].copy_from_slice(&check);
    Uuid::from_bytes(bytes)
}

/// An id that is the same for the same thing.
pub(super) fn id_of(kind: &str, thing: &str) -> Uuid {
    let hash = Sha256::new_with_prefix(format!("journeyman {kind}\n")).chain_update(thing).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    random(bytes)
}

fn random(bytes: [u8; 16]) -> Uuid {
    Builder::from_bytes(bytes).with_variant(Variant::RFC4122).with_version(Version::Random).into_uuid()
}

fn check(head: &[u8]) -> [u8; 16 - ID_HEAD_BYTES] {
    let hash = Sha256::new_with_prefix("journeyman check\n").chain_update(head).finalize();
    let mut check = [0; 16 - ID_HEAD_BYTES];
    check.copy_from_slice(&hash[..16 - ID_HEAD_BYTES]);
    check
}

/// Whether the service has chosen this id.
pub(super) fn is_own_id(id: &Value) -> bool {
    let id = id.as_str().and_then(|id| Uuid::parse_str(id).ok());
    id.is_some_and(|id| id.as_bytes()[ID_HEAD_BYTES..] == check(&id.as_bytes()[..ID_HEAD_BYTES]))
}

/// Whether a text begins with a hidden mark.
pub(super) fn is_hidden_in(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.trim_start().starts_with(HIDDEN))
}

/// Whether wiki markup, or a document in Atlassian's format, begins with a mark's link.
pub(super) fn is_linked_in(text: &Value) -> bool {
    match text {
        Value::String(text) => text.trim_start().starts_with(LINK),
        Value::Object(_) => begins_with_link(text),
        _ => false,
    }
}

fn begins_with_link(document: &Value) -> bool {
    let mut node = document;
    for _ in 0..DEPTH_MAX {
        match at(node, "/content/0") {
            Value::Null => break,
            first => node = first,
        }
    }
    let marks = at(node, "/marks").as_array().map(Vec::as_slice).unwrap_or_default();
    marks.iter().any(|mark| at(mark, "/attrs/href").as_str().is_some_and(|href| href.starts_with(FRAGMENT)))
}

/// What has happened, unless the service itself has written this.
pub(super) fn own_or(is_own: bool, what: impl FnOnce() -> What) -> What {
    if is_own { ignored("it is the service's own comment") } else { what() }
}
