//! A directory that is opened as a primary's: it bids, appends and fences.

use super::*;

impl World {
    /// Opens a directory for writing, and bids for an epoch.
    pub(super) fn open(&mut self, node: usize) {
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

    pub(super) fn resume_point(&self, disk: &Disk, ends: Ends) -> Result<u64, FollowError> {
        let from = disk.resume.map_or(0, |resume| resume.sequence);
        let found = self.stream.read(from, 1);
        Follower::<Hashes>::resume_from(disk.resume, ends, &found)
    }

    pub(super) fn read_all(&self) -> Result<Reader<Hashes>, ReadError> {
        self.read_from(self.stream.ends().first)
    }

    pub(super) fn read_from(&self, sequence: u64) -> Result<Reader<Hashes>, ReadError> {
        let mut reader = Reader::new(Hashes, sequence);
        for carried in self.stream.read(sequence, usize::MAX) {
            reader.read(carried.sequence, carried.bytes)?;
        }
        Ok(reader)
    }

    pub(super) fn bid(&mut self, node: usize, epoch: u64, tip: LogPosition, last: u64) {
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

    /// Performs the next step of a primary: publish, append, read, or count reports.
    pub(super) fn work(&mut self, node: usize) {
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

    pub(super) fn read_tail(&mut self, node: usize, from: u64) {
        // A server may not know all messages.
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

    pub(super) fn after_append(&mut self, node: usize, has_stopped: bool) {
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
        // After a loss, it says nothing until a member was promoted.
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

    pub(super) fn fence(&mut self, node: usize) {
        let Role::Leading(leader) = &self.nodes[node].role else {
            return;
        };
        match leader.publisher.has_begun() {
            true => {
                self.model.counts.fenced += 1;
                self.stop(node);
            }
            // Another process was first: it is still a replica.
            false => self.follow(node),
        }
    }

    pub(super) fn count_reports(&mut self, node: usize) {
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

    pub(super) fn write(&mut self, node: usize) {
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
        // The version is durable here before it is published.
        disk.synced = disk.chain.0.len();
    }

    // Appends under way.

    pub(super) fn deliver(&mut self) {
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
            // A server repeats the append.
            let repeated = self.append(flight.bytes.clone(), flight.expected_last);
            assert_eq!(repeated, Append::Refused);
        }
        if !self.chance(8) {
            self.answer(&flight, outcome);
        }
    }

    pub(super) fn append(&mut self, bytes: Bytes, expected_last: u64) -> Append {
        let outcome = self.stream.append(bytes.clone(), expected_last);
        if let (Append::Appended(sequence), Ok(message)) = (&outcome, Message::decode(bytes))
            && matches!(message.body, Body::Begin(_))
        {
            self.begins.push((*sequence, message.epoch, message.writer));
        }
        outcome
    }

    pub(super) fn answer(&mut self, flight: &Flight, outcome: Append) {
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

    /// The writer stops waiting; its message may still arrive.
    pub(super) fn time_out(&mut self, node: usize) {
        let Role::Leading(leader) = &mut self.nodes[node].role else {
            return;
        };
        if leader.waits.take().is_some() {
            let outcome = leader.publisher.outcome(Append::Unknown("late".into()));
            assert_eq!(outcome, Ok(()));
        }
    }
}
