//! Writes gathered into batches, several of them in flight.
//!
//! Not here: where writes come from.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use bytes::Bytes;
use trunkline::core::batch::{Batch, BatchLimits};
use trunkline::core::outcome::{Outcome, Refusal};
use trunkline::{Durable, Engine, Receipt};

use crate::error::CommandError;

/// What became of all batches so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Batches that are durable.
    pub(crate) batches: u64,
    /// Those of them that the tree refused.
    pub(crate) refused: u64,
    /// Why the first of them was.
    pub(crate) first_refusal: Option<Refusal>,
    /// Keys that newer ones replaced (policy `overwrite`).
    pub(crate) evicted: u64,
}

/// Gathers and submits. Bounded: it waits for the oldest batch when too many are in flight.
#[derive(Debug)]
pub(crate) struct Submitter<'a> {
    engine: &'a Engine,
    limits: BatchLimits,
    puts_max: usize,
    in_flight_max: usize,
    batch: Batch,
    in_flight: VecDeque<Receipt>,
    tally: Tally,
}

impl<'a> Submitter<'a> {
    /// Batches have up to `puts_max` puts, fewer if the engine's limits are lower.
    pub(crate) fn new(
        engine: &'a Engine,
        puts_max: NonZeroUsize,
        in_flight_max: NonZeroUsize,
    ) -> Self {
        Self {
            engine,
            limits: engine.config().submit.batch_limits(),
            puts_max: puts_max.get(),
            in_flight_max: in_flight_max.get(),
            batch: Batch::new(),
            in_flight: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// The most that one batch may hold, bytes.
    pub(crate) fn bytes_max(&self) -> usize {
        self.limits.bytes_max
    }

    /// Adds a put, after submitting what is full. Says whether a batch was submitted.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes) -> Result<bool, CommandError> {
        let is_full = self.make_room(key.len() + value.len())?;
        self.batch.put(key, value);
        Ok(is_full)
    }

    fn make_room(&mut self, bytes: usize) -> Result<bool, CommandError> {
        let is_full = self.batch.len() >= self.puts_max
            || self.batch.len() >= self.limits.operations_max
            || self.batch.bytes() + bytes > self.limits.bytes_max;
        if is_full {
            self.flush()?;
        }
        Ok(is_full)
    }

    /// Submits what was gathered.
    fn flush(&mut self) -> Result<(), CommandError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let room = Batch::with_capacity(self.batch.len(), self.batch.bytes());
        let batch = std::mem::replace(&mut self.batch, room);
        self.in_flight
            .push_back(self.engine.submit_blocking(batch)?);
        self.wait(self.in_flight_max - 1)
    }

    /// Submits what was gathered and waits until everything is durable.
    pub(crate) fn settle(&mut self) -> Result<&Tally, CommandError> {
        self.flush()?;
        self.wait(0)?;
        Ok(&self.tally)
    }

    /// Waits for the oldest batches, until at most `left` are in flight.
    fn wait(&mut self, left: usize) -> Result<(), CommandError> {
        while self.in_flight.len() > left {
            let Some(receipt) = self.in_flight.pop_front() else {
                break;
            };
            let durable = receipt.durable_blocking()?;
            self.tally.count(&durable);
        }
        Ok(())
    }
}

impl Tally {
    fn count(&mut self, durable: &Durable) {
        self.batches += 1;
        match durable.outcome {
            Outcome::Applied { displaced } => self.evicted += u64::from(displaced),
            Outcome::Refused(refusal) => {
                self.refused += 1;
                self.first_refusal.get_or_insert(refusal);
            }
        }
    }
}
