//! The Unix socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use axum::Router;
use axum::routing::get;
use tokio::net::UnixStream;
use trunkline::config::ServerConfig;
use trunkline_service::listen::{ListenError, Listeners};
use trunkline_service::{Peer, Source};

use crate::support::{Files, exchange, hello, patient, soon, start};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n";

fn config(files: &Files) -> ServerConfig {
    ServerConfig {
        listen: String::new(),
        socket_path: files.path("socket"),
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn owner_and_group_connect_and_requests_say_whose_process_sent_them() {
    let files = Files::new();
    let router = Router::new().route(
        "/",
        get(|axum::Extension(peer): axum::Extension<Peer>| async move {
            match peer.source {
                Source::Unix { uid, pid } => format!("{uid} {pid:?}"),
                Source::Tcp { .. } => "TCP".to_owned(),
            }
        }),
    );
    let running = start(&config(&files), router, patient());
    let metadata = fs::metadata(files.path("socket")).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    let stream = UnixStream::connect(files.path("socket")).await.unwrap();
    let answer = exchange(stream, REQUEST).await;
    let own = format!("{} {:?}", metadata.uid(), Some(std::process::id()));
    assert!(answer.ends_with(&own), "{answer}");
    running.stop().await;
    assert!(!files.path("socket").exists());
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not() {
    let files = Files::new();
    // Its file remains, like that of a killed process.
    drop(UnixListener::bind(files.path("socket")).unwrap());
    assert!(files.path("socket").exists());
    let running = start(&config(&files), hello(), patient());
    let refused = Listeners::bind(&config(&files)).err().unwrap();
    assert!(matches!(refused, ListenError::SocketInUse(_)), "{refused}");
    let stream = UnixStream::connect(files.path("socket")).await.unwrap();
    assert!(exchange(stream, REQUEST).await.ends_with("hello"));
    running.stop().await;
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let files = Files::new();
    files.write("socket", "precious");
    let refused = Listeners::bind(&config(&files)).err().unwrap();
    assert!(matches!(refused, ListenError::NoSocket(_)), "{refused}");
    assert_eq!(
        fs::read_to_string(files.path("socket")).unwrap(),
        "precious"
    );
}

#[tokio::test]
async fn a_stop_leaves_the_socket_of_a_successor() {
    let files = Files::new();
    let running = start(&config(&files), hello(), patient());
    fs::remove_file(files.path("socket")).unwrap();
    let successor = start(&config(&files), hello(), patient());
    running.stop().await;
    let stream = soon(UnixStream::connect(files.path("socket")))
        .await
        .unwrap();
    assert!(exchange(stream, REQUEST).await.ends_with("hello"));
    successor.stop().await;
}
