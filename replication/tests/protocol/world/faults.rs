//! Crashes, restarts, forgeries and losses.

use super::*;

impl World {
    pub(super) fn stop(&mut self, node: usize) {
        self.nodes[node].role = Role::Stopped;
    }

    pub(super) fn crash(&mut self, node: usize) {
        let Node { disk, role } = &mut self.nodes[node];
        if !matches!(role, Role::Destroyed) {
            disk.chain.0.truncate(disk.synced);
            *role = Role::Down;
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        match self.nodes[node].role {
            Role::Down if self.random.below(2) == 0 => self.follow(node),
            Role::Down => self.open(node),
            Role::Stopped => self.rejoin(node),
            _ => {}
        }
    }

    /// Rewinds a directory to the last version that it has in common with the stream, and follows.
    pub(super) fn rejoin(&mut self, node: usize) {
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

    pub(super) fn rewind(&mut self, node: usize, version: usize) {
        let disk = &mut self.nodes[node].disk;
        disk.chain.0.truncate(version);
        disk.synced = version;
        disk.resume = None;
    }

    /// Copies a directory that has the end of the stream.
    pub(super) fn bootstrap(&mut self, node: usize, tip: Option<LogPosition>) {
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

    // Faults of the carrier.

    pub(super) fn disturb(&mut self) {
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

    /// Appends messages that no primary wrote.
    pub(super) fn forge(&mut self) {
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
            // A message that an old primary signed but that never arrived, as if the present primary had sent it.
            5 if regime.at.version <= regime.tip.version => {
                Body::Frames(vec![whole(&old, old.frame(&KEY))])
            }
            // A stray message, and an old one.
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

    pub(super) fn lose(&mut self) {
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
    pub(super) fn destroy(&mut self) {
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
}
