//! Why the service cannot listen.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::watched::FileError;

/// The error of binding listeners.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// There is nothing to listen on.
    #[error("neither server.listen nor server.socket_path is set; set one of them")]
    Nowhere,
    /// `server.listen` is no address.
    #[error(
        "server.listen: {0:?} is no address and port; write for example 127.0.0.1:7460, [::1]:7460 or 0.0.0.0:7460"
    )]
    Address(String),
    /// Everybody who reaches the address could do everything.
    #[error(
        "server.listen: {0} is beyond loopback, and nobody would have to say who they are; set server.tokens_path \
         (`trunkline token` makes a token) or server.tls_client_ca_path, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// Half of what TLS needs is set.
    #[error(
        "{set} is set and {unset} is not; TLS needs server.tls_certificate_path and server.tls_key_path"
    )]
    HalfTls {
        /// The setting that is there.
        set: &'static str,
        /// The setting that is missing.
        unset: &'static str,
    },
    /// TLS is set up for a Unix socket alone.
    #[error(
        "server.tls_certificate_path is set and server.listen is not; a Unix socket has no TLS"
    )]
    TlsWithoutAddress,
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be bound.
    #[error(
        "cannot listen on {address}: {source}; another process may have the port (`ss -ltnp`), or the address may not be \
         one of this machine"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process listens on the socket.
    #[error("server.socket_path: another process listens on {0}; stop it, or set another path")]
    SocketInUse(PathBuf),
    /// Something else is there.
    #[error("server.socket_path: {0} is no socket; it is left as it is, set another path")]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error(
        "server.socket_path: cannot listen on {path}: {source}; its folder must exist and be writable, and the path be \
         shorter than 100 bytes"
    )]
    Socket {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The error of the files of TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file has nothing of what it should have.
    #[error("{path} has no {what} in PEM form: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
        /// The reader's reason.
        reason: String,
    },
    /// An authority's certificate cannot be used.
    #[error("{path} has an authority that cannot be used: {reason}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Certificate and key do not fit.
    #[error("{certificate} and {key} cannot be used together: {source}")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The reason.
        source: rustls::Error,
    },
}
