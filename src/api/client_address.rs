//! The address of whoever calls: the connection's own, or what proxies that the operator trusts say of it.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Entries of a header that are looked at, from the right.
const HOPS_MAX: usize = 20;

/// The caller's address. `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from a trusted proxy alone, from the
/// right, up to the first address that is not trusted. Where both are there and do not agree, one of them may be the
/// caller's own invention: then it is the proxy's address.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let list = |name: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).map(str::to_owned).collect::<Vec<_>>()
    };
    let forwarded: Vec<Option<IpAddr>> = list("forwarded").iter().map(|element| forwarded_for(element)).collect();
    let plain: Vec<Option<IpAddr>> = list("x-forwarded-for").iter().map(|node| address(node)).collect();
    let found = |hops: &[Option<IpAddr>]| walk(peer, hops, trusted);
    match (forwarded.is_empty(), plain.is_empty()) {
        (true, true) => peer,
        (false, true) => found(&forwarded),
        (true, false) => found(&plain),
        (false, false) => {
            let said = found(&forwarded);
            if said == found(&plain) { said } else { peer }
        }
    }
}

/// The first address from the right that is not trusted; where one cannot be read, the last before it.
fn walk(peer: IpAddr, hops: &[Option<IpAddr>], trusted: &[IpNet]) -> IpAddr {
    let mut last = peer;
    for hop in hops.iter().rev().take(HOPS_MAX) {
        let Some(address) = hop else { return last };
        last = *address;
        if !is_trusted(last, trusted) {
            return last;
        }
    }
    last
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

/// An address, perhaps in brackets, perhaps with a port.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let plain = bare.parse::<IpAddr>().ok();
    plain.or_else(|| node.parse::<SocketAddr>().ok().map(|with_port| with_port.ip())).map(|ip| ip.to_canonical())
}
