//! Binding the addresses of the service.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use trunkline::config::ServerConfig;

use crate::listen::error::ListenError;
use crate::listen::socket::{self, SocketFile};
use crate::listen::tls::Tls;

/// Sockets that are bound but not served yet: connecting clients wait.
///
/// ```
/// use trunkline::config::ServerConfig;
/// use trunkline_service::listen::Listeners;
///
/// let config = ServerConfig {
///     listen: "127.0.0.1:0".to_owned(),
///     ..ServerConfig::default()
/// };
/// let listeners = Listeners::bind(&config)?;
/// assert!(listeners.addresses().tcp.is_some());
/// # Ok::<(), trunkline_service::listen::ListenError>(())
/// ```
pub struct Listeners {
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) unix: Option<UnixListener>,
    pub(crate) socket_file: Option<SocketFile>,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The addresses of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<'a> {
    /// Address and port.
    pub tcp: Option<SocketAddr>,
    /// Path of the Unix socket.
    pub socket: Option<&'a Path>,
}

impl Listeners {
    /// Binds the addresses of the configuration. Refuses settings that would let everyone in.
    pub fn bind(config: &ServerConfig) -> Result<Self, ListenError> {
        let address = address(config)?;
        let tls = Tls::open(config)?;
        let tcp = address.map(bind_tcp).transpose()?;
        let has_socket = !config.socket_path.as_os_str().is_empty();
        let unix = has_socket
            .then(|| socket::bind(&config.socket_path))
            .transpose()?;
        let (unix, socket_file) = unix.unzip();
        if tcp.is_none() && unix.is_none() {
            return Err(ListenError::Nowhere);
        }
        Ok(Self {
            tcp,
            unix,
            socket_file,
            tls,
        })
    }

    /// Returns where the service listens, with the port that the system chose if the configuration has port 0.
    pub fn addresses(&self) -> Addresses<'_> {
        let tcp = self.tcp.as_ref();
        Addresses {
            tcp: tcp.and_then(|listener| listener.local_addr().ok()),
            socket: self.socket_file.as_ref().map(SocketFile::path),
        }
    }

    /// Returns the certificates, which can be read again while they are served.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }
}

/// Returns the address to listen on, if it is allowed.
fn address(config: &ServerConfig) -> Result<Option<SocketAddr>, ListenError> {
    if config.listen.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = config
        .listen
        .parse()
        .map_err(|_| ListenError::Address(config.listen.clone()))?;
    let has_tokens = !config.tokens_path.as_os_str().is_empty();
    let has_client_ca = !config.tls_client_ca_path.as_os_str().is_empty();
    let is_loopback = address.ip().to_canonical().is_loopback();
    if !is_loopback && !has_tokens && !has_client_ca {
        return Err(ListenError::Exposed(address));
    }
    if !is_loopback && config.tls_certificate_path.as_os_str().is_empty() {
        tracing::warn!(%address, "tokens can be read on their way: set server.tls_certificate_path, or end TLS in front");
    }
    Ok(Some(address))
}

fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| ListenError::Bind { address, source })
}

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tcp, self.socket) {
            (Some(tcp), Some(socket)) => write!(formatter, "{tcp} and {}", socket.display()),
            (Some(tcp), None) => write!(formatter, "{tcp}"),
            (None, Some(socket)) => write!(formatter, "{}", socket.display()),
            (None, None) => formatter.write_str("nothing"),
        }
    }
}
