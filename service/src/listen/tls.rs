//! TLS with rustls, from files that are read again when they change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig as RustlsConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use trunkline::config::ServerConfig;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::listen::error::{ListenError, TlsError};
use crate::observe::table::{ReloadedFile, certificate_expiry};
use crate::peer::ClientCertificate;
use crate::watched::{Content, Watched};

/// The least time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Most names of a certificate that are kept.
const NAMES_MAX: usize = 64;

/// Certificate, key and authorities of a listener. Open connections keep those with which they began.
pub struct Tls {
    config: Watched<RustlsConfig, TlsError>,
}

impl Tls {
    /// Reads the files, if TLS is configured.
    pub(crate) fn open(config: &ServerConfig) -> Result<Option<Arc<Self>>, ListenError> {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let (certificate, key) = (&config.tls_certificate_path, &config.tls_key_path);
        let half = |set, unset| Err(ListenError::HalfTls { set, unset });
        const CERTIFICATE: &str = "server.tls_certificate_path";
        const KEY: &str = "server.tls_key_path";
        match (is_set(certificate), is_set(key)) {
            (true, true) => {}
            (true, false) => return half(CERTIFICATE, KEY),
            (false, true) => return half(KEY, CERTIFICATE),
            (false, false) if is_set(&config.tls_client_ca_path) => {
                return half("server.tls_client_ca_path", CERTIFICATE);
            }
            (false, false) => return Ok(None),
        }
        if config.listen.is_empty() {
            return Err(ListenError::TlsWithoutAddress);
        }
        let mut paths = vec![certificate.clone(), key.clone()];
        if is_set(&config.tls_client_ca_path) {
            paths.push(config.tls_client_ca_path.clone());
        }
        let config = Watched::open(ReloadedFile::Tls, paths, CHECK_INTERVAL, build)?;
        Ok(Some(Arc::new(Self { config })))
    }

    /// Reads the files now. Returns whether they changed. If they cannot be used, the old ones stay in force.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.config.reload()
    }

    /// Returns the acceptor for the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.get())
    }
}

fn build(files: &[Content]) -> Result<RustlsConfig, TlsError> {
    let (certificate, key) = (&files[0], &files[1]);
    if key.mode & 0o004 != 0 {
        tracing::warn!(path = %key.path.display(), "the private key can be read by every user; run chmod 600");
    }
    let chain = certificates(certificate)?;
    report_expiry(&chain);
    let private_key = PrivateKeyDer::from_pem_slice(&key.bytes)
        .map_err(|error| no_pem(key, "private key", &error))?;
    let pair = |source| TlsError::Pair {
        certificate: certificate.path.clone(),
        key: key.path.clone(),
        source,
    };
    let builder = RustlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match files.get(2) {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Content) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    let certificates = read.map_err(|error| no_pem(file, "certificate", &error))?;
    if certificates.is_empty() {
        return Err(no_pem(file, "certificate", &"none was found"));
    }
    Ok(certificates)
}

fn no_pem(file: &Content, what: &'static str, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::Pem {
        path: file.path.clone(),
        what,
        reason: reason.to_string(),
    }
}

fn verifier(file: &Content) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |reason: String| TlsError::Authority {
        path: file.path.clone(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        roots
            .add(authority)
            .map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(error.to_string()))
}

/// Reports the expiry time of the service's own certificate.
fn report_expiry(chain: &[CertificateDer<'_>]) {
    let Some(Ok((_, certificate))) = chain.first().map(|leaf| X509Certificate::from_der(leaf))
    else {
        return;
    };
    let expires = certificate.validity().not_after;
    certificate_expiry().set(expires.timestamp() as f64);
    if !certificate.validity().is_valid() {
        tracing::warn!(%expires, "the service's certificate is not valid now; clients will refuse it");
    }
}

/// Reads a client's certificate, which was verified earlier.
pub(crate) fn client_certificate(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(name)
        .take(NAMES_MAX)
        .collect();
    if alternative.is_none() {
        let common = subject.iter_common_name().next();
        names.extend(common.and_then(|name| name.as_str().ok().map(str::to_owned)));
    }
    Some(ClientCertificate {
        names,
        subject: subject.to_string(),
        fingerprint: sha256(der)?,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some((*name).to_owned())
        }
        _ => None,
    }
}

/// Returns the SHA-256 hash, computed by rustls, by which other tools identify certificates.
fn sha256(bytes: &[u8]) -> Option<[u8; 32]> {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    suite
        .common
        .hash_provider
        .hash(bytes)
        .as_ref()
        .try_into()
        .ok()
}
