//! Network namespaces linked by a bridge, so that a test can cut one off from the others.
//!
//! They need root, the kernel's network namespaces and `ip` (Debian's iproute2). The machine's own network does not
//! change: the bridge has its own namespace.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with an address.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    hub: String,
    /// The number in the names and in the address.
    number: usize,
}

impl Namespace {
    /// Returns its address.
    pub fn address(&self) -> String {
        format!("10.213.0.{}", self.number + 1)
    }

    /// Makes the calling thread use this network from now on.
    pub fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs `work` on a thread that uses this network. Processes that it starts use it, too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                self.enter();
                work()
            });
            entered.join().unwrap()
        })
    }

    /// Disconnects it from the others, or connects it again.
    pub fn set_cut(&self, is_cut: bool) {
        let state = if is_cut { "down" } else { "up" };
        let port = format!("port{}", self.number);
        ip(&["-n", &self.hub, "link", "set", &port, state]).unwrap();
    }
}

/// Namespaces that can reach each other. They are removed when this is dropped.
pub struct Network {
    hub: String,
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
}

impl Network {
    /// Creates namespaces.
    ///
    /// # Errors
    ///
    /// Returns the error of `ip` if that is not permitted, or if there is no `ip`.
    pub fn create(count: usize) -> Result<Self, String> {
        let prefix = format!("trunkline-{}", std::process::id());
        let hub = format!("{prefix}-hub");
        let namespace = |number| Namespace {
            name: format!("{prefix}-{number}"),
            hub: hub.clone(),
            number,
        };
        let network = Self {
            namespaces: (0..count).map(namespace).collect(),
            hub,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let hub = &self.hub;
        ip(&["netns", "add", hub])?;
        ip(&["-n", hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", hub, "link", "set", "bridge", "up"])?;
        for namespace in &self.namespaces {
            let (name, port) = (&namespace.name, format!("port{}", namespace.number));
            let address = format!("{}/24", namespace.address());
            ip(&["netns", "add", name])?;
            ip(&[
                "-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
                name,
            ])?;
            ip(&["-n", hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", name, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Namespaces that were not created need no removal.
        for namespace in &self.namespaces {
            drop(ip(&["netns", "del", &namespace.name]));
        }
        drop(ip(&["netns", "del", &self.hub]));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new("ip").args(arguments).output();
    let ran = ran.map_err(|error| format!("no command `ip`: {error}"))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&ran.stderr).trim()
        )),
    }
}
