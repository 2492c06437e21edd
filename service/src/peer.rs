//! The other end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The other end of a connection: an extension of each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address, or the process at the other end of a Unix socket.
    pub source: Source,
    /// The certificate of the client, if it was requested and verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// True if the listener is bound to loopback, so that only this machine can reach it. A proxy on this machine may
    /// forward requests of others.
    pub is_loopback: bool,
    /// True if the connection is encrypted.
    pub is_tls: bool,
}

/// The origin of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A TCP connection.
    Tcp {
        /// Address of the other end.
        remote: SocketAddr,
        /// Address of this end, as used by the client.
        local: SocketAddr,
    },
    /// A connection to the Unix socket.
    Unix {
        /// User of the process at the other end.
        uid: u32,
        /// Process at the other end, if the system reports it.
        pid: Option<i32>,
    },
}

/// A client's certificate that one of the configured authorities signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its alternative names (DNS names, URIs, mail addresses), or its common name if it has none.
    pub names: Vec<String>,
    /// Its subject, for logs.
    pub subject: String,
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
}

impl Peer {
    /// Returns whether only processes of this machine can reach the listener: a Unix socket, or a loopback address.
    pub fn is_local(&self) -> bool {
        self.is_loopback || matches!(self.source, Source::Unix { .. })
    }

    /// Returns the address of the other end; `None` for a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        match self.source {
            Source::Tcp { remote, .. } => Some(remote.ip().to_canonical()),
            Source::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Tcp { remote, .. } => write!(f, "{remote}"),
            Source::Unix {
                uid,
                pid: Some(pid),
            } => write!(f, "process {pid} of user {uid}"),
            Source::Unix { uid, pid: None } => write!(f, "a process of user {uid}"),
        }
    }
}
