//! A world of three directories and a stream, in which a seed decides what happens next.

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

/// Short, so that many frames are in chunks.
const MESSAGE_BYTES_MAX: usize = 700;
const NODES: usize = 3;

/// What may go wrong in a round, besides crashes and lost, late and repeated messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing else.
    Plain,
    /// Others write to the stream.
    Forging,
    /// What replicas read was changed on its way.
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
    /// A version up to which frames were given to the publisher.
    published: u64,
    replicated: u64,
    followed: u64,
    /// Losses before it was promoted.
    losses: u64,
    /// The last message of its own that it knows of.
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

/// An append under way.
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

    /// Lets one thing happen.
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

    // A primary's life.

    /// Opens a directory for writing, and bids for an epoch.
    fn open(&mut self, node: usize) {
        if self.is_lost {
            return self.promote_after_loss(node);
        }
        let disk = &mut self.nodes[node].disk;
        disk.epoch += 1;
        let (epoch, own) = (disk.epoch, disk.chain.tip());
        let ends = self.stream.ends();
        let disk = &self.nodes[node].disk;
        if self.resume_point(disk, ends).is_err() {
            return self.stop(node);
        }
        let Ok(reader) = self.read_all() else {
            return self.stop(node);
        };
        let tip = match reader.regime() {
            None if own == genesis() => own,
            None => return self.stop(node),
            Some(regime) => match takeover::check(regime, epoch, &own, &disk.chain) {
                Ok(()) => regime.tip,
                Err(_) => {
                    self.model.counts.refused_takeovers += 1;
                    return self.stop(node);
                }
            },
        };
        self.bid(node, epoch, tip, ends.last);
    }

    fn resume_point(&self, disk: &Disk, ends: Ends) -> Result<u64, FollowError> {
        let from = disk.resume.map_or(0, |resume| resume.sequence);
        let found = self.stream.read(from, 1);
        Follower::<Hashes>::resume_from(disk.resume, ends, &found)
    }

    fn read_all(&self) -> Result<Reader<Hashes>, ReadError> {
        self.read_from(self.stream.ends().first)
    }

    fn read_from(&self, sequence: u64) -> Result<Reader<Hashes>, ReadError> {
        let mut reader = Reader::new(Hashes, sequence);
        for carried in self.stream.read(sequence, usize::MAX) {
            reader.read(carried.sequence, carried.bytes)?;
        }
        Ok(reader)
    }

    fn bid(&mut self, node: usize, epoch: u64, tip: LogPosition, last: u64) {
        let mut writer = [0; 16];
        writer[..8].copy_from_slice(&self.number().to_le_bytes());
        let disk = &mut self.nodes[node].disk;
        disk.synced = disk.chain.0.len();
        disk.epoch = epoch;
        let at = disk.chain.tip();
        let begin = Begin {
            beginning: beginning(&Begun { epoch, at }, &KEY),
            tip,
            unix_ms: 0,
        };
        let publisher = Publisher::new(writer, epoch, begin, last, MESSAGE_BYTES_MAX);
        let leader = Leader {
            publisher,
            acknowledgements: Acknowledgements::new((0..NODES).map(name)),
            published: tip.version,
            replicated: tip.version,
            followed: 0,
            losses: self.losses,
            confirmed: last,
            waits: None,
            generation: self.generation,
        };
        self.nodes[node].role = Role::Leading(Box::new(leader));
    }

    /// Lets a primary do the next thing: publish, append, read what was appended, count reports.
    fn work(&mut self, node: usize) {
        let id = self.number();
        let Node { disk, role } = &mut self.nodes[node];
        let Role::Leading(leader) = role else {
            return self.read(node);
        };
        if leader.waits.is_some() {
            return;
        }
        while leader.publisher.has_begun() && leader.published < disk.chain.0.len() as u64 {
            let version = &disk.chain.0[leader.published as usize];
            let frame = version.frame(&KEY);
            leader.publisher.publish(version.link.position, frame);
            leader.published += 1;
        }
        if let Some(from) = leader.publisher.must_read() {
            return self.read_tail(node, from);
        }
        if let Some(sending) = leader.publisher.next_append() {
            leader.waits = Some(id);
            self.flights.push(Flight {
                id,
                generation: leader.generation,
                node,
                bytes: sending.bytes,
                expected_last: sending.expected_last,
            });
            return;
        }
        leader.publisher.beat(id);
        self.count_reports(node);
    }

    fn read_tail(&mut self, node: usize, from: u64) {
        // Some server may have less than there is.
        let behind = if self.chance(10) {
            self.random.below(3)
        } else {
            0
        };
        let mut ends = self.stream.ends();
        ends.last = ends.last.saturating_sub(behind);
        let mut messages = self.stream.read(from, 4);
        messages.retain(|message| message.sequence <= ends.last);
        let Role::Leading(leader) = &mut self.nodes[node].role else {
            return;
        };
        let outcome = leader.publisher.tail(ends, &messages);
        self.after_append(node, outcome.is_err());
    }

    fn after_append(&mut self, node: usize, has_stopped: bool) {
        if has_stopped {
            return self.fence(node);
        }
        let Node { disk, role } = &mut self.nodes[node];
        let Role::Leading(leader) = role else { return };
        let confirmed = leader.publisher.confirmed();
        let later = self.begins.iter().find(|(sequence, epoch, _)| {
            *sequence < confirmed && *epoch > leader.publisher.epoch()
        });
        if confirmed > leader.confirmed && !self.is_lost {
            assert_eq!(later, None, "an old primary got an acknowledgement");
        }
        leader.confirmed = confirmed;
        disk.resume = leader.publisher.resume().or(disk.resume);
        let replicated = leader.publisher.replicated().version;
        // After a loss, it says nothing until somebody was promoted.
        if !self.is_lost {
            for version in leader.replicated + 1..=replicated {
                let position = disk.chain.at(version).unwrap();
                self.model.acknowledge_replicated(position);
            }
        }
        leader.replicated = replicated.max(leader.replicated);
        if leader.publisher.has_begun() && self.is_lost {
            self.is_lost &= leader.losses != self.losses;
        }
    }

    fn fence(&mut self, node: usize) {
        let Role::Leading(leader) = &self.nodes[node].role else {
            return;
        };
        match leader.publisher.has_begun() {
            true => {
                self.model.counts.fenced += 1;
                self.stop(node);
            }
            // Somebody else was first: it is a replica still.
            false => self.follow(node),
        }
    }

    fn count_reports(&mut self, node: usize) {
        let Node { disk, role } = &mut self.nodes[node];
        let Role::Leading(leader) = role else { return };
        if !leader.publisher.has_begun() {
            return;
        }
        for other in (0..NODES).filter(|other| *other != node) {
            let Some(value) = self.values.get(&name(other)) else {
                continue;
            };
            let report = Report::decode(value).unwrap();
            let is_ours = disk.chain.at(report.synced.version) == Some(report.synced);
            if is_ours && report.epoch == leader.publisher.epoch() {
                let version = report.synced.version;
                leader.acknowledgements.followed_by(&name(other), version);
            }
        }
        let followed = leader.acknowledgements.followed(self.k);
        for version in leader.followed + 1..=followed {
            self.model
                .acknowledge_followed(disk.chain.at(version).unwrap());
        }
        leader.followed = leader.followed.max(followed);
    }

    fn write(&mut self, node: usize) {
        let bytes = match self.random.below(8) {
            0 => 1500,
            _ => self.random.below(200) as usize,
        };
        let mut payload = vec![0; bytes + 8];
        payload[..8].copy_from_slice(&self.number().to_le_bytes());
        let Node { disk, role } = &mut self.nodes[node];
        let Role::Leading(leader) = role else { return };
        if !leader.publisher.has_begun() {
            return;
        }
        let epoch = leader.publisher.epoch();
        let version = Version::after(disk.chain.tip(), epoch, payload.into());
        self.model.commit(version.link.position);
        disk.chain.0.push(version);
        // It is durable here before it is published.
        disk.synced = disk.chain.0.len();
    }

    // Appends under way.

    fn deliver(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let index = self.random.below(self.flights.len() as u64) as usize;
        let flight = self.flights.swap_remove(index);
        if self.chance(8) {
            return self.answer(&flight, Append::Unknown("lost on its way".into()));
        }
        if flight.generation < self.generation {
            return self.answer(&flight, Append::Unknown("of no subject".into()));
        }
        let outcome = self.append(flight.bytes.clone(), flight.expected_last);
        if self.chance(4) {
            // Some server repeats it.
            let repeated = self.append(flight.bytes.clone(), flight.expected_last);
            assert_eq!(repeated, Append::Refused);
        }
        if !self.chance(8) {
            self.answer(&flight, outcome);
        }
    }

    fn append(&mut self, bytes: Bytes, expected_last: u64) -> Append {
        let outcome = self.stream.append(bytes.clone(), expected_last);
        if let (Append::Appended(sequence), Ok(message)) = (&outcome, Message::decode(bytes))
            && matches!(message.body, Body::Begin(_))
        {
            self.begins.push((*sequence, message.epoch, message.writer));
        }
        outcome
    }

    fn answer(&mut self, flight: &Flight, outcome: Append) {
        let Role::Leading(leader) = &mut self.nodes[flight.node].role else {
            return;
        };
        // A later attempt, or another process, does not get the answer.
        if leader.waits != Some(flight.id) {
            return;
        }
        leader.waits = None;
        let outcome = leader.publisher.outcome(outcome);
        self.after_append(flight.node, outcome.is_err());
    }

    /// The writer waits no longer; its message may still arrive.
    fn time_out(&mut self, node: usize) {
        let Role::Leading(leader) = &mut self.nodes[node].role else {
            return;
        };
        if leader.waits.take().is_some() {
            let outcome = leader.publisher.outcome(Append::Unknown("late".into()));
            assert_eq!(outcome, Ok(()));
        }
    }

    // A replica's life.

    fn follow(&mut self, node: usize) {
        let ends = self.stream.ends();
        let disk = &self.nodes[node].disk;
        let Ok(next) = self.resume_point(disk, ends) else {
            return self.stop(node);
        };
        let follower = Follower::new(Hashes, next, disk.chain.tip(), disk.refuses_below);
        self.nodes[node].role = Role::Following(Box::new(follower));
    }

    fn read(&mut self, node: usize) {
        let Role::Following(follower) = &self.nodes[node].role else {
            return;
        };
        let next = follower.next();
        let ends = self.stream.ends();
        if next < ends.first {
            // What comes next was trimmed.
            return self.follow(node);
        }
        let count = if self.is_quiet {
            usize::MAX
        } else {
            1 + self.random.below(6) as usize
        };
        let mut messages = self.stream.read(next, count);
        self.disorder(&mut messages);
        let is_end = messages.is_empty();
        let mut outcome = self.take_all(node, messages);
        if outcome.is_ok() && is_end && !self.chance(50) {
            let Role::Following(follower) = &self.nodes[node].role else {
                return;
            };
            outcome = follower.check_end(ends.last);
        }
        match outcome {
            // It reads again from there.
            Ok(()) | Err(FollowError::Read(ReadError::Hole { .. })) => {}
            Err(_) => {
                self.model.counts.diverged += 1;
                self.stop(node);
            }
        }
    }

    /// Drops, repeats, reorders and changes what is delivered.
    fn disorder(&mut self, messages: &mut Vec<Carried>) {
        if messages.is_empty() || !self.chance(25) {
            return;
        }
        let length = messages.len() as u64;
        let (one, other) = (self.random.below(length), self.random.below(length));
        let (one, other) = (one as usize, other as usize);
        match self.random.below(4) {
            0 => drop(messages.remove(one)),
            1 => messages.push(messages[one].clone()),
            2 => messages.swap(one, other),
            _ if self.kind == Kind::Tampering => {
                let mut bytes = messages[one].bytes.to_vec();
                let at = self.random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.random.below(8);
                messages[one].bytes = bytes.into();
            }
            _ => {}
        }
    }

    fn take_all(&mut self, node: usize, messages: Vec<Carried>) -> Result<(), FollowError> {
        for Carried { sequence, bytes } in messages {
            let Node { disk, role } = &mut self.nodes[node];
            let Role::Following(follower) = role else {
                return Ok(());
            };
            for step in follower.take(sequence, bytes)? {
                match step {
                    Step::Apply(_, version) => {
                        self.model.check_committed(version.link.position);
                        disk.chain.0.push(version);
                    }
                    Step::Stray(_) => self.model.counts.strays += 1,
                    Step::Held => return self.look_ahead(node, sequence),
                    Step::Known(_) | Step::Began | Step::Beat(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Looks for the beginning of an epoch that is not refused.
    fn look_ahead(&mut self, node: usize, from: u64) -> Result<(), FollowError> {
        let messages = self.stream.read(from, usize::MAX);
        let Role::Following(follower) = &mut self.nodes[node].role else {
            return Ok(());
        };
        let mut reader = follower.look_ahead();
        for Carried { sequence, bytes } in messages {
            reader.read(sequence, bytes)?;
            let regime = reader.regime();
            if regime.is_some_and(|regime| regime.epoch >= follower.refuses_below()) {
                follower.license(sequence);
                return Ok(());
            }
        }
        Ok(())
    }

    fn sync(&mut self, node: usize) {
        let Node { disk, role } = &mut self.nodes[node];
        if let Role::Following(follower) = role {
            disk.synced = disk.chain.0.len();
            disk.resume = follower.resume().or(disk.resume);
        }
    }

    fn report(&mut self, node: usize) {
        let Node { disk, role } = &self.nodes[node];
        let Role::Following(follower) = role else {
            return;
        };
        let report = Report {
            synced: disk.chain.at(disk.synced as u64).unwrap(),
            written_in: disk.chain.epoch(disk.synced as u64).unwrap_or(0),
            refuses_below: disk.refuses_below,
            epoch: follower.regime().map_or(0, |regime| regime.epoch),
            sequence: follower.next() - 1,
            unix_ms: 0,
        };
        self.values.insert(name(node), report.encode());
    }

    fn promote(&mut self, node: usize) {
        if self.is_lost {
            return self.promote_after_loss(node);
        }
        let Node { disk, role } = &self.nodes[node];
        let Role::Following(follower) = role else {
            return;
        };
        let ends = self.stream.ends();
        let (next, position) = (follower.next(), follower.position());
        let Some(regime) = follower.regime() else {
            return;
        };
        if next != ends.last + 1 || regime.tip != position {
            return;
        }
        let epoch = regime.epoch.max(disk.epoch).max(disk.refuses_below) + 1;
        let resumed = follower
            .resume()
            .map_or(ends.first, |resume| resume.sequence);
        match self.read_from(resumed) {
            Ok(reader) if follower.agrees_with(&reader) => {}
            // Something was changed on its way: it reads again.
            _ => return self.follow(node),
        }
        self.model.counts.promotions += 1;
        let tip = regime.tip;
        self.bid(node, epoch, tip, ends.last);
    }

    /// Promotes a directory after the carrier lost its tail, if enough others answer.
    fn promote_after_loss(&mut self, node: usize) {
        if matches!(self.nodes[node].role, Role::Destroyed | Role::Leading(_)) {
            return;
        }
        let disks = self.nodes.iter().map(|node| &node.disk);
        let epochs = disks.map(|disk| {
            let written_in = disk.chain.epoch_at_tip();
            disk.epoch.max(disk.refuses_below).max(written_in)
        });
        let begun = self.begins.iter().map(|(_, epoch, _)| *epoch).max();
        let epoch = epochs.max().unwrap().max(begun.unwrap_or(0)) + 1;
        let mut round = Round::new(epoch, (0..NODES).map(name).collect(), self.k).unwrap();
        for other in 0..NODES {
            let answers = other == node || self.is_quiet || self.random.below(2) == 0;
            if answers && let Some(report) = self.refuse(other, epoch) {
                round.take(&name(other), &report);
            }
        }
        let disk = &self.nodes[node].disk;
        let own = Height {
            written_in: disk.chain.epoch_at_tip(),
            position: disk.chain.tip(),
        };
        if round.check(&own, false).is_err() {
            self.model.counts.refused_losses += 1;
            return self.follow(node);
        }
        self.model.counts.losses += 1;
        self.apply_rest(node);
        self.bid_after_loss(node, epoch);
    }

    /// Applies what is left of the stream, as far as it continues the tree.
    fn apply_rest(&mut self, node: usize) {
        let ends = self.stream.ends();
        let disk = &self.nodes[node].disk;
        let mut follower = Follower::new(Hashes, ends.first, disk.chain.tip(), disk.refuses_below);
        follower.license(ends.last);
        self.nodes[node].role = Role::Following(Box::new(follower));
        let messages = self.stream.read(ends.first, usize::MAX);
        let _diverged = self.take_all(node, messages);
    }

    /// Makes a directory refuse lower epochs, and returns its answer.
    fn refuse(&mut self, node: usize, epoch: u64) -> Option<Report> {
        let Node { disk, role } = &mut self.nodes[node];
        if matches!(role, Role::Destroyed | Role::Leading(_)) {
            return None;
        }
        disk.refuses_below = epoch;
        disk.synced = disk.chain.0.len();
        if let Role::Following(follower) = role {
            follower.refuse_below(epoch);
        }
        Some(Report {
            synced: disk.chain.tip(),
            written_in: disk.chain.epoch_at_tip(),
            refuses_below: epoch,
            epoch: 0,
            sequence: 0,
            unix_ms: 0,
        })
    }

    /// Begins behind what is left of the stream. A stream behind which the tree must not write is emptied before.
    fn bid_after_loss(&mut self, node: usize, epoch: u64) {
        // No earlier writer appends any more, whatever sequence number it expects.
        self.generation += 1;
        let chain = &self.nodes[node].disk.chain;
        let own = chain.tip();
        let ends = self.stream.ends();
        let regime = self
            .read_all()
            .ok()
            .and_then(|reader| reader.regime().copied());
        let allows = |regime: &Regime| takeover::check(regime, epoch, &own, chain).is_ok();
        let tip = match regime.filter(allows) {
            Some(regime) => regime.tip,
            None => {
                self.stream.trim(ends.last + 1);
                // The others have this at least.
                let least = self.nodes.iter().map(|node| node.disk.synced).min();
                chain.at(least.unwrap() as u64).unwrap_or(own)
            }
        };
        self.bid(node, epoch, tip, ends.last);
    }

    // What befalls a directory.

    fn stop(&mut self, node: usize) {
        self.nodes[node].role = Role::Stopped;
    }

    fn crash(&mut self, node: usize) {
        let Node { disk, role } = &mut self.nodes[node];
        if !matches!(role, Role::Destroyed) {
            disk.chain.0.truncate(disk.synced);
            *role = Role::Down;
        }
    }

    fn restart(&mut self, node: usize) {
        match self.nodes[node].role {
            Role::Down if self.random.below(2) == 0 => self.follow(node),
            Role::Down => self.open(node),
            Role::Stopped => self.rejoin(node),
            _ => {}
        }
    }

    /// Rewinds a directory to what it has in common with the stream, and follows.
    fn rejoin(&mut self, node: usize) {
        if self.is_lost {
            return;
        }
        let ends = self.stream.ends();
        let mut reader = Reader::new(Hashes, ends.first);
        let mut known = BTreeMap::new();
        for carried in self.stream.read(ends.first, usize::MAX) {
            if reader.read(carried.sequence, carried.bytes).is_err() {
                return;
            }
            if let Some(regime) = reader.regime() {
                known.insert(regime.tip.version, regime.tip);
            }
        }
        let disk = &self.nodes[node].disk;
        let is_common = |(version, position): &(&u64, &LogPosition)| {
            disk.chain.at(**version) == Some(**position)
        };
        let common = known
            .iter()
            .rev()
            .find(is_common)
            .map(|(version, _)| *version);
        match common {
            Some(common) => self.rewind(node, common as usize),
            None => self.bootstrap(node, known.values().next_back().copied()),
        }
        self.follow(node);
    }

    fn rewind(&mut self, node: usize, version: usize) {
        let disk = &mut self.nodes[node].disk;
        disk.chain.0.truncate(version);
        disk.synced = version;
        disk.resume = None;
    }

    /// Copies a directory that has the end of the stream.
    fn bootstrap(&mut self, node: usize, tip: Option<LogPosition>) {
        let Some(tip) = tip else { return };
        let donor = self.nodes.iter().find(|node| {
            let chain = &node.disk.chain;
            chain.at(tip.version) == Some(tip)
        });
        if let Some(donor) = donor {
            let chain = donor.disk.chain.clone();
            self.nodes[node].disk.chain = chain;
            self.rewind(node, tip.version as usize);
        }
    }

    // What befalls the carrier.

    fn disturb(&mut self) {
        match self.kind {
            Kind::Plain | Kind::Tampering => {}
            Kind::Forging => self.forge(),
            Kind::Losing => self.lose(),
            Kind::Destroying => {
                self.lose();
                self.destroy();
            }
        }
    }

    /// Appends what no primary wrote.
    fn forge(&mut self) {
        let last = self.stream.ends().last;
        let Ok(reader) = self.read_all() else { return };
        let Some(regime) = reader.regime().copied() else {
            return;
        };
        let (mut writer, mut epoch) = (regime.writer, regime.epoch);
        let next = Version::after(regime.tip, regime.epoch, Bytes::from_static(b"forged"));
        let old = Version::after(regime.tip, regime.epoch - 1, Bytes::from_static(b"old"));
        let body = match self.random.below(6) {
            // A valid extension under another key.
            0 => Body::Frames(vec![whole(&next, next.frame(&OTHER_KEY))]),
            // A beginning under another key.
            1 => {
                (writer, epoch) = ([0xff; 16], regime.epoch + 5);
                let at = regime.tip;
                let begin = beginning(&Begun { epoch, at }, &OTHER_KEY);
                Body::Begin(Begin {
                    beginning: begin,
                    tip: regime.tip,
                    unix_ms: 0,
                })
            }
            // What an old primary signed and nobody got, as if the present one had sent it.
            5 if regime.at.version <= regime.tip.version => {
                Body::Frames(vec![whole(&old, old.frame(&KEY))])
            }
            // A stray message, and one of long ago.
            2 => return drop(self.stream.append(Bytes::from_static(b"junk"), last)),
            _ => {
                let old = 1 + self.random.below(last);
                let message = self.stream.read(old, 1);
                if let Some(message) = message.first() {
                    self.stream.append(message.bytes.clone(), last);
                }
                return;
            }
        };
        let message = Message {
            writer,
            epoch,
            behind: last,
            body,
        };
        self.stream.append(message.encode(), last);
    }

    fn lose(&mut self) {
        if self.is_lost || !self.chance(40) {
            return;
        }
        let last = self.stream.ends().last;
        let kept = match self.random.below(3) {
            0 => 0,
            _ => self.random.below(last + 1),
        };
        if kept == last {
            return;
        }
        self.stream.lose_behind(kept);
        self.begins.retain(|(sequence, ..)| *sequence <= kept);
        if self.random.below(2) == 0 {
            self.values.clear();
        }
        self.is_lost = true;
        self.losses += 1;
        self.model.lose_replicated();
    }

    /// Loses the files of one directory, once.
    fn destroy(&mut self) {
        let is_first = !self
            .nodes
            .iter()
            .any(|node| matches!(node.role, Role::Destroyed));
        if is_first && self.is_lost && self.chance(50) {
            let node = self.random.below(NODES as u64) as usize;
            self.nodes[node].role = Role::Destroyed;
            self.nodes[node].disk = Disk::default();
        }
    }

    // The end of a round.

    /// Ends all faults, and lets everybody work until nothing changes.
    pub(crate) fn settle(&mut self) {
        self.is_quiet = true;
        while !self.flights.is_empty() {
            self.deliver();
        }
        (0..NODES).for_each(|node| self.time_out(node));
        for _ in 0..8 {
            self.settle_once();
        }
    }

    fn settle_once(&mut self) {
        for node in 0..NODES {
            for _ in 0..3 {
                self.drive(node);
            }
            match self.nodes[node].role {
                Role::Down => self.follow(node),
                Role::Stopped if self.is_lost => self.promote_after_loss(node),
                Role::Stopped => self.rejoin(node),
                _ => {}
            }
        }
        let refused = self.nodes.iter().map(|node| node.disk.refuses_below).max();
        for node in 0..NODES {
            if let Role::Leading(leader) = &self.nodes[node].role
                && Some(leader.publisher.epoch()) < refused
            {
                // Opened again, it has a higher epoch.
                self.crash(node);
                self.open(node);
                self.drive(node);
            }
        }
        let leads = |node: &Node| matches!(node.role, Role::Leading(_));
        if self.nodes.iter().any(leads) {
            return;
        }
        for node in 0..NODES {
            self.drive(node);
            let is_new = self
                .read_all()
                .is_ok_and(|reader| reader.regime().is_none());
            match self.nodes.iter().any(leads) {
                true => {}
                false if is_new => self.open(node),
                false => self.promote(node),
            }
        }
    }

    fn drive(&mut self, node: usize) {
        match self.nodes[node].role {
            Role::Leading(_) => {
                for _ in 0..40 {
                    self.work(node);
                    while !self.flights.is_empty() {
                        self.deliver();
                    }
                }
            }
            Role::Following(_) => {
                // The second time for what was held, the third for the end.
                for _ in 0..3 {
                    self.read(node);
                    self.sync(node);
                    self.report(node);
                }
            }
            _ => {}
        }
    }

    /// Says where everybody is.
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

    /// Checks that one primary leads, that everybody has what it has, and that nothing was lost.
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
