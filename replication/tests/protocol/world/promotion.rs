//! Promotions, with and without a loss.

use super::*;

impl World {
    pub(super) fn promote(&mut self, node: usize) {
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
            // A message was changed in transit: it reads again.
            _ => return self.follow(node),
        }
        self.model.counts.promotions += 1;
        let tip = regime.tip;
        self.bid(node, epoch, tip, ends.last);
    }

    /// Promotes a directory after the carrier lost its tail, if enough others answer.
    pub(super) fn promote_after_loss(&mut self, node: usize) {
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

    /// Applies the remaining stream, as far as it continues the tree.
    pub(super) fn apply_rest(&mut self, node: usize) {
        let ends = self.stream.ends();
        let disk = &self.nodes[node].disk;
        let mut follower = Follower::new(Hashes, ends.first, disk.chain.tip(), disk.refuses_below);
        follower.license(ends.last);
        self.nodes[node].role = Role::Following(Box::new(follower));
        let messages = self.stream.read(ends.first, usize::MAX);
        let _diverged = self.take_all(node, messages);
    }

    /// Makes a directory refuse lower epochs, and returns its answer.
    pub(super) fn refuse(&mut self, node: usize, epoch: u64) -> Option<Report> {
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

    /// Begins after the remaining stream. A stream after which the tree must not write is emptied first.
    pub(super) fn bid_after_loss(&mut self, node: usize, epoch: u64) {
        // No earlier writer can append any more, whatever sequence number it expects.
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
                // The others have at least this.
                let least = self.nodes.iter().map(|node| node.disk.synced).min();
                chain.at(least.unwrap() as u64).unwrap_or(own)
            }
        };
        self.bid(node, epoch, tip, ends.last);
    }
}
