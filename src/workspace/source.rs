//! Where a repository is and what of it is meant: URLs and refs as callers write them, checked and
//! brought to one form before git ever sees them.
//!
//! Everything here is pure: nothing is resolved or looked at. What a name resolves to and what a local path
//! really is are checked again when they are used.

use crate::{
    domain::git_credential::GitCredentialKind,
    net::{AddressPolicy, NetError},
};
use std::{
    fmt,
    path::{Component, Path, PathBuf},
};
use url::Url;

/// Longest URL that is taken, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// Longest ref that is taken, in bytes: what file systems allow for a name.
pub const MAX_REF_BYTES: usize = 255;

/// Why a URL or a ref is refused. The texts are for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("the URL {0}")]
    Url(&'static str),
    #[error("the URL's host: {0}")]
    Address(#[from] NetError),
    #[error("the ref {0}")]
    Reference(&'static str),
}

/// A checked address of a repository. `Display` is the form that is kept and given to git; it
/// holds no password.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RepositoryUrl {
    /// `http` or `https`, without credentials, query or fragment.
    Http(Url),
    Ssh(SshUrl),
    /// Below one of the allowed directories, as far as the text tells.
    Local(PathBuf),
}

/// `ssh://user@host:port/path`, or `user@host:path` where `relative`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SshUrl {
    pub user: Option<String>,
    /// In brackets where it is an IPv6 address.
    pub host: String,
    pub port: Option<u16>,
    pub path: String,
    /// The form without a scheme, whose path starts at the user's home.
    pub relative: bool,
}

/// Checks a repository's URL: scheme `https`, `http`, `ssh` (or `user@host:path`), or `file` and absolute paths
/// below `allow_local`; no literal address that `policy` refuses; nothing that git could read as an option, a
/// transport helper or a second line.
pub fn validate_url(text: &str, policy: &AddressPolicy, allow_local: &[PathBuf]) -> Result<RepositoryUrl, SourceError> {
    if text.is_empty() {
        return Err(SourceError::Url("is empty"));
    }
    if text.len() > MAX_URL_BYTES {
        return Err(SourceError::Url("is longer than 2048 bytes"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(SourceError::Url("contains white space or control characters"));
    }
    if text.starts_with('-') {
        return Err(SourceError::Url("starts with '-'"));
    }
    if text.starts_with('/') {
        return local(text, allow_local);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return scp_like(text, policy);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "http" => http(text, policy),
        "ssh" => ssh(rest, policy),
        "file" => local(rest.strip_prefix("localhost").unwrap_or(rest), allow_local),
        _ => Err(SourceError::Url("has a scheme other than https, http, ssh and file")),
    }
}

/// Checks a ref: a branch, tag or full ref name by git's rules (git-check-ref-format(1)), or a commit
/// id, whole or shortened.
pub fn validate_ref(text: &str) -> Result<(), SourceError> {
    let refuse = |why| Err(SourceError::Reference(why));
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.len() > MAX_REF_BYTES {
        return refuse("is longer than 255 bytes");
    }
    if text.starts_with('-') {
        return refuse("starts with '-'");
    }
    if text.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
        return refuse("contains a character that git allows in no ref (space, control, ~ ^ : ? * [ \\)");
    }
    if text == "@" || text.contains("@{") || text.contains("..") || text.ends_with('.') {
        return refuse("contains a sequence that git allows in no ref ('..', '@{', '.' at the end)");
    }
    if text.split('/').any(|part| {
        part.is_empty() || part.starts_with('.') || part.starts_with('-') || part.as_bytes().ends_with(b".lock")
    }) {
        return refuse("has an empty part, or one that starts with '.' or '-' or ends with '.lock'");
    }
    Ok(())
}

impl RepositoryUrl {
    /// Host and port to connect to; absent for a local path.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        match self {
            Self::Http(url) => Some((url.host_str()?, url.port_or_known_default()?)),
            Self::Ssh(ssh) => Some((&ssh.host, ssh.port.unwrap_or(22))),
            Self::Local(_) => None,
        }
    }

    /// What kind of credential reaches it; absent for a local path.
    pub fn credential_kind(&self) -> Option<GitCredentialKind> {
        match self {
            Self::Http(_) => Some(GitCredentialKind::Token),
            Self::Ssh(_) => Some(GitCredentialKind::Ssh),
            Self::Local(_) => None,
        }
    }

    /// The path as people write it, without `.git` and slashes at its ends.
    pub fn path(&self) -> String {
        let path = match self {
            Self::Http(url) => percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned(),
            Self::Ssh(ssh) => ssh.path.clone(),
            Self::Local(path) => path.display().to_string(),
        };
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).to_owned()
    }

    /// The last part of the path without `.git`: a name for people.
    pub fn name(&self) -> String {
        let path = match self {
            Self::Http(url) => url.path().to_owned(),
            Self::Ssh(ssh) => ssh.path.clone(),
            Self::Local(path) => path.display().to_string(),
        };
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        last.strip_suffix(".git").map_or(last.clone(), str::to_owned)
    }
}

impl SshUrl {
    /// The host without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The name under which the keys of the host at this port are kept, as ssh writes it.
    pub(super) fn alias(&self) -> String {
        match self.port {
            None | Some(22) => self.bare_host().to_owned(),
            Some(port) => format!("[{}]:{port}", self.bare_host()),
        }
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str()),
            Self::Local(path) => write!(f, "file://{}", path.display()),
            Self::Ssh(ssh) => {
                let user = ssh.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
                if ssh.relative {
                    return write!(f, "{user}{}:{}", ssh.host, ssh.path);
                }
                let port = ssh.port.map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "ssh://{user}{}{port}{}", ssh.host, ssh.path)
            }
        }
    }
}

fn http(text: &str, policy: &AddressPolicy) -> Result<RepositoryUrl, SourceError> {
    let mut url = Url::parse(text).map_err(|_| SourceError::Url("cannot be parsed"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::Url("holds credentials: leave them out"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SourceError::Url("has a query or a fragment"));
    }
    if url.port() == Some(0) {
        return Err(SourceError::Url("has port 0"));
    }
    check_path(url.path())?;
    let host = policy.check_url(&url)?;
    url.set_host(Some(&host)).map_err(|_| SourceError::Url("cannot be parsed"))?;
    Ok(RepositoryUrl::Http(url))
}

fn ssh(rest: &str, policy: &AddressPolicy) -> Result<RepositoryUrl, SourceError> {
    let (authority, path) = rest.split_once('/').ok_or(SourceError::Url("has no path"))?;
    let (user, host) = split_user(authority)?;
    let bracket = host.rfind(']').unwrap_or(0);
    let (host, port) = match host[bracket..].rfind(':') {
        Some(colon) => {
            let port = host[bracket + colon + 1..].parse().ok().filter(|port| *port != 0);
            (&host[..bracket + colon], Some(port.ok_or(SourceError::Url("has an invalid port"))?))
        }
        None => (host, None),
    };
    let path = format!("/{path}");
    check_path(&path)?;
    Ok(RepositoryUrl::Ssh(SshUrl { user, host: policy.check_host(host)?, port, path, relative: false }))
}

/// `user@host:path`, `host:path`, `user@[::1]:path`.
fn scp_like(text: &str, policy: &AddressPolicy) -> Result<RepositoryUrl, SourceError> {
    let unknown = SourceError::Url("is neither https, http, ssh, file nor of the form user@host:path");
    let bracket = text.find(']').unwrap_or(0);
    let colon = bracket + text[bracket..].find(':').ok_or_else(|| unknown.clone())?;
    let (authority, path) = (&text[..colon], &text[colon + 1..]);
    // `ext::command` and its like are transport helpers; a slash before the colon is a relative path
    if authority.contains('/') || path.starts_with(':') || path.is_empty() {
        return Err(unknown);
    }
    let (user, host) = split_user(authority)?;
    // Without a user it cannot be told from a scheme.
    if user.is_none() {
        return Err(unknown);
    }
    check_path(path)?;
    Ok(RepositoryUrl::Ssh(SshUrl {
        user,
        host: policy.check_host(host)?,
        port: None,
        path: path.to_owned(),
        relative: true,
    }))
}

fn split_user(authority: &str) -> Result<(Option<String>, &str), SourceError> {
    let Some((user, host)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if user.contains(':') {
        return Err(SourceError::Url("holds a password: leave it out"));
    }
    let sane = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if user.is_empty() || user.starts_with('-') || !sane {
        return Err(SourceError::Url("has a user name with other characters than letters, digits, '.', '_' and '-'"));
    }
    Ok((Some(user.to_owned()), host))
}

fn check_path(path: &str) -> Result<(), SourceError> {
    if matches!(path, "" | "/") {
        return Err(SourceError::Url("has no path"));
    }
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let encoded_slash = path.to_ascii_lowercase().contains("%2f") || decoded.contains('\\');
    let inner = decoded.strip_prefix('/').unwrap_or(&decoded);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if encoded_slash || inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(SourceError::Url("has a path with an empty part, '.', '..' or an encoded slash"));
    }
    if path.starts_with('-') || path.contains("/-") && path.trim_start_matches('/').starts_with('-') {
        return Err(SourceError::Url("has a path that starts with '-'"));
    }
    let bytes = path.as_bytes();
    let encoded_control = bytes
        .windows(3)
        .any(|w| w[0] == b'%' && (matches!(w[1], b'0' | b'1') || w[1] == b'7' && w[2].eq_ignore_ascii_case(&b'f')));
    if encoded_control {
        return Err(SourceError::Url("contains encoded control characters"));
    }
    Ok(())
}

fn local(path: &str, allow_local: &[PathBuf]) -> Result<RepositoryUrl, SourceError> {
    let refused = SourceError::Url("names a local path that the operator has not allowed");
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| refused.clone())?;
    if decoded.chars().any(char::is_control) {
        return Err(SourceError::Url("contains control characters"));
    }
    let path = Path::new(decoded.as_ref());
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || !allow_local.iter().any(|allowed| path.starts_with(allowed)) {
        return Err(refused);
    }
    Ok(RepositoryUrl::Local(path.components().collect()))
}
