//! TLS and certificates of clients.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use rcgen::date_time_ymd;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use trunkline::config::ServerConfig;
use trunkline_service::Peer;
use trunkline_service::listen::{Limits, ListenError, Listeners, TlsError};

use crate::support::{
    Authority, Files, Pair, SHORT, exchange, hello, patient, request, rest, soon, start,
};

/// Returns the response to `GET /`, or nothing if the connection fails first.
async fn answer(authority: &Authority, address: SocketAddr, client: Option<&Pair>) -> String {
    let connected = authority.connect(address, client, &["http/1.1"]).await;
    let Ok(mut stream) = connected else {
        return String::new();
    };
    let request = request(address, "/", "");
    let _ = stream.write_all(request.as_bytes()).await;
    rest(&mut stream).await
}

fn mutual(files: &Files, authority: &Authority) -> ServerConfig {
    files.write_pair(&authority.issue("server", &["localhost"]));
    ServerConfig {
        tls_client_ca_path: files.write("ca.pem", &authority.pem()),
        ..files.config()
    }
}

#[tokio::test]
async fn the_client_chooses_the_version_of_http_by_alpn() {
    let (files, authority) = (Files::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let running = start(&files.config(), hello(), patient());
    for alpn in ["h2", "http/1.1"] {
        let connected = authority.connect(running.address, None, &[alpn]).await;
        let stream = connected.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol().unwrap();
        assert_eq!(chosen, alpn.as_bytes());
        if alpn == "h2" {
            let (client, connection) = soon(h2::client::handshake(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut client = client.ready().await.unwrap();
            let uri = format!("https://{}/", running.address);
            let request = axum::http::Request::get(uri).body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            assert_eq!(soon(response).await.unwrap().status(), 200);
        } else {
            let text = request(running.address, "/", "");
            assert!(exchange(stream, &text).await.ends_with("hello"));
        }
    }
}

#[tokio::test]
async fn a_clients_certificate_is_verified_and_its_names_are_told() {
    let (files, authority) = (Files::new(), Authority::new());
    let router = Router::new().route(
        "/",
        get(|axum::Extension(peer): axum::Extension<Peer>| async move {
            let certificate = peer.certificate.unwrap();
            format!(
                "{:?} {} {}",
                certificate.names,
                certificate.subject,
                hex::encode(certificate.fingerprint)
            )
        }),
    );
    let running = start(&mutual(&files, &authority), router, patient());
    let named = authority.issue("the app", &["app.example", "app2.example"]);
    let told = answer(&authority, running.address, Some(&named)).await;
    assert!(
        told.contains(r#"["app.example", "app2.example"]"#),
        "{told}"
    );
    assert!(told.contains("the app"), "{told}");
    let der = CertificateDer::from_pem_slice(named.certificate.as_bytes()).unwrap();
    let sha256 = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .unwrap()
        .common
        .hash_provider;
    assert!(told.ends_with(&hex::encode(sha256.hash(&der))), "{told}");
    let unnamed = authority.issue("the app", &[]);
    let told = answer(&authority, running.address, Some(&unnamed)).await;
    assert!(told.contains(r#"["the app"]"#), "{told}");
}

#[tokio::test]
async fn clients_without_a_good_certificate_are_refused() {
    let (files, authority) = (Files::new(), Authority::new());
    let running = start(&mutual(&files, &authority), hello(), patient());
    let good = authority.issue("app", &["app.example"]);
    let unknown = Authority::new().issue("app", &["app.example"]);
    let expired = authority.issue_with("app", &["app.example"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    });
    let get = |client| answer(&authority, running.address, client);
    assert!(get(Some(&good)).await.ends_with("hello"));
    for bad in [None, Some(&unknown), Some(&expired)] {
        assert_eq!(get(bad).await, "");
    }
}

#[tokio::test]
async fn plain_http_to_the_port_of_tls_ends_at_once() {
    let (files, authority) = (Files::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let running = start(&files.config(), hello(), patient());
    let stream = running.connect().await;
    let got = exchange(stream, &request(running.address, "/", "")).await;
    assert!(!got.contains("hello"), "{got}");
}

#[tokio::test]
async fn half_open_handshakes_hold_nobody_up_and_end() {
    let (files, authority) = (Files::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let limits = Limits {
        handshake: SHORT,
        ..patient()
    };
    let running = start(&files.config(), hello(), limits);
    let mut silent = Vec::new();
    for _ in 0..50 {
        let mut stream = running.connect().await;
        // The head of a record that does not follow.
        stream.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
        silent.push(stream);
    }
    let told = answer(&authority, running.address, None).await;
    assert!(told.ends_with("hello"), "{told}");
    for stream in &mut silent {
        rest(stream).await;
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_and_open_connections_live() {
    let (files, authority, other) = (Files::new(), Authority::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let running = start(&files.config(), hello(), patient());
    let tls = running.tls.clone().unwrap();
    let connected = authority
        .connect(running.address, None, &["http/1.1"])
        .await;
    let mut open = connected.unwrap();

    files.write_pair(&other.issue("server", &["localhost"]));
    assert!(tls.reload().unwrap());
    assert!(!tls.reload().unwrap());
    assert_eq!(answer(&authority, running.address, None).await, "");
    assert!(
        answer(&other, running.address, None)
            .await
            .ends_with("hello")
    );

    // Half of a renewal, and an invalid file.
    let next = authority.issue("server", &["localhost"]);
    files.write("tls.crt", &next.certificate);
    assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })));
    files.write("tls.crt", "no certificate");
    assert!(matches!(tls.reload(), Err(TlsError::Pem { .. })));
    std::fs::remove_file(files.path("tls.crt")).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::File(_))));
    assert!(
        answer(&other, running.address, None)
            .await
            .ends_with("hello")
    );

    let text = request(running.address, "/", "");
    open.write_all(text.as_bytes()).await.unwrap();
    assert!(rest(&mut open).await.ends_with("hello"));
}

#[tokio::test]
async fn a_changed_certificate_is_noticed_without_being_told() {
    let (files, authority, other) = (Files::new(), Authority::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let running = start(&files.config(), hello(), patient());
    files.write_pair(&other.issue("server", &["localhost"]));
    let noticed = soon(async {
        loop {
            let told = answer(&other, running.address, None).await;
            if !told.is_empty() {
                return told;
            }
            tokio::time::sleep(SHORT).await;
        }
    });
    assert!(noticed.await.ends_with("hello"));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (files, authority) = (Files::new(), Authority::new());
    let refused = |config: &ServerConfig| match Listeners::bind(config).err().unwrap() {
        ListenError::Tls(error) => error,
        other => panic!("{other}"),
    };
    let error = refused(&files.config());
    assert!(error.to_string().contains("tls.crt"), "{error}");
    let (one, two) = (
        authority.issue("one", &["localhost"]),
        authority.issue("two", &["localhost"]),
    );
    files.write("tls.crt", &one.certificate);
    files.write("tls.key", &two.key);
    assert!(matches!(refused(&files.config()), TlsError::Pair { .. }));
    let config = ServerConfig {
        tls_client_ca_path: files.write("ca.pem", ""),
        ..files.config()
    };
    files.write_pair(&one);
    let error = refused(&config);
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[tokio::test]
async fn a_client_that_ends_in_the_middle_of_a_handshake_is_forgotten() {
    let (files, authority) = (Files::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let limits = Limits {
        connections_max: 1,
        ..patient()
    };
    let running = start(&files.config(), hello(), limits);
    let mut stream: TcpStream = running.connect().await;
    stream.write_all(&[0x16]).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await;
    let served = soon(async {
        loop {
            let told = answer(&authority, running.address, None).await;
            if !told.is_empty() {
                return told;
            }
        }
    });
    assert!(served.await.ends_with("hello"));
}
