//! A world of three directories and a stream, in which a seed decides what happens next.

mod faults;
mod following;
mod leading;
mod promotion;
mod settling;

use std::collections::BTreeMap;

use bytes::Bytes;
use trunkline_core::store::log::LogPosition;
use trunkline_replication::carrier::{Append, Carried, Ends};
use trunkline_replication::protocol::loss::{Height, Round};
use trunkline_replication::protocol::takeover::Chain;
use trunkline_replication::protocol::{
    Acknowledgements, Begun, FollowError, Follower, Publisher, ReadError, Reader, Regime, Resume,
    Step, takeover,
};
use trunkline_replication::simulated::Stream;
use trunkline_replication::wire::{Begin, Body, Chunk, Message, Report, Writer};
use trunkline_testkit::random::Random;

use crate::chain::{Hashes, KEY, OTHER_KEY, Version, Versions, beginning, genesis};
use crate::model::Model;

/// The limit is low, so that many frames are in chunks.
const MESSAGE_BYTES_MAX: usize = 700;
const NODES: usize = 3;

/// The faults in a round, in addition to crashes and lost, late and repeated messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No other fault.
    Plain,
    /// Others write to the stream.
    Forging,
    /// Messages are changed in transit to replicas.
    Tampering,
    /// The carrier loses its tail, or all.
    Losing,
    /// The carrier loses its tail, and a directory is lost.
    Destroying,
}

/// The files of a directory.
#[derive(Clone, Debug, Default)]
struct Disk {
    chain: Versions,
    synced: usize,
    epoch: u64,
    refuses_below: u64,
    resume: Option<Resume>,
}

struct Leader {
    publisher: Publisher,
    acknowledgements: Acknowledgements,
    /// The version up to which frames were given to the publisher.
    published: u64,
    replicated: u64,
    followed: u64,
    /// The number of losses before it was promoted.
    losses: u64,
    /// The last of its own messages that it knows of.
    confirmed: u64,
    waits: Option<u64>,
    generation: u64,
}

enum Role {
    Down,
    Following(Box<Follower<Hashes>>),
    Leading(Box<Leader>),
    Stopped,
    Destroyed,
}

struct Node {
    disk: Disk,
    role: Role,
}

/// An append in flight.
struct Flight {
    id: u64,
    /// The carrier takes it only before the next renewal.
    generation: u64,
    node: usize,
    bytes: Bytes,
    expected_last: u64,
}

pub(crate) struct World {
    random: Random,
    kind: Kind,
    k: usize,
    stream: Stream,
    begins: Vec<(u64, u64, Writer)>,
    generation: u64,
    losses: u64,
    values: BTreeMap<String, Bytes>,
    nodes: Vec<Node>,
    flights: Vec<Flight>,
    numbers: u64,
    is_lost: bool,
    is_quiet: bool,
    pub(crate) model: Model,
}

fn name(node: usize) -> String {
    format!("n{node}")
}

impl World {
    pub(crate) fn new(seed: u64, kind: Kind) -> Self {
        let mut random = Random(seed);
        let k = match kind {
            Kind::Destroying => 2,
            _ => 1 + random.below(2) as usize,
        };
        let node = || Node {
            disk: Disk::default(),
            role: Role::Down,
        };
        let mut world = Self {
            random,
            kind,
            k,
            stream: Stream::default(),
            begins: Vec::new(),
            generation: 0,
            losses: 0,
            values: BTreeMap::new(),
            nodes: (0..NODES).map(|_| node()).collect(),
            flights: Vec::new(),
            numbers: 0,
            is_lost: false,
            is_quiet: false,
            model: Model::default(),
        };
        world.open(0);
        (1..NODES).for_each(|node| world.follow(node));
        world
    }

    fn chance(&mut self, percent: u64) -> bool {
        !self.is_quiet && self.random.below(100) < percent
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Performs one random step.
    pub(crate) fn step(&mut self) {
        let node = self.random.below(NODES as u64) as usize;
        match self.random.below(100) {
            0..=29 => self.work(node),
            30..=44 => self.write(node),
            45..=62 => self.deliver(),
            63..=79 => self.read(node),
            80..=85 => self.sync(node),
            86..=90 => self.report(node),
            91 => self.crash(node),
            92..=94 => self.restart(node),
            95 => self.promote(node),
            96..=97 => self.disturb(),
            _ => self.time_out(node),
        }
    }

    /// Describes the position of each member.
    pub(crate) fn describe(&self) -> String {
        let mut lines = vec![format!(
            "stream {:?}, lost {}, begins {:?}",
            self.stream.ends(),
            self.is_lost,
            self.begins
        )];
        for (index, Node { disk, role }) in self.nodes.iter().enumerate() {
            let role = match role {
                Role::Down => "down".into(),
                Role::Stopped => "stopped".into(),
                Role::Destroyed => "destroyed".into(),
                Role::Following(follower) => format!(
                    "following, next {}, regime {:?}",
                    follower.next(),
                    follower.regime()
                ),
                Role::Leading(leader) => format!("leading {:?}", leader.publisher),
            };
            lines.push(format!(
                "n{index}: version {}, epoch {}, refuses below {}, {:?}, {role}",
                disk.chain.tip().version,
                disk.epoch,
                disk.refuses_below,
                disk.resume
            ));
        }
        lines.join("\n")
    }

    /// Checks that one primary leads, that all members have its versions, and that nothing was lost.
    pub(crate) fn check(&self) {
        let leading = self.nodes.iter().filter_map(|node| match &node.role {
            Role::Leading(leader) if leader.publisher.has_begun() => Some((node, leader)),
            _ => None,
        });
        let leading: Vec<_> = leading.collect();
        assert_eq!(leading.len(), 1, "one primary leads in the end");
        let (primary, leader) = leading[0];
        let chain = &primary.disk.chain;
        assert_eq!(
            leader.publisher.replicated(),
            chain.tip(),
            "it published everything"
        );
        self.model.check_replicated(chain, "the last primary");
        self.model.check_followed(chain, "the last primary");
        for (index, node) in self.nodes.iter().enumerate() {
            match &node.role {
                Role::Destroyed | Role::Leading(_) => {}
                Role::Following(_) => {
                    assert_eq!(
                        node.disk.chain.tip(),
                        chain.tip(),
                        "replica {index} is behind"
                    );
                }
                Role::Down | Role::Stopped => panic!("directory {index} did not rejoin"),
            }
        }
    }
}

fn whole(version: &Version, frame: Bytes) -> Chunk {
    Chunk {
        version: version.link.position.version,
        index: 0,
        count: 1,
        content: frame,
    }
}
