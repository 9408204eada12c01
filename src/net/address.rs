//! Which hosts and addresses may be reached.
//!
//! Public addresses may. Private, loopback, shared (CGNAT), documentation, multicast and other special
//! ones may only where the operator named them; link-local ones and the metadata services of
//! clouds never, whatever the operator named. Addresses that carry an IPv4 address inside (mapped,
//! compatible, NAT64, 6to4) are judged by it.

use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use url::{Host, Url};

/// Names that are known to lead to the machine itself or to a cloud's metadata service.
const LOCAL_NAMES: [&str; 3] = ["localhost", "localhost.localdomain", "ip6-localhost"];
const METADATA_NAMES: [&str; 4] =
    ["metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"];

/// Longest name that DNS allows, in bytes (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Why an address is not reached. The texts are for the caller who chose the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Not a host name or address at all.
    #[error("{host:?} is not a valid host")]
    InvalidHost { host: String },
    /// An address that nobody outside may have the service connect to.
    #[error("{host} is a private, loopback or otherwise special address (the operator can allow it)")]
    Private { host: String },
    /// Link-local or metadata: not to be allowed by anybody.
    #[error("{host} is a link-local or metadata address")]
    Forbidden { host: String },
    /// The name did not resolve.
    #[error("{host} cannot be resolved: {reason}")]
    Unresolved { host: String, reason: String },
    /// The URL is of no use for this client.
    #[error("unsupported URL: {reason}")]
    InvalidUrl { reason: &'static str },
    /// An entry of the operator's own list.
    #[error("{entry:?} is neither a host name, an address nor a network")]
    InvalidEntry { entry: String },
    /// The HTTP client could not be made of its settings.
    #[error("the HTTP client cannot be set up: {reason}")]
    Client { reason: String },
}

/// What the operator allows beyond public addresses. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    inner: Arc<Allowed>,
}

#[derive(Clone, Debug, Default)]
struct Allowed {
    hosts: BTreeSet<String>,
    networks: Vec<IpNet>,
    /// Names that are not looked up.
    names: BTreeMap<String, Vec<IpAddr>>,
}

impl AddressPolicy {
    /// From the operator's list: names, addresses and networks (`git.corp`, `10.1.2.3`,
    /// `10.0.0.0/8`, `[fd00::1]`). A name allows whatever private address it resolves to.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, NetError> {
        let mut allowed = Allowed::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if !entry.is_empty() {
                allowed.add(entry)?;
            }
        }
        Ok(Self { inner: Arc::new(allowed) })
    }

    /// This policy with one more name or address, such as the host of a URL that the operator
    /// configured himself.
    pub fn allowing(&self, entry: &str) -> Result<Self, NetError> {
        let mut allowed = (*self.inner).clone();
        allowed.add(entry)?;
        Ok(Self { inner: Arc::new(allowed) })
    }

    /// This policy with addresses of names, in lower case, which are then not looked up. They are judged as if they
    /// had been.
    #[must_use]
    pub fn with_names(&self, names: BTreeMap<String, Vec<IpAddr>>) -> Self {
        let mut allowed = (*self.inner).clone();
        allowed.names = names;
        Self { inner: Arc::new(allowed) }
    }

    /// Checks what can be seen without resolving: literal addresses in any spelling that a resolver
    /// would take for one (`0x7f.1`, `2130706433`, `[::ffff:7f00:1]`), and names known to be local.
    /// Gives the host in its normal form.
    pub fn check_host(&self, host: &str) -> Result<String, NetError> {
        match parse_host(host)? {
            Host::Domain(name) => {
                let bare = name.trim_end_matches('.');
                if METADATA_NAMES.contains(&bare) {
                    return Err(NetError::Forbidden { host: name });
                }
                let local = LOCAL_NAMES.contains(&bare) || bare.ends_with(".localhost");
                if local && !self.inner.hosts.contains(bare) {
                    return Err(NetError::Private { host: name });
                }
                Ok(bare.to_owned())
            }
            Host::Ipv4(address) => self.check_address(host, IpAddr::V4(address)).map(|()| address.to_string()),
            Host::Ipv6(address) => self.check_address(host, IpAddr::V6(address)).map(|()| format!("[{address}]")),
        }
    }

    /// [`Self::check_host`] for the host of a URL.
    pub fn check_url(&self, url: &Url) -> Result<String, NetError> {
        let host = url.host_str().ok_or(NetError::InvalidUrl { reason: "it has no host" })?;
        self.check_host(host)
    }

    /// Refuses plain http to a host that has a public address: anybody on the way could answer in its stead.
    pub async fn refuse_plain(&self, url: &Url) -> Result<(), NetError> {
        if url.scheme() == "https" {
            return Ok(());
        }
        let host = url.host_str().ok_or(NetError::InvalidUrl { reason: "it has no host" })?;
        let addresses = self.resolve(host, url.port_or_known_default().unwrap_or(80)).await?;
        if addresses.iter().any(|address| is_public(address.ip())) {
            return Err(NetError::InvalidUrl { reason: "a host at a public address is spoken to over https alone" });
        }
        Ok(())
    }

    /// Resolves a host and gives the addresses that may be connected to. One bad address among
    /// several refuses the host: what it means is then for its owner to say, not for luck.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NetError> {
        let name = match parse_host(host)? {
            Host::Ipv4(address) => {
                self.check_address(host, IpAddr::V4(address))?;
                return Ok(vec![SocketAddr::new(IpAddr::V4(address), port)]);
            }
            Host::Ipv6(address) => {
                self.check_address(host, IpAddr::V6(address))?;
                return Ok(vec![SocketAddr::new(IpAddr::V6(address), port)]);
            }
            Host::Domain(_) => self.check_host(host)?,
        };
        let unresolved = |reason: String| NetError::Unresolved { host: name.clone(), reason };
        if let Some(known) = self.inner.names.get(&name) {
            known.iter().try_for_each(|address| self.check_address(&name, *address))?;
            return Ok(known.iter().map(|address| SocketAddr::new(*address, port)).collect());
        }
        let looked_up = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name.as_str(), port)))
            .await
            .map_err(|_| unresolved("timed out".to_owned()))?
            .map_err(|error| unresolved(reason_of(&error)))?;
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in looked_up {
            self.check_address(&name, address.ip())?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        Ok(addresses)
    }

    /// Whether `address`, to which `host` led, may be connected to.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), NetError> {
        let address = inner_address(address);
        if is_never_allowed(address) {
            return Err(NetError::Forbidden { host: host.to_owned() });
        }
        if !is_special(address) || self.inner.allows(host, address) {
            return Ok(());
        }
        Err(NetError::Private { host: host.to_owned() })
    }
}

/// Whether an address is an ordinary one of the public internet, so that who lies between is anybody.
pub fn is_public(address: IpAddr) -> bool {
    !is_special(inner_address(address))
}

impl Allowed {
    fn add(&mut self, entry: &str) -> Result<(), NetError> {
        let invalid = || NetError::InvalidEntry { entry: entry.to_owned() };
        if let Ok(network) = entry.parse::<IpNet>() {
            self.networks.push(network.trunc());
            return Ok(());
        }
        let unbracketed = entry.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = unbracketed.parse::<IpAddr>() {
            self.networks.push(IpNet::from(inner_address(address)));
            return Ok(());
        }
        match parse_host(entry).map_err(|_| invalid())? {
            Host::Domain(name) => drop(self.hosts.insert(name.trim_end_matches('.').to_owned())),
            Host::Ipv4(address) => self.networks.push(IpNet::from(IpAddr::V4(address))),
            Host::Ipv6(address) => self.networks.push(IpNet::from(inner_address(IpAddr::V6(address)))),
        }
        Ok(())
    }

    fn allows(&self, host: &str, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
            || self.hosts.contains(host.trim_end_matches('.'))
    }
}

/// Parses as WHATWG URL does, which is at least as liberal as `inet_aton`: whatever a resolver
/// would read as an address comes out as one.
fn parse_host(host: &str) -> Result<Host<String>, NetError> {
    let invalid = || NetError::InvalidHost { host: host.chars().take(MAX_HOST_BYTES).collect() };
    if host.is_empty() || host.len() > MAX_HOST_BYTES || host.starts_with('-') || host.contains('%') {
        return Err(invalid());
    }
    match Host::parse(host).map_err(|_| invalid())? {
        Host::Domain(name) => {
            let sane = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
            if sane && !name.starts_with('-') && !name.starts_with('.') && !name.contains("..") {
                Ok(Host::Domain(name))
            } else {
                Err(invalid())
            }
        }
        address => Ok(address),
    }
}

/// The IPv4 address that an IPv6 one carries, where it does.
fn inner_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let segments = six.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // mapped ::ffff:0:0/96 and translated ::ffff:0:0:0/96 (RFC 4291, RFC 2765), NAT64 64:ff9b::/96 (RFC 6052)
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 2002::/16 (RFC 3056)
        | [0x2002, high, low, ..] => four(high, low),
        // compatible ::/96, without :: and ::1
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => four(high, low),
        _ => address,
    }
}

/// Link-local addresses and those of the clouds' metadata services.
fn is_never_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_link_local()
                || matches!(four.octets(), [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192])
        }
        IpAddr::V6(six) => six.is_unicast_link_local() || six == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// Everything that is no ordinary address of the public internet (IANA's special-purpose
/// registries).
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, _] = four.octets();
            four.is_private()
                || four.is_loopback()
                || four.is_multicast()
                || four.is_broadcast()
                || four.is_documentation()
                || matches!(
                    (a, b, c),
                    (0 | 240.., ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _)
                )
        }
        IpAddr::V6(six) => {
            let first = six.segments()[0];
            // global unicast is 2000::/3; within it Teredo, ORCHID and documentation are special
            (first & 0xe000) != 0x2000
                || (first == 0x2001 && six.segments()[1] < 0x200)
                || (first == 0x2001 && six.segments()[1] == 0xdb8)
                || (first == 0x3fff && six.segments()[1] < 0x1000)
        }
    }
}

/// An I/O error's text without the wrapper's words.
fn reason_of(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}
