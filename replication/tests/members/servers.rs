//! Three real NATS servers on loopback.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trunkline_replication::carrier::Carrier;
use trunkline_replication::nats::{NatsCarrier, NatsOptions};

/// The longest wait for servers to agree on a leader.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of three servers, which ends with it.
pub(crate) struct Cluster {
    directory: TempDir,
    ports: [(u16, u16); 3],
    servers: [Option<Child>; 3],
}

impl Cluster {
    pub(crate) fn start() -> Self {
        // All are bound before any is released, so that they differ.
        let listeners = [0; 6].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let mut cluster = Self {
            directory: tempfile::tempdir().unwrap(),
            ports: [0, 1, 2].map(|index| (ports[index], ports[3 + index])),
            servers: [None, None, None],
        };
        (0..3).for_each(|server| cluster.restart(server));
        cluster
    }

    fn store(&self, server: usize) -> PathBuf {
        self.directory.path().join(format!("s{server}"))
    }

    /// Starts a server that does not run.
    pub(crate) fn restart(&mut self, server: usize) {
        let routes = self
            .ports
            .map(|(_, route)| format!("nats://127.0.0.1:{route}"));
        let (port, route) = self.ports[server];
        let started = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js"])
            .args(["-n", &format!("s{server}"), "-sd"])
            .arg(self.store(server))
            .args(["--cluster_name", "trunkline", "--cluster"])
            .arg(format!("nats://127.0.0.1:{route}"))
            .args(["--routes", &routes.join(",")])
            .arg("-l")
            .arg(self.directory.path().join(format!("s{server}.log")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let started = started.unwrap_or_else(|error| {
            panic!("cannot start nats-server ({error}); install Debian's package nats-server")
        });
        self.servers[server] = Some(started);
    }

    /// Kills a server at once.
    pub(crate) fn kill(&mut self, server: usize) {
        if let Some(mut child) = self.servers[server].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Removes the files of a server that does not run.
    pub(crate) fn wipe(&self, server: usize) {
        std::fs::remove_dir_all(self.store(server)).unwrap();
    }

    pub(crate) fn options(&self, stream: &str) -> NatsOptions {
        let servers = self
            .ports
            .map(|(port, _)| format!("nats://127.0.0.1:{port}"));
        NatsOptions {
            bytes_max: 64 << 20,
            timeout: Duration::from_secs(2),
            poll: Duration::from_millis(100),
            ..NatsOptions::new(servers.to_vec(), stream)
        }
    }

    /// Connects, as soon as the servers agree on leaders.
    pub(crate) async fn connect(&self, stream: &str) -> Arc<NatsCarrier> {
        let began = Instant::now();
        loop {
            match NatsCarrier::open(self.options(stream)).await {
                Ok(carrier) => return Arc::new(carrier),
                Err(error) if began.elapsed() > PATIENCE => panic!("no stream: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Waits until the stream answers.
    pub(crate) async fn wait_for(&self, carrier: &NatsCarrier) {
        let began = Instant::now();
        while let Err(error) = carrier.ends().await {
            assert!(began.elapsed() < PATIENCE, "no leader: {error}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..3).for_each(|server| self.kill(server));
    }
}
