//! The reasons why the service cannot listen.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::watched::FileError;

/// The error of binding listeners.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// No address is configured.
    #[error("neither server.listen nor server.socket_path is set; set one of them")]
    Nowhere,
    /// `server.listen` is not an address.
    #[error(
        "server.listen: {0:?} is not an address with a port; write for example 127.0.0.1:7460, [::1]:7460 or 0.0.0.0:7460"
    )]
    Address(String),
    /// Everyone who can reach the address could do everything.
    #[error(
        "server.listen: {0} is not a loopback address, and clients would not have to authenticate; set server.tokens_path \
         (`trunkline token` makes a token) or server.tls_client_ca_path, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// Only one of the two TLS settings is set.
    #[error(
        "{set} is set and {unset} is not; TLS needs server.tls_certificate_path and server.tls_key_path"
    )]
    HalfTls {
        /// The setting that is present.
        set: &'static str,
        /// The setting that is missing.
        unset: &'static str,
    },
    /// TLS is configured, but there is only a Unix socket.
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
    /// The path exists, but is not a socket.
    #[error(
        "server.socket_path: {0} exists and is not a socket; it was not changed, set another path"
    )]
    NoSocket(PathBuf),
    /// The socket cannot be created.
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
    /// A file does not have the expected content.
    #[error("{path} has no {what} in PEM form: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// The expected content.
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
    /// The certificate and the key do not match.
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
