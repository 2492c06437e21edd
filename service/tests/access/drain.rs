//! Stopping.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use trunkline_service::listen::Limits;

use crate::support::{loopback, patient, request, rest, soon, start};

/// Requests that report their beginning, and end on request.
#[derive(Clone, Default)]
struct Held {
    begun: Arc<Notify>,
    end: Arc<Notify>,
}

impl Held {
    fn router(&self) -> Router {
        let held = self.clone();
        let wait = async move || {
            held.begun.notify_one();
            held.end.notified().await;
            "done"
        };
        Router::new().route("/", get(wait))
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_request_in_flight_and_takes_no_other() {
    let held = Held::default();
    let running = start(&loopback(), held.router(), patient());
    let address = running.address;
    let mut idle = running.connect().await;
    let mut stream = running.connect().await;
    let text = request(address, "/", "");
    stream.write_all(text.as_bytes()).await.unwrap();
    soon(held.begun.notified()).await;

    let served = running.ask_to_stop();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!served.is_finished());
    held.end.notify_one();
    assert!(rest(&mut stream).await.ends_with("done"));
    assert_eq!(soon(served).await.unwrap().unwrap().cut_off, 0);
}

#[tokio::test]
async fn requests_beyond_the_deadline_are_cut_off_and_counted() {
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..patient()
    };
    let held = Held::default();
    let running = start(&loopback(), held.router(), limits);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = running.connect().await;
        let text = request(running.address, "/", "");
        stream.write_all(text.as_bytes()).await.unwrap();
        soon(held.begun.notified()).await;
        streams.push(stream);
    }
    assert_eq!(running.stop().await.cut_off, 3);
    for stream in &mut streams {
        assert_eq!(rest(stream).await, "");
    }
}
