//! NATS servers with JetStream for tests and benches. They end with the cluster.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::namespaces::Namespace;

/// Settings with which servers notice a dead connection soon.
const PINGS: &str = "ping_interval: \"1s\"\nping_max: 2\n";

/// A server: its address, and its process if it is running.
struct Server {
    address: String,
    route: String,
    namespace: Option<Namespace>,
    child: Option<Child>,
}

/// Servers, which form a cluster if there are several.
pub struct Cluster {
    directory: TempDir,
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts servers on loopback.
    pub fn start(count: usize) -> Self {
        // All ports are bound before any is released, so that they differ.
        let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = (0..2 * count).map(bind).collect();
        let addresses = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().to_string());
        let addresses: Vec<_> = addresses.collect();
        drop(listeners);
        Self::of(addresses.chunks(2).map(|pair| Server {
            address: pair[0].clone(),
            route: pair[1].clone(),
            namespace: None,
            child: None,
        }))
    }

    /// Starts a server in each of these namespaces.
    pub fn start_in(namespaces: &[Namespace]) -> Self {
        Self::of(namespaces.iter().map(|namespace| Server {
            address: format!("{}:4222", namespace.address()),
            route: format!("{}:6222", namespace.address()),
            namespace: Some(namespace.clone()),
            child: None,
        }))
    }

    fn of(servers: impl Iterator<Item = Server>) -> Self {
        let mut cluster = Self {
            directory: tempfile::tempdir().unwrap(),
            servers: servers.collect(),
        };
        (0..cluster.servers.len()).for_each(|server| cluster.restart(server));
        cluster
    }

    /// Returns the addresses for clients.
    pub fn urls(&self) -> Vec<String> {
        let urls = self.servers.iter();
        urls.map(|server| format!("nats://{}", server.address))
            .collect()
    }

    fn store(&self, server: usize) -> PathBuf {
        self.directory.path().join(format!("s{server}"))
    }

    /// Starts a server that is not running.
    pub fn restart(&mut self, server: usize) {
        let command = self.command(server);
        let spawn = |mut command: Command| {
            command.spawn().unwrap_or_else(|error| {
                panic!("cannot start nats-server ({error}); install Debian's package nats-server")
            })
        };
        let Server {
            namespace, child, ..
        } = &mut self.servers[server];
        *child = Some(match namespace {
            None => spawn(command),
            Some(namespace) => namespace.run(move || spawn(command)),
        });
    }

    fn command(&self, server: usize) -> Command {
        let own = &self.servers[server];
        let (host, port) = own.address.split_once(':').unwrap();
        let mut command = Command::new("nats-server");
        command
            .args(["-a", host, "-p", port, "-js", "-n", &format!("s{server}")])
            .arg("-sd")
            .arg(self.store(server))
            .arg("-l")
            .arg(self.directory.path().join(format!("s{server}.log")));
        if self.servers.len() > 1 {
            let routes = self.servers.iter();
            let routes: Vec<_> = routes
                .map(|server| format!("nats://{}", server.route))
                .collect();
            command
                .args(["--cluster_name", "trunkline", "--cluster"])
                .arg(format!("nats://{}", own.route))
                .args(["--routes", &routes.join(",")]);
        }
        if own.namespace.is_some() {
            let file = self.directory.path().join("pings.conf");
            std::fs::write(&file, PINGS).unwrap();
            command.arg("-c").arg(file);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Kills a server at once.
    pub fn kill(&mut self, server: usize) {
        if let Some(mut child) = self.servers[server].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Removes the files of a server that is not running.
    pub fn wipe(&self, server: usize) {
        std::fs::remove_dir_all(self.store(server)).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|server| self.kill(server));
    }
}
