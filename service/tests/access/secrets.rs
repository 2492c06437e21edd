//! No token or cookie is ever logged.

use std::io;
use std::sync::Arc;

use axum::http::Request;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tracing_subscriber::fmt::MakeWriter;
use trunkline::config::ServerConfig;
use trunkline_service::auth::{Authenticator, Scope, new_token};

use crate::support::{Files, exchange, loopback, patient, request, rest, soon, start};
use crate::tokens::{SUBMIT, bearer, router, scopes};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_path_writes_a_secret_to_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let files = Files::new();
    let token = new_token("reader", scopes(&[Scope::Read]));
    files.write("tokens.toml", &token.entry);
    let config = ServerConfig {
        tokens_path: files.path("tokens.toml"),
        ..loopback()
    };
    let authenticator = Arc::new(Authenticator::open(&config).unwrap());
    let running = start(&config, router(&authenticator), patient());
    let address = running.address;
    let right = format!("Authorization: {}\r\n", bearer(&token));
    let wrong = "Authorization: Bearer a-wrong-secret\r\n";
    let malformed = "Authorization: Basic a-wrong-secret\r\n";
    let cookie = "Cookie: trunkline=a-wrong-secret\r\n";
    let foreign = format!("{right}Origin: http://evil.example\r\n");
    let long = format!("{right}{}", "X: 1\r\n".repeat(150));
    for (path, headers, status) in [
        ("/read", right.as_str(), "200"),
        ("/admin", right.as_str(), "403"),
        ("/read", wrong, "401"),
        ("/read", malformed, "401"),
        ("/read", cookie, "401"),
        ("/nowhere", right.as_str(), "404"),
        ("/read", foreign.as_str(), "403"),
        ("/read", long.as_str(), "431"),
    ] {
        let answer = exchange(running.connect().await, &request(address, path, headers)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path} {answer}"
        );
    }
    // A request that no parser accepts.
    let mut stream = running.connect().await;
    let broken = format!("GET /read HTTP/1.1\r\n{right}\0broken\r\n\r\n");
    stream.write_all(broken.as_bytes()).await.unwrap();
    rest(&mut stream).await;

    let body = format!(r#"{{"token":"{}"}}"#, token.secret);
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(running.connect().await, &login).await;
    let session = answer.split_once("trunkline=").expect(&answer).1;
    let session = session.split(';').next().unwrap().to_owned();
    let cookie = format!("Cookie: trunkline={session}\r\n");
    let answer = exchange(running.connect().await, &request(address, "/read", &cookie)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let (client, connection) = h2::client::handshake(running.connect().await)
        .await
        .unwrap();
    // The client's own log lines are not ours.
    let quiet = tracing::subscriber::NoSubscriber::default();
    let connection = tracing::instrument::WithSubscriber::with_subscriber(connection, quiet);
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    for value in [bearer(&token), "Bearer a-wrong-secret".to_owned()] {
        let request = Request::post(format!("http://{address}{SUBMIT}"))
            .header("content-type", "application/grpc")
            .header("authorization", value)
            .body(())
            .unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::new(), true).unwrap();
        let response = soon(response).await.unwrap();
        assert!(response.headers().contains_key("grpc-status"));
    }
    running.stop().await;

    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("request refused"), "the log was not captured");
    for secret in [token.secret.as_str(), "a-wrong-secret", &session] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
