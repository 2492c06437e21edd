//! A server for the tests, clients that send exact bytes, and certificates.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trunkline::config::ServerConfig;
use trunkline_service::listen::{Drained, Limits, Listeners, Tls};

/// A test that is not done by then hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Waits for a future, and fails if it hangs.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(HANGS_AFTER, future).await.expect("it hangs")
}

pub(crate) fn loopback() -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".to_owned(),
        ..ServerConfig::default()
    }
}

/// Returns limits under which nothing ends by itself during a test.
pub(crate) fn patient() -> Limits {
    let long = 20 * HANGS_AFTER;
    Limits {
        handshake: long,
        headers: long,
        body: long,
        stall: long,
        idle: long,
        ping_interval: long,
        drain: HANGS_AFTER,
        ..Limits::default()
    }
}

pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<Tls>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<Drained>>,
}

pub(crate) fn start(config: &ServerConfig, router: Router, limits: Limits) -> Running {
    let listeners = Listeners::bind(config).unwrap();
    let none = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = listeners.addresses().tcp.unwrap_or(none);
    let tls = listeners.tls();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(listeners.serve(router, limits, async {
        let _ = stopped.await;
    }));
    Running {
        address,
        tls,
        stop,
        served,
    }
}

impl Running {
    /// Asks the server to stop, without waiting for it.
    pub(crate) fn ask_to_stop(self) -> JoinHandle<io::Result<Drained>> {
        self.stop.send(()).unwrap();
        self.served
    }

    pub(crate) async fn stop(self) -> Drained {
        soon(self.ask_to_stop()).await.unwrap().unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends `GET path` on its own connection and returns the whole response.
    pub(crate) async fn get(&self, path: &str) -> String {
        exchange(self.connect().await, &request(self.address, path, "")).await
    }
}

/// Returns a request after which its connection ends.
pub(crate) fn request(address: SocketAddr, path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")
}

/// Sends bytes and returns everything that comes back.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> String {
    soon(stream.write_all(request.as_bytes())).await.unwrap();
    rest(&mut stream).await
}

/// Reads to the end, or until the other side closes the connection.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = soon(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Issues a certificate with a common name and alternative names.
    pub(crate) fn issue(&self, common: &str, names: &[&str]) -> Pair {
        self.issue_with(common, names, |_| ())
    }

    pub(crate) fn issue_with(
        &self,
        common: &str,
        names: &[&str],
        change: impl Fn(&mut CertificateParams),
    ) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Connects a client that trusts this authority.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        client: Option<&Pair>,
        alpn: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        soon(connector.connect(name, stream)).await
    }
}

/// TLS files in a directory of the test.
pub(crate) struct Files {
    pub(crate) directory: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        write(&self.path(name), text)
    }

    pub(crate) fn write_pair(&self, pair: &Pair) {
        self.write("tls.crt", &pair.certificate);
        self.write("tls.key", &pair.key);
    }

    /// Returns a configuration that uses the files of `write_pair`.
    pub(crate) fn config(&self) -> ServerConfig {
        ServerConfig {
            tls_certificate_path: self.path("tls.crt"),
            tls_key_path: self.path("tls.key"),
            ..loopback()
        }
    }
}

pub(crate) fn write(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}
