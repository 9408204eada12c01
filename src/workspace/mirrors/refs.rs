//! Which commits a remote says that its refs are.

use crate::workspace::objects::ObjectId;

/// What a ref is at the remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::workspace) enum Found {
    /// A branch or tag, or HEAD, which is then named by its branch.
    Reference { commit: ObjectId, name: String },
    /// No such name, but it may be a commit's id.
    CommitId(String),
}

/// What `ls-remote --symref` told.
pub(super) struct Refs {
    pub(super) head: Option<String>,
    pub(super) list: Vec<(String, ObjectId)>,
}

impl Refs {
    pub(super) fn parse(text: &str) -> Self {
        let mut refs = Self { head: None, list: Vec::new() };
        for (value, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match value.strip_prefix("ref: ") {
                Some(target) if name == "HEAD" => refs.head = Some(target.to_owned()),
                Some(_) => {}
                None => refs.list.extend(value.parse().map(|oid| (name.to_owned(), oid))),
            }
        }
        refs
    }

    pub(super) fn commit(&self, name: &str) -> Option<ObjectId> {
        self.list.iter().find(|(listed, _)| listed == name).map(|(_, oid)| *oid)
    }

    /// For a bundle without HEAD: its only branch, or `main` or `master`.
    pub(super) fn likely_head(&self) -> Option<Found> {
        let branches: Vec<&(String, ObjectId)> =
            self.list.iter().filter(|(name, _)| name.starts_with("refs/heads/")).collect();
        let usual = |name: &str| branches.iter().find(|(branch, _)| branch == name);
        let (name, commit) = match branches.as_slice() {
            [only] => only,
            _ => usual("refs/heads/main").or_else(|| usual("refs/heads/master"))?,
        };
        Some(Found::Reference { commit: *commit, name: name.clone() })
    }
}
