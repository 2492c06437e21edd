//! The end of a round: all faults end, and all members come to the same chain.

use super::*;

impl World {
    /// Ends all faults, and lets all members work until nothing changes.
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

    pub(super) fn settle_once(&mut self) {
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
                // A reopened primary has a higher epoch.
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

    pub(super) fn drive(&mut self, node: usize) {
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
                // The second pass is for held messages, the third for the end.
                for _ in 0..3 {
                    self.read(node);
                    self.sync(node);
                    self.report(node);
                }
            }
            _ => {}
        }
    }
}
