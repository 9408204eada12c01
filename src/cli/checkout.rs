//! A local git repository: what of it goes up, and how a patch comes back.
//!
//! The user's repository is only read: what is sent is packed in a temporary repository that
//! borrows its objects. The one thing that writes to the checkout is [`Checkout::apply`].

use anyhow::{Context, bail};
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tokio::io::AsyncWriteExt;

/// Bytes of an upload, at most (the API's limit).
const BUNDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A repository on this machine, with the commit that a task starts from.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The top of the working copy; of a bare repository its directory.
    pub root: PathBuf,
    pub commit: String,
    /// The branch or ref that was meant.
    pub name: Option<String>,
    /// Tracked files with changes that are not committed.
    pub changed: usize,
    pub untracked: usize,
    pub bare: bool,
    shallow: bool,
    objects: PathBuf,
}

/// What goes up.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub bytes: Vec<u8>,
    /// The commit stands alone, without those before it.
    pub without_history: bool,
}

impl Checkout {
    /// The repository around a path, at a ref or at HEAD.
    ///
    /// Errors say what is wrong and the mend: no git, no repository, no commit, no such ref.
    pub async fn open(path: &Path, reference: Option<&str>) -> anyhow::Result<Self> {
        let shown = path.display();
        let inside = git(path, &["rev-parse", "--is-bare-repository"]).await?;
        if !inside.status.success() {
            let why = first_line(&inside.stderr);
            let mend = if why.starts_with("not a git repository") {
                "; `git init`, `git add` and `git commit` make it one"
            } else {
                ""
            };
            bail!("{shown} cannot be used as a repository: {why}{mend}");
        }
        let bare = text(&inside.stdout) == "true";
        let top = if bare { "--absolute-git-dir" } else { "--show-toplevel" };
        let root = PathBuf::from(answer(path, &["rev-parse", top]).await?);
        let objects = answer(&root, &["rev-parse", "--path-format=absolute", "--git-path", "objects"]).await?;
        let wanted = reference.unwrap_or("HEAD");
        let commit =
            git(&root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{wanted}^{{commit}}")])
                .await?;
        if !commit.status.success() {
            match reference {
                Some(reference) => bail!("{shown} has no branch, tag or commit {reference:?}"),
                None => bail!("{shown} has no commits yet; `git add` and `git commit` what the task should start from"),
            }
        }
        let branch = git(&root, &["symbolic-ref", "--short", "--quiet", "HEAD"]).await?;
        let branch = Some(text(&branch.stdout)).filter(|name| !name.is_empty());
        let status = if bare {
            Vec::new()
        } else {
            git(&root, &["status", "--porcelain", "-z", "--untracked-files=all"]).await?.stdout
        };
        let (changed, untracked) = count_changes(&status);
        Ok(Self {
            commit: text(&commit.stdout),
            name: reference.map(str::to_owned).or(branch),
            changed,
            untracked,
            bare,
            shallow: answer(&root, &["rev-parse", "--is-shallow-repository"]).await? == "true",
            objects: PathBuf::from(objects),
            root,
        })
    }

    /// The commit with its history as a git bundle whose HEAD it is. Where the history is not
    /// all here (a shallow clone), or too large to send, the commit goes alone.
    pub async fn bundle(&self) -> anyhow::Result<Bundle> {
        if !self.shallow {
            let bytes = self.pack(&self.commit).await?;
            if bytes.len() as u64 <= BUNDLE_BYTES_MAX {
                return Ok(Bundle { bytes, without_history: false });
            }
        }
        let bytes = self.pack_alone().await?;
        if bytes.len() as u64 > BUNDLE_BYTES_MAX {
            let (size, limit) = (bytes.len() / 1024 / 1024, BUNDLE_BYTES_MAX / 1024 / 1024);
            bail!("the repository is too large to send ({size} MiB, at most {limit}); give --repo its URL instead");
        }
        Ok(Bundle { bytes, without_history: true })
    }

    /// Applies a patch to the working copy: all of it, or none.
    ///
    /// Errors, with git's reasons, when it does not apply as the files are now.
    pub async fn apply(&self, patch: &str) -> anyhow::Result<()> {
        let arguments = ["apply", "--whitespace=nowarn"];
        for check in [true, false] {
            let mut arguments = arguments.to_vec();
            arguments.extend(check.then_some("--check"));
            arguments.push("-");
            let done = run(&self.root, &arguments, Some(patch.as_bytes())).await?;
            if !done.status.success() {
                let why: Vec<String> = text(&done.stderr).lines().take(8).map(str::to_owned).collect();
                bail!("{}", why.join("; "));
            }
        }
        Ok(())
    }

    /// A bundle of one commit with all that it needs.
    async fn pack(&self, commit: &str) -> anyhow::Result<Vec<u8>> {
        let scratch = self.scratch().await?;
        self.pack_in(scratch.path(), commit).await
    }

    /// A bundle of a commit with the same tree, message and author, but no parents.
    async fn pack_alone(&self) -> anyhow::Result<Vec<u8>> {
        let scratch = self.scratch().await?;
        let tree = answer(scratch.path(), &["rev-parse", &format!("{}^{{tree}}", self.commit)]).await?;
        let message = answer(scratch.path(), &["show", "--no-patch", "--format=%B", &self.commit]).await?;
        let identity = ["-c", "user.name=journeyman", "-c", "user.email=journeyman@localhost"];
        let mut arguments = identity.to_vec();
        arguments.extend(["commit-tree", &tree, "-F", "-"]);
        let made = run(scratch.path(), &arguments, Some(message.as_bytes())).await?;
        if !made.status.success() {
            bail!("git commit-tree: {}", first_line(&made.stderr));
        }
        self.pack_in(scratch.path(), &text(&made.stdout)).await
    }

    async fn pack_in(&self, scratch: &Path, commit: &str) -> anyhow::Result<Vec<u8>> {
        let branch = self.name.as_deref().filter(|name| is_branch_name(name)).unwrap_or("main");
        let reference = format!("refs/heads/{branch}");
        answer(scratch, &["update-ref", &reference, commit]).await?;
        answer(scratch, &["symbolic-ref", "HEAD", &reference]).await?;
        answer(scratch, &["bundle", "create", "--quiet", "upload.bundle", "HEAD", &reference]).await?;
        Ok(tokio::fs::read(scratch.join("upload.bundle")).await?)
    }

    /// An empty bare repository that borrows this one's objects.
    async fn scratch(&self) -> anyhow::Result<tempfile::TempDir> {
        let scratch = tempfile::Builder::new().prefix("journeyman-").tempdir()?;
        let format = git(&self.root, &["rev-parse", "--show-object-format"]).await?;
        let format = if text(&format.stdout) == "sha256" { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        answer(scratch.path(), &["init", "--quiet", "--bare", "--template=", &format, "."]).await?;
        let alternates = scratch.path().join("objects/info/alternates");
        if let Some(info) = alternates.parent() {
            tokio::fs::create_dir_all(info).await?;
        }
        tokio::fs::write(alternates, format!("{}\n", self.objects.display())).await?;
        if self.shallow {
            let file = answer(&self.root, &["rev-parse", "--path-format=absolute", "--git-path", "shallow"]).await?;
            tokio::fs::copy(file, scratch.path().join("shallow")).await?;
        }
        Ok(scratch)
    }
}

/// Whether a text names a repository elsewhere. `user@host:path` counts, unless there is a
/// file of that name.
pub fn remote_url(text: &str) -> Option<String> {
    if text.contains("://") {
        return Some(text.to_owned());
    }
    let (host, path) = text.split_once(':')?;
    let scp_like = host.contains('@') && !host.contains('/') && !path.is_empty() && !Path::new(text).exists();
    scp_like.then(|| format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

/// Changed and untracked files of `git status --porcelain -z`.
fn count_changes(status: &[u8]) -> (usize, usize) {
    let (mut changed, mut untracked) = (0, 0);
    let mut entries = status.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    while let Some(entry) = entries.next() {
        match entry {
            [b'?', ..] => untracked += 1,
            [b'R' | b'C', ..] => {
                changed += 1;
                // The old path of a rename or copy is an entry of its own.
                entries.next();
            }
            _ => changed += 1,
        }
    }
    (changed, untracked)
}

fn is_branch_name(name: &str) -> bool {
    let simple = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
    let hash = name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.bytes().all(simple)
        && !hash
        && name != "HEAD"
        && !name.contains("..")
        && !name.contains("//")
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains("/.")
        && !name.to_ascii_lowercase().contains(".lock")
}

/// What git prints, where it succeeds.
async fn answer(dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let done = git(dir, arguments).await?;
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    bail!("git {}: {}", arguments.first().unwrap_or(&""), first_line(&done.stderr))
}

async fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    run(dir, arguments, None).await
}

async fn run(dir: &Path, arguments: &[&str], input: Option<&[u8]>) -> anyhow::Result<Output> {
    #[expect(clippy::disallowed_methods, reason = "the command line runs git in its user's own checkout")]
    let mut command = tokio::process::Command::new("git");
    command.arg("-C").arg(dir).args(arguments).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    // Set by git for its hooks and aliases; they would point away from `dir`.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("cannot run git in {}", dir.display()))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // git may have ended without reading it all; its exit code says so.
        let _ = stdin.write_all(input).await;
    }
    Ok(child.wait_with_output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn first_line(bytes: &[u8]) -> String {
    text(bytes).lines().next().unwrap_or("no reason given").trim_start_matches("fatal: ").to_owned()
}
