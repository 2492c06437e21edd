//! Clients that never read.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use trunkline_service::listen::Limits;

use crate::support::{Authority, Files, SHORT, hello, loopback, patient, request, soon, start};

/// Sends a message when it is dropped.
struct Ends(mpsc::UnboundedSender<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Returns a router with a response that never ends, and a receiver that is told of its end.
fn endless() -> (Router, mpsc::UnboundedReceiver<()>) {
    let (sender, ended) = mpsc::unbounded_channel();
    let router = hello().route(
        "/endless",
        get(async move || {
            let parts = stream::unfold(Ends(sender), |ends| async move {
                let part = Bytes::from_static(&[0; 16 * 1024]);
                Some((Ok::<_, Infallible>(part), ends))
            });
            Body::from_stream(parts)
        }),
    );
    (router, ended)
}

fn impatient() -> Limits {
    Limits {
        stall: SHORT,
        ..patient()
    }
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection() {
    let (router, mut ended) = endless();
    let running = start(&loopback(), router, impatient());
    let mut stream = running.connect().await;
    let request = request(running.address, "/endless", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    soon(ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection_with_tls() {
    let (files, authority) = (Files::new(), Authority::new());
    files.write_pair(&authority.issue("server", &["localhost"]));
    let (router, mut ended) = endless();
    let running = start(&files.config(), router, impatient());
    let connected = authority
        .connect(running.address, None, &["http/1.1"])
        .await;
    let mut stream = connected.unwrap();
    let request = request(running.address, "/endless", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    soon(ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_never_read_is_reset_and_others_of_its_connection_live() {
    let (router, mut ended) = endless();
    let running = start(&loopback(), router, impatient());
    let handshake = h2::client::Builder::new()
        .initial_window_size(100_000)
        .handshake::<_, Bytes>(running.connect().await);
    let (client, connection) = soon(handshake).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let get = |path| {
        let uri = format!("http://{}{path}", running.address);
        Request::get(uri).body(()).unwrap()
    };
    let (endless, _) = client.send_request(get("/endless"), true).unwrap();
    let mut body = soon(endless).await.unwrap().into_body();
    soon(ended.recv()).await.unwrap();
    let reset = soon(async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                end => return end,
            }
        }
    });
    let reset = reset.await.expect("the stream ended as if it were whole");
    assert_eq!(reset.unwrap_err().reason(), Some(h2::Reason::CANCEL));
    let (response, _) = client.send_request(get("/"), true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    const LENGTH: usize = 300_000;
    let router = Router::new().route("/", get(|| async { vec![7; LENGTH] }));
    let running = start(&loopback(), router, impatient());
    let handshake = h2::client::Builder::new()
        .initial_window_size(50_000)
        .handshake::<_, Bytes>(running.connect().await);
    let (client, connection) = soon(handshake).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let uri = format!("http://{}/", running.address);
    let request = Request::get(uri).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.headers()["content-length"], LENGTH.to_string());
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = soon(body.data()).await {
        length += data.as_ref().unwrap().len();
        tokio::time::sleep(SHORT / 30).await;
        body.flow_control()
            .release_capacity(data.unwrap().len())
            .unwrap();
    }
    assert_eq!(length, LENGTH);
}
