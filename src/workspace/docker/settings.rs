//! How the engine is reached and what workspaces are made from.

use crate::{
    net::AddressPolicy,
    workspace::image_names::{AllowedImages, ImagePrefix},
};
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

#[derive(Clone, Debug)]
pub struct DockerSettings {
    pub address: EngineAddress,
    /// Where `ca.pem`, `cert.pem` and `key.pem` are, for TCP.
    pub cert_dir: Option<PathBuf>,
    /// What workspaces are made from that name no image.
    pub image: String,
    /// Such as `runsc`; absent: the engine's default.
    pub runtime: Option<String>,
    pub pull: Pull,
    /// What tasks may name beside [`Self::image`].
    pub allowed_images: Vec<ImagePrefix>,
    /// Where registries may be that are allowed without being named.
    pub policy: AddressPolicy,
    /// How long the engine may take for one answer.
    pub answer_time: Duration,
    /// How long an engine that is away is waited for.
    pub away_time: Duration,
}

impl DockerSettings {
    pub fn new(address: EngineAddress, image: impl Into<String>) -> Self {
        Self {
            address,
            cert_dir: None,
            image: image.into(),
            runtime: None,
            pull: Pull::Missing,
            allowed_images: ImagePrefix::well_known(),
            policy: AddressPolicy::default(),
            answer_time: Duration::from_secs(60),
            away_time: Duration::from_secs(45),
        }
    }
}

impl DockerSettings {
    pub(super) fn allowed(&self) -> AllowedImages<'_> {
        AllowedImages {
            usual: &self.image,
            prefixes: &self.allowed_images,
            policy: &self.policy,
            setting: "JOURNEYMAN_DOCKER_ALLOWED_IMAGES",
        }
    }
}

/// Whether images are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Those that the engine does not have.
    Missing,
    Never,
}

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
}

impl EngineAddress {
    /// On this machine, where nobody listens in.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost"
                    || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl FromStr for EngineAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" must be like unix:///var/run/docker.sock or tcp://engine.internal:2376");
        if let Some(path) = text.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong()) };
        }
        let rest = text.strip_prefix("tcp://").ok_or_else(wrong)?;
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(wrong());
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}
