//! A remote (or a bundle, which git treats as one): which commit a ref is there, and fetching it.
//!
//! A remote is opened by resolving its host, checking every address, and pinning git to them; a local
//! one by finding out where it really is. Nothing is followed from there: no redirect, no proxy of the
//! environment, no submodule. What the team gave to reach it is asked for and handed over as `credential` says.

use super::{
    refs::{Found, Refs},
    ssh::{SshSettings, ssh_command},
};
use crate::{
    domain::{BlobHash, TeamId},
    net::{AddressPolicy, NetError, is_public},
    workspace::{
        credential::{GitCredential, Handed},
        git::{Git, GitFailure, io_error, size_of},
        objects::ObjectId,
        repository::{RepositoryError, RepositorySettings},
        source::{RepositoryUrl, SourceError, SshUrl},
    },
};
use std::{
    ffi::OsString,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The most that a list of refs may be: a hundred thousand of them.
const REFS_LIMIT_BYTES: usize = 16 << 20;
/// Contents that one command asks for.
const CONTENTS_AT_ONCE: usize = 1_000;

/// In the data directory: a file per team of hosts' keys that were seen first.
const KNOWN_HOSTS: &str = "known-hosts";

/// How git takes a push on this host: whatever that repository's own configuration says, it starts no program.
const LOCAL_RECEIVE_PACK: &str = "git -c core.hooksPath=/dev/null -c receive.autogc=false \
    -c core.alternateRefsCommand=true -c core.fsmonitor=false receive-pack";

/// What git and hosts say to who may not: over HTTP, and over SSH in the words of GitHub, GitLab and Gitea.
const REFUSED: [&str; 10] = [
    "Authentication failed",
    "could not read Username",
    "error: 401",
    "error: 403",
    "Permission denied",
    " denied to ",
    "does not have write access",
    "not allowed to push",
    "not authorized to write",
    "have no permission",
];
/// What a repository answers that has another address now; nothing is followed there.
const MOVED: [&str; 4] = ["error: 301", "error: 302", "error: 307", "error: 308"];

/// What a remote is reached with.
enum Given {
    Nothing,
    /// A token for the host at this address.
    Token(GitCredential, String),
    /// A key, and the ssh command but for where the host's keys are.
    Key(GitCredential, SshUrl, Vec<SocketAddr>),
}

/// An opened remote.
pub(super) struct Remote {
    url: OsString,
    protocol: &'static str,
    config: Vec<(String, OsString)>,
    env: Vec<(&'static str, OsString)>,
    hidden: Vec<String>,
    given: Given,
    ssh_settings: SshSettings,
    /// A bundle, which has no symbolic HEAD.
    bundle: bool,
    /// An empty repository of the server's own, for commands that want one.
    nowhere: PathBuf,
    connect_timeout: Duration,
    fetch_timeout: Duration,
    size_limit_bytes: u64,
    /// Larger contents stay at the remote until a commit is laid out that has them; 0: none do.
    leave_out_from_bytes: u64,
}

impl Remote {
    /// Resolves and checks the host, or finds the real place of a local repository.
    pub(super) async fn open(
        team: TeamId,
        url: &RepositoryUrl,
        credential: Option<GitCredential>,
        settings: &RepositorySettings,
        policy: &AddressPolicy,
    ) -> Result<Self, RepositoryError> {
        let mut remote = Self::new(url.to_string().into(), settings);
        match url {
            RepositoryUrl::Local(path) => remote.open_local(path, settings).await?,
            RepositoryUrl::Http(_) => {
                remote.protocol = "http:https";
                let private = remote.open_http(url, settings, policy).await?;
                let credential = credential.filter(|credential| private || credential.is_for(url));
                // In the clear a token goes over the operator's own networks alone.
                let safe = private || remote.url.to_string_lossy().starts_with("https:");
                if let (Some(credential), Some((host, port))) = (credential.filter(|_| safe), url.host_and_port()) {
                    let scheme = if remote.url.to_string_lossy().starts_with("https:") { "https" } else { "http" };
                    remote.given = Given::Token(credential, format!("{scheme}://{host}:{port}"));
                }
            }
            RepositoryUrl::Ssh(ssh) => {
                remote.protocol = "ssh";
                let port = ssh.port.unwrap_or(22);
                let addresses = policy.resolve(&ssh.host, port).await.map_err(refused)?;
                let private = !addresses.iter().any(|address| is_public(address.ip()));
                let credential = credential.filter(|credential| private || credential.is_for(url));
                remote.env.push(("GIT_SSH_VARIANT", "ssh".into()));
                // Each team finds out for itself whom it speaks to.
                let known_hosts = settings.data_dir.join(KNOWN_HOSTS);
                tokio::fs::create_dir_all(&known_hosts).await.map_err(io_error("keeping hosts' keys"))?;
                remote.ssh_settings.known_hosts = known_hosts.join(team.to_string());
                remote.hidden.push(known_hosts.display().to_string());
                if let Some(credential) = credential {
                    remote.given = Given::Key(credential, ssh.clone(), addresses);
                } else {
                    let command = ssh_command(ssh, &addresses, None, &remote.ssh_settings);
                    remote.env.push(("GIT_SSH_COMMAND", command));
                }
            }
        }
        Ok(remote)
    }

    /// A bundle file of the server's own.
    pub(super) fn bundle(path: &Path, settings: &RepositorySettings) -> Self {
        let mut remote = Self::new(path.into(), settings);
        remote.protocol = "file";
        remote.bundle = true;
        remote.hidden.push(path.display().to_string());
        remote
    }

    fn new(url: OsString, settings: &RepositorySettings) -> Self {
        Self {
            url,
            protocol: "",
            config: Vec::new(),
            env: Vec::new(),
            hidden: vec![settings.data_dir.display().to_string()],
            given: Given::Nothing,
            ssh_settings: SshSettings {
                known_hosts: PathBuf::new(),
                connect_seconds: settings.connect_timeout.as_secs().max(1),
            },
            bundle: false,
            nowhere: nowhere(settings),
            connect_timeout: settings.connect_timeout,
            fetch_timeout: settings.fetch_timeout,
            size_limit_bytes: settings.size_limit_bytes,
            leave_out_from_bytes: settings.leave_out_from_bytes,
        }
    }

    /// Answers whether every address that is connected to is one of the operator's own networks.
    async fn open_http(
        &mut self,
        url: &RepositoryUrl,
        settings: &RepositorySettings,
        policy: &AddressPolicy,
    ) -> Result<bool, RepositoryError> {
        let (host, port) = url.host_and_port().ok_or(SourceError::Url("has no host"))?;
        let outgoing = &settings.outgoing;
        let mut proxy = String::new();
        let mut private = false;
        if let Some(through) = outgoing.proxy.as_ref().filter(|_| outgoing.uses_proxy(host)) {
            // The proxy resolves. What can be seen without resolving is checked here, and what this host resolves, too:
            // a name that leads to a private address here is not for the proxy to reach either.
            policy.check_host(host).map_err(refused)?;
            match policy.resolve(host, port).await {
                Ok(_) | Err(NetError::Unresolved { .. }) => {}
                Err(error) => return Err(refused(error)),
            }
            through.as_str().clone_into(&mut proxy);
            self.hidden.push(proxy.clone());
        } else {
            let addresses = policy.resolve(host, port).await.map_err(refused)?;
            private = !addresses.iter().any(|address| is_public(address.ip()));
            let mut pin = format!("{host}:{port}:");
            for (index, address) in addresses.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = match address {
                    SocketAddr::V4(four) => write!(pin, "{comma}{}", four.ip()),
                    SocketAddr::V6(six) => write!(pin, "{comma}[{}]", six.ip()),
                };
            }
            // an address needs no pin
            if host.parse::<std::net::Ipv4Addr>().is_err() && !host.starts_with('[') {
                self.config.push(("http.curloptResolve".to_owned(), pin.into()));
            }
        }
        self.config.push(("http.proxy".to_owned(), proxy.into()));
        if let Some(ca_file) = &outgoing.ca_file {
            self.config.push(("http.sslCAInfo".to_owned(), ca_file.into()));
            self.config.push(("http.sslCAPath".to_owned(), "/etc/ssl/certs".into()));
        }
        Ok(private)
    }

    /// Where the path really is must be below an allowed directory too, and so must git's own directory.
    /// git is then told to trust exactly that place, whoever owns it.
    async fn open_local(&mut self, path: &Path, settings: &RepositorySettings) -> Result<(), RepositoryError> {
        self.protocol = "file";
        let absent = |_| RepositoryError::Unreachable { reason: "there is no such directory".to_owned() };
        let refuse = || SourceError::Url("names a local path that the operator has not allowed");
        let place = tokio::fs::canonicalize(path).await.map_err(absent)?;
        let mut allowed = Vec::new();
        for directory in &settings.allow_local {
            allowed.extend(tokio::fs::canonicalize(directory).await);
        }
        let mut trusted = vec![place.clone()];
        if let Ok(git_directory) = tokio::fs::canonicalize(place.join(".git")).await {
            if git_directory.is_file() {
                let pointer = tokio::fs::read_to_string(&git_directory).await.unwrap_or_default();
                let target = pointer.trim().strip_prefix("gitdir: ").ok_or_else(refuse)?;
                let target = tokio::fs::canonicalize(place.join(target)).await.map_err(absent)?;
                if let Ok(common) = tokio::fs::read_to_string(target.join("commondir")).await {
                    trusted.push(tokio::fs::canonicalize(target.join(common.trim())).await.map_err(absent)?);
                }
                trusted.push(target);
            }
            trusted.push(git_directory);
        }
        if !trusted.iter().all(|path| allowed.iter().any(|directory| path.starts_with(directory))) {
            return Err(refuse().into());
        }
        self.env.push(("GIT_CONFIG_GLOBAL", trust(&trusted, settings).await?.into()));
        let mut url = OsString::from("file://");
        url.push(&place);
        self.url = url;
        Ok(())
    }

    /// Asks what `reference` is; absent: HEAD.
    pub(super) async fn look_up(&self, reference: Option<&str>) -> Result<Found, RepositoryError> {
        let wanted = reference.unwrap_or("HEAD");
        let names: Vec<String> = if wanted == "HEAD" || wanted.starts_with("refs/") {
            vec![wanted.to_owned()]
        } else {
            ["refs/heads/", "refs/tags/", "refs/"].map(|prefix| format!("{prefix}{wanted}")).into()
        };
        let patterns: Vec<String> = names.iter().flat_map(|name| [name.clone(), format!("{name}^{{}}")]).collect();
        let refs = self.refs(&patterns).await?;
        for name in &names {
            if let Some(commit) = refs.commit(&format!("{name}^{{}}")).or_else(|| refs.commit(name)) {
                let name = if name == "HEAD" { refs.head.clone().unwrap_or_default() } else { name.clone() };
                return Ok(Found::Reference { commit, name });
            }
        }
        if (7..=40).contains(&wanted.len()) && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Found::CommitId(wanted.to_ascii_lowercase()));
        }
        let all = self.refs(&[]).await?;
        if all.list.is_empty() {
            return Err(RepositoryError::Empty);
        }
        if self.bundle && wanted == "HEAD" {
            return all.likely_head().ok_or_else(|| RepositoryError::NoSuchRef { reference: "HEAD".to_owned() });
        }
        Err(RepositoryError::NoSuchRef { reference: wanted.to_owned() })
    }

    async fn refs(&self, patterns: &[String]) -> Result<Refs, RepositoryError> {
        let fixed = ["ls-remote", "--symref", "--end-of-options"].map(OsString::from);
        let arguments = fixed.into_iter().chain([self.url.clone()]).chain(patterns.iter().map(OsString::from));
        let git = self.prepare(&self.nowhere, arguments)?.timeout(self.connect_timeout);
        let output = git.output_limit(REFS_LIMIT_BYTES).output().await.map_err(|failure| match failure {
            GitFailure::TooLarge => RepositoryError::TooLarge { what: "it has too many refs".to_owned() },
            failure => self.failed("asking for refs", failure, self.connect_timeout),
        })?;
        Ok(Refs::parse(&String::from_utf8_lossy(&output)))
    }

    /// What a branch is there now.
    pub(super) async fn branch(&self, name: &str) -> Result<Option<ObjectId>, RepositoryError> {
        let name = format!("refs/heads/{name}");
        Ok(self.refs(std::slice::from_ref(&name)).await?.commit(&name))
    }

    /// Pushes `commit` of `repository` to one branch, if that is still what was `seen` there (absent: nothing). No hook runs
    /// here; of a repository on this host none runs either, for they would run as the service.
    pub(super) async fn push(
        &self,
        repository: &Path,
        commit: ObjectId,
        branch: &str,
        seen: Option<ObjectId>,
    ) -> Result<(), RepositoryError> {
        let seen = seen.map(|seen| seen.to_string()).unwrap_or_default();
        let fixed = ["push", "--quiet", "--no-progress", "--no-verify", "--no-recurse-submodules", "--no-follow-tags"];
        let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
        arguments.push(format!("--force-with-lease=refs/heads/{branch}:{seen}").into());
        if self.protocol == "file" {
            arguments.push(format!("--receive-pack={LOCAL_RECEIVE_PACK}").into());
        }
        arguments.extend(["--end-of-options".into(), self.url.clone()]);
        arguments.push(format!("{commit}:refs/heads/{branch}").into());
        let git = self.prepare(repository, arguments.into_iter())?.timeout(self.fetch_timeout);
        git.output().await.map(drop).map_err(|failure| match failure {
            GitFailure::Failed { reason } if reason.contains("! [") && !is_passing(&reason) => {
                RepositoryError::Rejected { reason }
            }
            failure => self.failed("pushing", failure, self.fetch_timeout),
        })
    }

    /// Brings `commit` and its history into the mirror at `repository`; without large contents, where they are left out.
    pub(super) async fn fetch(&self, repository: &Path, commit: ObjectId) -> Result<(), RepositoryError> {
        self.fetch_refs(repository, self.filter(), &[format!("+{commit}:refs/commits/{commit}")]).await
    }

    /// The same with all contents, whatever is left out otherwise.
    pub(super) async fn fetch_whole(&self, repository: &Path, commit: ObjectId) -> Result<(), RepositoryError> {
        self.fetch_refs(repository, None, &[format!("+{commit}:refs/commits/{commit}")]).await
    }

    /// Brings single contents, which a remote gives that leaves some out.
    pub(super) async fn fetch_contents(&self, repository: &Path, ids: &[ObjectId]) -> Result<(), RepositoryError> {
        for ids in ids.chunks(CONTENTS_AT_ONCE) {
            let wanted: Vec<String> = ids.iter().map(ToString::to_string).collect();
            self.fetch_refs(repository, Some("--filter=blob:none".to_owned()), &wanted).await?;
        }
        Ok(())
    }

    /// Asks for a fetch without large contents. A remote that cannot do that gives all, and git says so.
    fn filter(&self) -> Option<String> {
        let from = self.leave_out_from_bytes;
        (from > 0 && !self.bundle).then(|| format!("--filter=blob:limit={from}"))
    }

    /// Brings all branches and tags, for commits that are named by the beginning of their id.
    pub(super) async fn fetch_all(&self, repository: &Path) -> Result<(), RepositoryError> {
        let refspecs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"].map(str::to_owned);
        self.fetch_refs(repository, self.filter(), &refspecs).await
    }

    async fn fetch_refs(
        &self,
        repository: &Path,
        filter: Option<String>,
        refspecs: &[String],
    ) -> Result<(), RepositoryError> {
        let fixed = [
            "fetch",
            "--quiet",
            "--no-progress",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-show-forced-updates",
            "--update-shallow",
        ]
        .map(OsString::from);
        let place = [OsString::from("--end-of-options"), self.url.clone()];
        let options = fixed.into_iter().chain(filter.map(OsString::from));
        let arguments = options.chain(place).chain(refspecs.iter().map(OsString::from));
        let packs = repository.join("objects/pack");
        let limit = size_of(&packs).saturating_add(self.size_limit_bytes);
        let git = self.prepare(repository, arguments)?.timeout(self.fetch_timeout).measure(packs, limit);
        let fetched = git.output().await;
        if fetched.is_ok() && size_of(&repository.join("objects/pack")) > limit {
            return Err(self.too_large());
        }
        fetched.map(drop).map_err(|failure| self.failed("fetching", failure, self.fetch_timeout))
    }

    /// A command with all that it needs to reach the remote.
    fn prepare(&self, repository: &Path, arguments: impl Iterator<Item = OsString>) -> Result<Git, RepositoryError> {
        let doing = io_error("handing over a git credential");
        let mut git = match &self.given {
            Given::Nothing => Git::new(Some(repository), arguments),
            Given::Token(credential, address) => {
                let (handed, helper) = Handed::token(credential).map_err(doing)?;
                let git = Git::new(Some(repository), arguments).redact(credential.redactor());
                git.config(&format!("credential.{address}.helper"), helper).handing(handed)
            }
            Given::Key(credential, ssh, addresses) => {
                let handed = Handed::key(credential, ssh).map_err(doing)?;
                let command = ssh_command(ssh, addresses, Some((credential, &handed)), &self.ssh_settings);
                Git::with_key(Some(repository), arguments, credential.secret.clone(), handed)
                    .redact(credential.redactor())
                    .env("GIT_SSH_COMMAND", command)
            }
        };
        git = git.env("GIT_ALLOW_PROTOCOL", self.protocol);
        for (key, value) in &self.config {
            git = git.config(key, value);
        }
        for (key, value) in &self.env {
            git = git.env(key, value);
        }
        for text in &self.hidden {
            git = git.hide(text);
        }
        Ok(git)
    }

    /// What git said, with what to do about it where a credential is what is wrong.
    fn unreachable(&self, reason: String) -> RepositoryError {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        let mend = match &self.given {
            _ if reason.contains("Host key verification failed") => {
                "the host's key is not the one that is known: compare it, and set the credential's known_hosts"
                    .to_owned()
            }
            _ if says(&MOVED) => "the repository has moved: use its new address".to_owned(),
            _ if !says(&REFUSED) => return RepositoryError::Unreachable { reason },
            Given::Token(credential, _) | Given::Key(credential, ..) => format!(
                "the host refused the git credential {}: renew its secret (PATCH /v1/git_credentials/{}), or give it \
                 access to this repository",
                credential.id, credential.id
            ),
            Given::Nothing if self.protocol == "ssh" => {
                "a private repository needs a git credential of kind ssh for this host (POST /v1/git_credentials)"
                    .to_owned()
            }
            Given::Nothing => {
                "a private repository needs a git credential of kind token for this host (POST /v1/git_credentials); \
                 over http alone one is sent only within the operator's own networks"
                    .to_owned()
            }
        };
        RepositoryError::Unreachable { reason: format!("{reason}; {mend}") }
    }

    fn too_large(&self) -> RepositoryError {
        RepositoryError::TooLarge { what: format!("more than {} MiB would come over", self.size_limit_bytes >> 20) }
    }

    fn failed(&self, doing: &'static str, failure: GitFailure, timeout: Duration) -> RepositoryError {
        match failure {
            GitFailure::Io(error) => io_error(doing)(error),
            GitFailure::TooLarge => self.too_large(),
            GitFailure::TimedOut => {
                RepositoryError::Unreachable { reason: format!("no answer within {} s", timeout.as_secs_f32()) }
            }
            GitFailure::Failed { reason } if reason.contains("No space left on device") => {
                io_error(doing)(std::io::ErrorKind::StorageFull.into())
            }
            GitFailure::Failed { reason } => self.unreachable(reason),
            GitFailure::Refused(refused) => refused,
        }
    }
}

/// The empty repository that commands run in which need none.
pub(super) fn nowhere(settings: &RepositorySettings) -> PathBuf {
    settings.data_dir.join("mirrors").join("nowhere.git")
}

fn refused(error: NetError) -> RepositoryError {
    match error {
        NetError::Unresolved { .. } => RepositoryError::Unreachable { reason: error.to_string() },
        refused => SourceError::Address(refused).into(),
    }
}

/// A configuration file of the server's own that has git trust exactly these directories. It is a file because
/// git does not hand configuration from the environment on to the process that serves a local repository.
async fn trust(places: &[PathBuf], settings: &RepositorySettings) -> Result<PathBuf, RepositoryError> {
    let mut text = String::from("[safe]\n");
    for place in places {
        let place = place.to_str().ok_or(SourceError::Url("names a path that is not UTF-8"))?;
        let _ = writeln!(text, "\tdirectory = \"{}\"", place.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let doing = io_error("trusting a local repository");
    let directory = settings.data_dir.join("mirrors").join("trust");
    let file = directory.join(BlobHash::of(text.as_bytes()).as_str());
    if tokio::fs::read(&file).await.is_ok_and(|there| there == text.as_bytes()) {
        return Ok(file);
    }
    tokio::fs::create_dir_all(&directory).await.map_err(&doing)?;
    let partial = tempfile::NamedTempFile::new_in(&directory).map_err(&doing)?;
    std::fs::write(partial.path(), &text).map_err(&doing)?;
    partial.persist(&file).map_err(|error| doing(error.error))?;
    Ok(file)
}

/// Whether what a host says of a ref that it did not take is its own trouble, and not that of who pushes.
fn is_passing(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    let lock = reason.contains("cannot lock ref") && !reason.contains("exists");
    let own = ["internal server error", "failed to update ref", "unable to migrate objects"];
    lock || own.iter().any(|said| reason.contains(said))
}
