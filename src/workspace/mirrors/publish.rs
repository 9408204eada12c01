//! A task's patch as a commit that can be pushed: made by git in a throwaway repository of the server's own that sees the
//! mirror's objects, from the base's tree in an index of its own. No file is checked out and no hook, filter or merge driver
//! runs.
//!
//! The same patch, message and time give the same commit, whoever makes it and how often.

use super::{Found, Mirror};
use crate::{
    domain::{Oid, TeamId},
    workspace::{
        git::{Git, GitFailure, Input, io_error, own_failure},
        objects::ObjectId,
        patch::make_repository,
        repository::{Origin, Repositories, RepositoryError},
    },
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// One command of those that make a commit.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// Paths of a patch that are looked at.
const PATHS_LIMIT_BYTES: usize = 64 << 20;
/// Paths in conflict that are told, and that can be resolved.
const CONFLICTS_MAX: usize = 100;

/// Who a commit says made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
}

/// A commit to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// What the patch applies to.
    pub base: &'a Oid,
    /// The ref that the task began with; absent: the remote's HEAD.
    pub reference: Option<&'a str>,
    pub patch: &'a [u8],
    pub message: &'a str,
    pub signature: &'a Signature,
    /// Its time, in seconds since 1970.
    pub at: i64,
    /// Conflicts that the patch was made anew for: where such a file is still what it was on `onto`, the patch's file stands
    /// as it is.
    pub resolved: &'a [Resolved],
}

/// Files for which both sides' changes are one in the patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit whose files it was made with.
    pub onto: Oid,
    pub paths: Vec<String>,
}

/// What came of making a commit.
#[derive(Debug)]
pub enum Built {
    Commit(Committed),
    /// The branch that the task began from has changed where the patch does: what it is now, and the paths, a hundred at most.
    Conflict {
        onto: Oid,
        paths: Vec<String>,
    },
    /// The branch has all that the patch would change.
    Nothing,
}

/// A commit that was made here and is nowhere else yet.
#[derive(Debug)]
pub struct Committed {
    pub commit: Oid,
    /// The base, or what its branch has come to since.
    pub parent: Oid,
    /// What the patch changes, by its base and by what it was brought onto: a directory may have another name there.
    pub paths: Vec<String>,
    /// The branch that it is meant for.
    pub target: Option<String>,
    scratch: TempDir,
}

impl Repositories {
    /// What a branch is at the remote now; absent where there is none.
    pub async fn remote_branch(&self, team: TeamId, url: &str, branch: &str) -> Result<Option<Oid>, RepositoryError> {
        let mirror = self.mirror(team, Origin::Url(url))?;
        Ok(mirror.branch(branch).await?.map(ObjectId::to_oid))
    }

    /// Makes a commit of a patch, on what the branch of its base is at the remote now.
    pub async fn build_commit(&self, team: TeamId, url: &str, new: NewCommit<'_>) -> Result<Built, RepositoryError> {
        let mirror = self.mirror(team, Origin::Url(url))?;
        let missing = || RepositoryError::NoSuchRef { reference: new.base.to_string() };
        let base = ObjectId::from_oid(new.base).ok_or_else(missing)?;
        mirror.snapshot(base).await?;
        let (head, target) = head(&mirror, new.reference).await?;
        let scratch = self.scratch(&mirror).await?;
        let own = Own { repository: scratch.path().to_owned(), new };
        let tree = own.tree(base).await?;
        let commit = own.commit(&tree, base).await?;
        let paths = own.paths(base, commit).await?;
        if paths.is_empty() {
            return Ok(Built::Nothing);
        }
        let committed = |commit: ObjectId, parent: ObjectId, paths: Vec<String>| {
            let (commit, parent) = (commit.to_oid(), parent.to_oid());
            Built::Commit(Committed { commit, parent, paths, target, scratch })
        };
        let Some(head) = head.filter(|head| *head != base) else { return Ok(committed(commit, base, paths)) };
        mirror.commit(&head.to_string()).await?;
        match own.fork_point(base, head).await? {
            Some(point) if point == base => {}
            // What was rewritten since has no place for the patch but its own base.
            Some(_) => return Ok(committed(commit, base, paths)),
            // Its history would go where nobody has it: to another repository, or where it was taken out.
            None => {
                let reason = "its branch has nothing in common with what the task began from any more: it is another \
                              repository now, or was written anew";
                return Err(RepositoryError::Unusable { reason: reason.to_owned() });
            }
        }
        let tree = match own.merged(head, commit).await? {
            Merged::Tree(tree) => tree,
            Merged::Conflict { tree, paths: conflicting } => {
                let resolved = own.resolved(&mirror, (head, commit), &tree, (&conflicting, &paths)).await?;
                let Some(tree) = resolved else {
                    return Ok(Built::Conflict { onto: head.to_oid(), paths: conflicting });
                };
                tree
            }
        };
        if tree == own.tree_of(head).await? {
            return Ok(Built::Nothing);
        }
        let commit = own.commit(&tree, head).await?;
        let all: BTreeSet<String> = own.paths(head, commit).await?.into_iter().chain(paths).collect();
        Ok(committed(commit, head, all.into_iter().collect()))
    }

    /// Pushes a commit to a branch of the remote, if that is still what was `seen` there.
    pub async fn push_commit(
        &self,
        team: TeamId,
        url: &str,
        committed: &Committed,
        branch: &str,
        seen: Option<&Oid>,
    ) -> Result<(), RepositoryError> {
        let mirror = self.mirror(team, Origin::Url(url))?;
        let missing = || RepositoryError::NoSuchRef { reference: committed.commit.to_string() };
        let commit = ObjectId::from_oid(&committed.commit).ok_or_else(missing)?;
        mirror.push(committed.scratch.path(), commit, branch, seen.and_then(ObjectId::from_oid)).await
    }

    /// An empty repository that sees what the mirror has.
    async fn scratch(&self, mirror: &Arc<Mirror>) -> Result<TempDir, RepositoryError> {
        let doing = io_error("making a commit");
        let parent = self.data_dir().join("scratch");
        tokio::fs::create_dir_all(&parent).await.map_err(&doing)?;
        let scratch = tempfile::Builder::new().prefix("publish-").tempdir_in(&parent).map_err(&doing)?;
        make_repository(scratch.path(), Some(&mirror.objects())).map_err(&doing)?;
        if let Some(shallow) = mirror.shallow().await {
            tokio::fs::write(scratch.path().join("shallow"), shallow).await.map_err(&doing)?;
        }
        Ok(scratch)
    }
}

/// What the ref that a task began with is now, if it is a branch, and the branch that its work is meant for.
async fn head(
    mirror: &Arc<Mirror>,
    reference: Option<&str>,
) -> Result<(Option<ObjectId>, Option<String>), RepositoryError> {
    let branch = |found: Found| match found {
        Found::Reference { commit, name } => Some((commit, name.strip_prefix("refs/heads/")?.to_owned())),
        Found::CommitId(_) => None,
    };
    let found = match mirror.look_up(reference).await {
        Ok(found) => branch(found),
        // It was deleted since.
        Err(RepositoryError::NoSuchRef { .. }) => None,
        Err(error) => return Err(error),
    };
    match found {
        Some((commit, name)) => Ok((Some(commit), Some(name))),
        None if reference.is_none() => Ok((None, None)),
        None => Ok((None, mirror.look_up(None).await.ok().and_then(branch).map(|(_, name)| name))),
    }
}

enum Merged {
    Tree(String),
    /// The tree has marks in these files.
    Conflict {
        tree: String,
        paths: Vec<String>,
    },
}

/// Commands in the throwaway repository.
struct Own<'a> {
    repository: PathBuf,
    new: NewCommit<'a>,
}

impl Own<'_> {
    fn git<const N: usize>(&self, arguments: [&str; N]) -> Git {
        let hidden = self.repository.parent().unwrap_or(&self.repository).display().to_string();
        let index = self.repository.join("index");
        Git::new(Some(&self.repository), arguments).timeout(STEP_TIMEOUT).hide(hidden).env("GIT_INDEX_FILE", index)
    }

    /// The base's tree with the patch.
    async fn tree(&self, base: ObjectId) -> Result<String, RepositoryError> {
        let failed = own_failure("making a commit");
        self.git(["read-tree", &base.to_string()]).output().await.map_err(&failed)?;
        let input = Input::Bytes(self.new.patch.to_vec());
        let apply = self.git(["apply", "--cached", "--whitespace=nowarn", "-"]);
        apply.talk(Some(input), |stdout| async move { drain(stdout).await }).await.map_err(&failed)?;
        text(self.git(["write-tree"]).output().await.map_err(&failed)?)
    }

    async fn commit(&self, tree: &str, parent: ObjectId) -> Result<ObjectId, RepositoryError> {
        let (name, email) = (&self.new.signature.name, &self.new.signature.email);
        let date = format!("@{} +0000", self.new.at);
        let git = self
            .git(["commit-tree", tree, "-p", &parent.to_string(), "-F", "-"])
            .config("i18n.commitEncoding", "UTF-8")
            .config("commit.gpgSign", "false")
            .env("GIT_AUTHOR_NAME", name)
            .env("GIT_AUTHOR_EMAIL", email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", name)
            .env("GIT_COMMITTER_EMAIL", email)
            .env("GIT_COMMITTER_DATE", &date);
        let input = Input::Bytes(self.new.message.as_bytes().to_vec());
        let made = git.talk(Some(input), |mut stdout| async move {
            let mut bytes = Vec::new();
            (&mut stdout).take(100).read_to_end(&mut bytes).await?;
            Ok(bytes)
        });
        id(&text(made.await.map_err(own_failure("making a commit"))?)?)
    }

    /// The paths in which two commits differ.
    async fn paths(&self, before: ObjectId, after: ObjectId) -> Result<Vec<String>, RepositoryError> {
        let (before, after) = (before.to_string(), after.to_string());
        let git = self.git(["diff-tree", "-r", "-z", "--name-only", "--no-renames", &before, &after]);
        let output = git.output_limit(PATHS_LIMIT_BYTES).output().await.map_err(own_failure("reading a commit"))?;
        let names = output.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Where two commits' histories part.
    async fn fork_point(&self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, RepositoryError> {
        let git = self.git(["merge-base", &one.to_string(), &other.to_string()]).also_good(1);
        let output = text(git.output().await.map_err(own_failure("reading history"))?)?;
        Ok(output.lines().next().and_then(|line| line.parse().ok()))
    }

    async fn tree_of(&self, commit: ObjectId) -> Result<String, RepositoryError> {
        let name = format!("{commit}^{{tree}}");
        text(self.git(["rev-parse", "--verify", &name]).output().await.map_err(own_failure("reading a commit"))?)
    }

    /// The merged tree with the patch's own files where they are in conflict; none where one of them was not made for what
    /// `head` has there, or is none of the patch's: a file that others have moved is in conflict where it is now.
    async fn resolved(
        &self,
        mirror: &Arc<Mirror>,
        (head, ours): (ObjectId, ObjectId),
        tree: &str,
        (conflicting, own): (&[String], &[String]),
    ) -> Result<Option<String>, RepositoryError> {
        let failed = own_failure("merging");
        if conflicting.len() > CONFLICTS_MAX || conflicting.iter().any(|path| !own.contains(path)) {
            return Ok(None);
        }
        let mut chosen = Vec::new();
        for path in conflicting {
            if !self.is_resolved(mirror, head, path).await? {
                return Ok(None);
            }
            chosen.push((path, self.entry(ours, path).await?));
        }
        self.git(["read-tree", tree]).output().await.map_err(&failed)?;
        for (path, entry) in chosen {
            let git = match &entry {
                Some((mode, object)) => self.git(["update-index", "--add", "--cacheinfo", mode, object, path]),
                None => self.git(["update-index", "--force-remove", "--", path]),
            };
            git.output().await.map_err(&failed)?;
        }
        text(self.git(["write-tree"]).output().await.map_err(&failed)?).map(Some)
    }

    async fn is_resolved(&self, mirror: &Arc<Mirror>, head: ObjectId, path: &str) -> Result<bool, RepositoryError> {
        let now = self.entry(head, path).await?;
        for resolved in self.new.resolved.iter().filter(|resolved| resolved.paths.iter().any(|one| one == path)) {
            let Some(onto) = ObjectId::from_oid(&resolved.onto) else { continue };
            // What the host has no more cannot be compared.
            if mirror.commit(&onto.to_string()).await.is_ok() && self.entry(onto, path).await? == now {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Mode and object of a file in a commit.
    async fn entry(&self, commit: ObjectId, path: &str) -> Result<Option<(String, String)>, RepositoryError> {
        let git = self.git(["ls-tree", "-z", &commit.to_string(), "--", path]).env("GIT_LITERAL_PATHSPECS", "1");
        let output = git.output().await.map_err(own_failure("reading a commit"))?;
        let line = String::from_utf8_lossy(&output);
        let mut words = line.split(['\t', '\0']).next().unwrap_or_default().split(' ');
        let (mode, object) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        Ok((!object.is_empty()).then(|| (mode.to_owned(), object.to_owned())))
    }

    /// Both commits' changes since their histories part.
    async fn merged(&self, head: ObjectId, ours: ObjectId) -> Result<Merged, RepositoryError> {
        let (head, ours) = (head.to_string(), ours.to_string());
        // What is new in a directory that others have renamed goes along.
        let git = self
            .git(["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", &head, &ours])
            .config("merge.directoryRenames", "true")
            .also_good(1);
        let output = git.output_limit(PATHS_LIMIT_BYTES).output().await.map_err(own_failure("merging"))?;
        let mut parts = output.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let parts: Vec<String> =
            parts.by_ref().take(CONFLICTS_MAX + 1).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        match parts.split_first() {
            Some((tree, [])) => Ok(Merged::Tree(tree.trim().to_owned())),
            Some((tree, paths)) => Ok(Merged::Conflict { tree: tree.trim().to_owned(), paths: paths.to_vec() }),
            None => Err(RepositoryError::Git { doing: "merging", reason: "git gave no tree".to_owned() }),
        }
    }
}

/// What a command says that says nothing.
async fn drain(mut stdout: tokio::process::ChildStdout) -> Result<(), GitFailure> {
    tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
    Ok(())
}

fn text(output: Vec<u8>) -> Result<String, RepositoryError> {
    let unreadable = |_| RepositoryError::Git { doing: "making a commit", reason: "git gave no text".to_owned() };
    Ok(String::from_utf8(output).map_err(unreadable)?.trim().to_owned())
}

fn id(text: &str) -> Result<ObjectId, RepositoryError> {
    text.parse().map_err(|_| RepositoryError::Git { doing: "making a commit", reason: "git gave no id".to_owned() })
}
