//! Decides which sites' pages may use the service. A page of another site can make its reader's browser send requests
//! here, and its own host name can point to this machine (DNS rebinding). So the host that a request names must be one
//! of ours, and its origin, if it has one, must be that host.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};

use crate::auth::error::AuthError;
use crate::peer::{Peer, Source};

/// The hosts that requests may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    /// Lower-case names, each with a port, or without one for every port.
    hosts: Vec<(String, Option<u16>)>,
}

impl Sites {
    /// Parses names separated by commas.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let host = |name: &str| split(&name.parse().ok()?);
        let hosts = names.map(|name| host(name).ok_or_else(|| name.to_owned()));
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
        })
    }

    /// Checks the host and the origin of a request.
    pub(crate) fn check(&self, request: &Parts, peer: &Peer) -> Result<(), AuthError> {
        let host = host(request)?;
        if let Source::Tcp { local, .. } = peer.source {
            let host = host.as_ref().ok_or(AuthError::NoHost)?;
            let is_ours =
                is_of_listener(host, local.ip(), local.port(), peer.is_tls) || self.is_listed(host);
            if !is_ours {
                return Err(AuthError::WrongHost);
            }
        }
        check_origin(&request.method, &request.headers, host.as_ref(), peer)
    }

    fn is_listed(&self, (host, port): &Host) -> bool {
        self.hosts
            .iter()
            .any(|(name, only)| name == host && (only.is_none() || port.is_none() || only == port))
    }
}

/// Name or address in lower case, with the port if there is one.
type Host = (String, Option<u16>);

fn split(authority: &Authority) -> Option<Host> {
    let text = authority.as_str();
    let host = authority.host().to_ascii_lowercase();
    let port = authority.port_u16();
    let is_whole = text.len() == host.len() || port.is_some();
    (!host.is_empty() && is_whole && !text.contains('@')).then_some((host, port))
}

/// Returns the host that a request names: in its target (always with HTTP/2), in its header, or the same one in both.
fn host(request: &Parts) -> Result<Option<Host>, AuthError> {
    let mut headers = request.headers.get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(AuthError::WrongHost);
    }
    let header = header.map(|value| {
        let authority: Option<Authority> = value.to_str().ok().and_then(|text| text.parse().ok());
        authority
            .and_then(|authority| split(&authority))
            .ok_or(AuthError::WrongHost)
    });
    let target = request
        .uri
        .authority()
        .map(|authority| split(authority).ok_or(AuthError::WrongHost));
    match (target.transpose()?, header.transpose()?) {
        (Some(target), Some(header)) if target != header => Err(AuthError::WrongHost),
        (target, header) => Ok(target.or(header)),
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Returns whether a host is the address at which the client reached the listener, or a name of loopback.
fn is_of_listener((host, port): &Host, local: IpAddr, local_port: u16, is_tls: bool) -> bool {
    if port.unwrap_or(default_port(is_tls)) != local_port {
        return false;
    }
    if host == "localhost" {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|address| {
        let address = address.to_canonical();
        address.is_loopback() || address == local.to_canonical()
    })
}

/// Refuses requests from pages of other sites. Browsers state the origin of a request in one or both headers; other
/// clients send neither.
fn check_origin(
    method: &Method,
    headers: &HeaderMap,
    host: Option<&Host>,
    peer: &Peer,
) -> Result<(), AuthError> {
    if headers.contains_key(ORIGIN) {
        return if has_same_origin(headers, host, peer) {
            Ok(())
        } else {
            Err(AuthError::WrongOrigin)
        };
    }
    let text = |name: &str| headers.get(name).map(|value| value.as_bytes());
    // A link on another site may lead to the page.
    let is_link = method == Method::GET && text("sec-fetch-mode") == Some(b"navigate");
    match text("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) if is_link => Ok(()),
        Some(_) => Err(AuthError::WrongOrigin),
    }
}

fn has_same_origin(headers: &HeaderMap, host: Option<&Host>, peer: &Peer) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let Some((scheme, authority)) = origin.to_str().ok().and_then(|text| text.split_once("://"))
    else {
        return false;
    };
    // A proxy may have terminated TLS in front of a listener without it.
    let is_scheme = scheme == "https" || (scheme == "http" && !peer.is_tls);
    let authority: Option<Authority> = authority.parse().ok();
    let (Some((name, port)), Some((host, host_port))) =
        (authority.and_then(|authority| split(&authority)), host)
    else {
        return false;
    };
    let default = default_port(scheme == "https");
    is_scheme && name == *host && port.unwrap_or(default) == host_port.unwrap_or(default)
}

/// Returns whether a request with a cookie comes from our own page. A request that changes something must say so.
pub(crate) fn is_from_our_page(method: &Method, headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    match site {
        Some(b"same-origin") => true,
        Some(b"none") | None if is_safe => true,
        // `check` found the host to be one of ours.
        None => headers.contains_key(ORIGIN),
        Some(_) => false,
    }
}
