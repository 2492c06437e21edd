//! A directory that follows: reads, applies, syncs and reports.

use super::*;

impl World {
    pub(super) fn follow(&mut self, node: usize) {
        let ends = self.stream.ends();
        let disk = &self.nodes[node].disk;
        let Ok(next) = self.resume_point(disk, ends) else {
            return self.stop(node);
        };
        let follower = Follower::new(Hashes, next, disk.chain.tip(), disk.refuses_below);
        self.nodes[node].role = Role::Following(Box::new(follower));
    }

    pub(super) fn read(&mut self, node: usize) {
        let Role::Following(follower) = &self.nodes[node].role else {
            return;
        };
        let next = follower.next();
        let ends = self.stream.ends();
        if next < ends.first {
            // The next message was trimmed.
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

    /// Drops, repeats, reorders and changes delivered messages.
    pub(super) fn disorder(&mut self, messages: &mut Vec<Carried>) {
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

    pub(super) fn take_all(
        &mut self,
        node: usize,
        messages: Vec<Carried>,
    ) -> Result<(), FollowError> {
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
    pub(super) fn look_ahead(&mut self, node: usize, from: u64) -> Result<(), FollowError> {
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

    pub(super) fn sync(&mut self, node: usize) {
        let Node { disk, role } = &mut self.nodes[node];
        if let Role::Following(follower) = role {
            disk.synced = disk.chain.0.len();
            disk.resume = follower.resume().or(disk.resume);
        }
    }

    pub(super) fn report(&mut self, node: usize) {
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
}
