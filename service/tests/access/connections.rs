//! Connections, and the reasons for which they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use trunkline::config::ServerConfig;
use trunkline_service::Peer;
use trunkline_service::listen::{Limits, ListenError, Listeners};

use crate::support::{SHORT, exchange, hello, loopback, patient, request, rest, soon, start};

#[tokio::test]
async fn both_versions_of_http_are_served_on_one_port() {
    let running = start(&loopback(), hello(), patient());
    let answer = running.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");

    let (client, connection) = h2::client::handshake(running.connect().await)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let uri = format!("http://{}/", running.address);
    let request = Request::get(uri).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), StatusCode::OK);
    drop(client);
    assert_eq!(running.stop().await.cut_off, 0);
}

#[tokio::test]
async fn a_request_says_who_sent_it() {
    let router = Router::new().route(
        "/",
        get(|peer: axum::Extension<Peer>| async move {
            format!("{peer} {} {}", peer.is_loopback, peer.is_tls, peer = peer.0)
        }),
    );
    let running = start(&loopback(), router, patient());
    let stream = running.connect().await;
    let own = stream.local_addr().unwrap();
    let answer = exchange(stream, &request(running.address, "/", "")).await;
    assert!(answer.ends_with(&format!("{own} true false")), "{answer}");
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_and_leave_no_trace() {
    let limits = Limits {
        connections_max: 2,
        ..patient()
    };
    let running = start(&loopback(), hello(), limits);
    // It is served, and then kept.
    let mut kept = Vec::new();
    for _ in 0..2 {
        kept.push(kept_alive(&running).await);
    }
    for _ in 0..100 {
        let attempts = (0..100).map(|_| async {
            // It is closed so soon that the client may notice while it still connects.
            let Ok(mut stream) = soon(TcpStream::connect(running.address)).await else {
                return;
            };
            let answer = exchange_if_open(&mut stream, &running).await;
            assert_eq!(answer, "", "a third connection was served");
        });
        futures_util::future::join_all(attempts).await;
    }
    drop(kept);
    // The service must first notice the end of those two.
    let answer = soon(async {
        loop {
            let answer = exchange_if_open(&mut running.connect().await, &running).await;
            if !answer.is_empty() {
                return answer;
            }
        }
    });
    assert!(answer.await.ends_with("hello"));
}

async fn kept_alive(running: &crate::support::Running) -> TcpStream {
    let mut stream = running.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", running.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(stream.readable()).await.unwrap();
    stream
}

async fn exchange_if_open(stream: &mut TcpStream, running: &crate::support::Running) -> String {
    let request = request(running.address, "/", "");
    let _ = soon(stream.write_all(request.as_bytes())).await;
    rest(stream).await
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let limits = Limits {
        headers: SHORT,
        ..patient()
    };
    let running = start(&loopback(), hello(), limits);
    assert_eq!(rest(&mut running.connect().await).await, "");
    // Only a part of the preface of HTTP/2.
    let mut stream = running.connect().await;
    stream.write_all(b"PRI * HTTP/2").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn headers_that_drip_end_the_connection() {
    let limits = Limits {
        headers: SHORT,
        ..patient()
    };
    let running = start(&loopback(), hello(), limits);
    let (mut reads, mut writes) = running.connect().await.into_split();
    let drip = tokio::spawn(async move {
        writes.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
        while writes.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = rest(&mut reads).await;
    assert!(!answer.contains("200"), "{answer}");
    soon(drip).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let limits = Limits {
        headers: SHORT,
        idle: SHORT,
        ..patient()
    };
    let running = start(&loopback(), hello(), limits);
    // HTTP/1, kept alive.
    let answer = rest(&mut kept_alive(&running).await).await;
    assert!(answer.ends_with("hello"), "{answer}");
    // HTTP/2, whose client answers all pings.
    let (client, connection) = h2::client::handshake(running.connect().await)
        .await
        .unwrap();
    let _ = soon(connection).await;
    drop(client);
}

#[tokio::test]
async fn a_body_that_does_not_come_fails_its_request() {
    let limits = Limits {
        body: SHORT,
        ..patient()
    };
    let status =
        |body: Result<Bytes, _>| body.map_or(StatusCode::REQUEST_TIMEOUT, |_| StatusCode::OK);
    let router = Router::new().route(
        "/",
        post(
            async move |body: Result<Bytes, axum::extract::rejection::BytesRejection>| status(body),
        ),
    );
    let running = start(&loopback(), router, limits);
    let head = |length| {
        format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\nabc",
            running.address
        )
    };
    let answer = exchange(running.connect().await, &head(3)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = exchange(running.connect().await, &head(4)).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_alone() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let router = hello().route(
        "/panic",
        get(async move || -> &'static str {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("a handler of this test panics")
        }),
    );
    let running = start(&loopback(), router, patient());
    assert_eq!(running.get("/panic").await, "");
    assert!(running.get("/").await.ends_with("hello"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(running.stop().await.cut_off, 0);
}

#[test]
fn a_configuration_that_would_let_everybody_in_is_refused() {
    let listen = |listen: &str| ServerConfig {
        listen: listen.to_owned(),
        ..ServerConfig::default()
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = Listeners::bind(&listen(address)).err().unwrap();
        assert!(matches!(refused, ListenError::Exposed(_)), "{refused}");
        assert!(refused.to_string().contains("server.tokens_path"));
    }
    for address in ["localhost:7460", "127.0.0.1", ":7460"] {
        let refused = Listeners::bind(&listen(address)).err().unwrap();
        assert!(matches!(refused, ListenError::Address(_)), "{refused}");
    }
    let refused = Listeners::bind(&listen("")).err().unwrap();
    assert!(matches!(refused, ListenError::Nowhere), "{refused}");
    let half = ServerConfig {
        tls_client_ca_path: "ca.pem".into(),
        ..loopback()
    };
    let refused = Listeners::bind(&half).err().unwrap();
    assert!(matches!(refused, ListenError::HalfTls { .. }), "{refused}");
    let tokens = ServerConfig {
        tokens_path: "tokens.toml".into(),
        ..listen("0.0.0.0:0")
    };
    assert!(Listeners::bind(&tokens).is_ok());
}

#[test]
fn an_address_in_use_is_named() {
    let first = Listeners::bind(&loopback()).unwrap();
    let address = first.addresses().tcp.unwrap();
    let again = ServerConfig {
        listen: address.to_string(),
        ..ServerConfig::default()
    };
    let refused = Listeners::bind(&again).err().unwrap();
    assert!(refused.to_string().contains(&address.to_string()));
}
