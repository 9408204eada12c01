//! Names of images: which registry each leads to, in full, and which of them tasks may name.
//!
//! An engine, or a cluster's node, fetches what it is asked for from where the name says, with its own credentials, and
//! gives whatever it has. So what a task may name is the operator's to say; `*` is any registry at a public address.

use super::WorkspaceError;
use crate::net::AddressPolicy;
use std::{fmt, str::FromStr};

const NAME_BYTES_MAX: usize = 512;

const DEFAULT_REGISTRY: &str = "docker.io";
/// Registries of which everybody takes images, and that ask nobody to connect to where a stranger says.
const WELL_KNOWN: &[&str] = &[DEFAULT_REGISTRY, "ghcr.io", "mcr.microsoft.com", "public.ecr.aws", "quay.io"];

/// What names of images may begin with: `registry.example.org/team`, whole parts of it; `*`: anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePrefix(Option<String>);

impl ImagePrefix {
    /// What holds where the operator says nothing.
    pub fn well_known() -> Vec<Self> {
        WELL_KNOWN.iter().map(|registry| Self(Some((*registry).to_owned()))).collect()
    }

    fn holds(&self, reference: &Reference) -> bool {
        let Some(prefix) = &self.0 else { return true };
        let name = format!("{}/{}", reference.registry, reference.repository);
        name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for ImagePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(None));
        }
        let name = text.trim_end_matches('/');
        let (registry, path) = name.split_once('/').unwrap_or((name, ""));
        if !is_name(name) || !is_registry(registry) || path.contains(['@', ':']) {
            return Err(format!(
                "\"{text}\" must be *, or a registry with or without a path, such as registry.example.org/team or \
                 docker.io/library"
            ));
        }
        Ok(Self(Some(name.to_ascii_lowercase())))
    }
}

impl fmt::Display for ImagePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("*"))
    }
}

/// Which images workspaces may be made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllowedImages<'a> {
    /// The operator's: of workspaces that name none, and always allowed.
    pub(super) usual: &'a str,
    /// What tasks may name besides.
    pub(super) prefixes: &'a [ImagePrefix],
    /// Where registries may be that are allowed without being named.
    pub(super) policy: &'a AddressPolicy,
    /// The variable that has the prefixes.
    pub(super) setting: &'static str,
}

/// An image that may be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// As the engine or the node is told it.
    pub(super) name: String,
    /// Its registry is not named by the operator: where it is has to be looked up first.
    pub(super) anywhere: Option<Reference>,
}

impl AllowedImages<'_> {
    /// The image that a task names, or the operator's.
    ///
    /// # Errors
    /// [`WorkspaceError::Refused`] where it is no name of an image, or none that tasks may have.
    pub(super) fn named(&self, wanted: Option<&str>) -> Result<Named, WorkspaceError> {
        let wanted = wanted.filter(|name| *name != self.usual);
        let shown = wanted.unwrap_or(self.usual);
        let no_name = || WorkspaceError::Refused {
            why: format!(
                "the image \"{shown}\" is no name of an image: write for example registry.example.org/team/image:tag"
            ),
        };
        if wanted.is_none() {
            return if is_name(shown) { Ok(Named { name: shown.to_owned(), anywhere: None }) } else { Err(no_name()) };
        }
        let reference = Reference::parse(shown).ok_or_else(no_name)?;
        let name = reference.to_string();
        match reference.permission(self.prefixes, self.policy) {
            Permission::Named => Ok(Named { name, anywhere: None }),
            Permission::Anywhere => Ok(Named { name, anywhere: Some(reference) }),
            Permission::None => Err(WorkspaceError::Refused {
                why: format!(
                    "the image \"{shown}\" is none of those that the operator lets tasks name: choose another, or have \
                     {} name its registry",
                    self.setting
                ),
            }),
        }
    }

    /// Looks up where its registry is. Whoever fetches it looks it up once more; what answers differently then is not
    /// seen here.
    ///
    /// # Errors
    /// [`WorkspaceError::Refused`] where it is not at a public address.
    pub(super) async fn look_up(&self, reference: &Reference, shown: &str) -> Result<(), WorkspaceError> {
        let (host, port) = reference.host();
        let found = self.policy.resolve(host, port).await;
        let refused = |error| WorkspaceError::Refused { why: format!("the image \"{shown}\" is not fetched: {error}") };
        found.map(drop).map_err(refused)
    }
}

/// A reference as registries know them. It becomes part of a path of an engine's API, in which nothing else may come.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(allowed)
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// A name with all that engines add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    registry: String,
    repository: String,
    /// `:tag` or `@algorithm:digest`.
    which: String,
}

/// How a task may have an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    /// The operator named its registry.
    Named,
    /// Where its registry is at a public address.
    Anywhere,
    None,
}

impl Reference {
    fn parse(name: &str) -> Option<Self> {
        if !is_name(name) {
            return None;
        }
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) if is_digest(digest) => (name, Some(digest)),
            Some(_) => return None,
            None => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((registry, path)) if is_registry(registry) => (registry.to_ascii_lowercase(), path),
            _ => (DEFAULT_REGISTRY.to_owned(), name),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
        let (path, tag) = match path.split_once(':') {
            Some((path, tag)) => (path, tag),
            None => (path, "latest"),
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
        if path.is_empty() || !path.bytes().all(plain) || tag.is_empty() || tag.contains([':', '/']) {
            return None;
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official { format!("library/{path}") } else { path.to_owned() };
        let which = digest.map_or_else(|| format!(":{tag}"), |digest| format!("@{digest}"));
        Some(Self { registry, repository, which })
    }

    /// Host and port of its registry.
    fn host(&self) -> (&str, u16) {
        match self.registry.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(443)),
            None => (&self.registry, 443),
        }
    }

    fn permission(&self, allowed: &[ImagePrefix], policy: &AddressPolicy) -> Permission {
        let mut holding = allowed.iter().filter(|prefix| prefix.holds(self)).peekable();
        if holding.peek().is_none() {
            return Permission::None;
        }
        if holding.any(|prefix| prefix.0.is_some()) {
            return Permission::Named;
        }
        // What can be seen without a look-up, so that an engine is not even asked for it.
        match policy.check_host(self.host().0) {
            Ok(_) => Permission::Anywhere,
            Err(_) => Permission::None,
        }
    }
}

/// As engines read it: without a registry, a name begins with a user of the usual one.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.which)
    }
}

/// Whether the first part of a name is a registry, as engines tell it.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_digest(text: &str) -> bool {
    let hex = text.split_once(':').map(|(_, hex)| hex);
    hex.is_some_and(|hex| hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
