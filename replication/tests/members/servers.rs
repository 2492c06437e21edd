//! Three real NATS servers, and carriers over them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_replication::carrier::Carrier;
use trunkline_replication::nats::{NatsCarrier, NatsOptions};
use trunkline_testkit::nats::Cluster;

/// The longest wait for servers to agree on a leader.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(servers: Vec<String>, stream: &str) -> NatsOptions {
    NatsOptions {
        bytes_max: 64 << 20,
        timeout: Duration::from_secs(2),
        poll: Duration::from_millis(100),
        ..NatsOptions::new(servers, stream)
    }
}

/// Connects as soon as the servers agree on leaders.
pub(crate) async fn connect(cluster: &Cluster, stream: &str) -> Arc<NatsCarrier> {
    connect_to(cluster.urls(), stream).await
}

pub(crate) async fn connect_to(servers: Vec<String>, stream: &str) -> Arc<NatsCarrier> {
    let began = Instant::now();
    loop {
        match NatsCarrier::open(options(servers.clone(), stream)).await {
            Ok(carrier) => return Arc::new(carrier),
            Err(error) if began.elapsed() > PATIENCE => panic!("no stream: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Waits until the stream answers.
pub(crate) async fn wait_for(carrier: &NatsCarrier) {
    let began = Instant::now();
    while let Err(error) = carrier.ends().await {
        assert!(began.elapsed() < PATIENCE, "no leader: {error}");
    }
}
