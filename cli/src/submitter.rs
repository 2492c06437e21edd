//! Gathers writes into batches and keeps several of them in flight.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline::core::batch::{Batch, BatchLimits};
use trunkline::core::outcome::{Outcome, Refusal};
use trunkline::{Engine, Receipt};

use crate::error::CommandError;

/// Outcomes of the batches so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Batches that are durable.
    pub(crate) batches: u64,
    /// Batches that the tree refused.
    pub(crate) refused: u64,
    /// The refusal of the first refused batch.
    pub(crate) first_refusal: Option<Refusal>,
}

/// Gathers and submits writes. Waits for the oldest batch if too many are in flight.
#[derive(Debug)]
pub(crate) struct Submitter<'a> {
    engine: &'a Engine,
    limits: BatchLimits,
    puts_max: usize,
    in_flight_max: usize,
    batch: Batch,
    /// The time at which the first put of the gathered batch came.
    begun: Instant,
    in_flight: VecDeque<Receipt>,
    tally: Tally,
}

impl<'a> Submitter<'a> {
    /// Batches have up to `puts_max` puts, or fewer if the engine's limits are lower.
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
            begun: Instant::now(),
            in_flight: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Returns the maximum size of a batch in bytes.
    pub(crate) fn bytes_max(&self) -> usize {
        self.limits.bytes_max
    }

    /// Adds a put. If the current batch is full, submits it first.
    pub(crate) fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), CommandError> {
        let operations_max = self.puts_max.min(self.limits.operations_max);
        let bytes = self.batch.bytes() + key.len() + value.len();
        if self.batch.len() >= operations_max || bytes > self.limits.bytes_max {
            self.flush()?;
        }
        if self.batch.is_empty() {
            self.begun = Instant::now();
        }
        self.batch.put(key, value);
        Ok(())
    }

    /// Submits the gathered batch if its first put has waited for `wait`.
    pub(crate) fn flush_after(&mut self, wait: Duration) -> Result<(), CommandError> {
        match self.begun.elapsed() >= wait {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Submits the gathered batch.
    fn flush(&mut self) -> Result<(), CommandError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let next = Batch::with_capacity(self.batch.len(), self.batch.bytes());
        let batch = std::mem::replace(&mut self.batch, next);
        self.in_flight
            .push_back(self.engine.submit_blocking(batch)?);
        self.wait(self.in_flight_max - 1)
    }

    /// Submits the gathered batch and waits until everything is durable.
    pub(crate) fn finish(&mut self) -> Result<&Tally, CommandError> {
        self.flush()?;
        self.wait(0)?;
        Ok(&self.tally)
    }

    /// Waits for the oldest batches until at most `left` are in flight.
    fn wait(&mut self, left: usize) -> Result<(), CommandError> {
        while self.in_flight.len() > left
            && let Some(receipt) = self.in_flight.pop_front()
        {
            self.tally.batches += 1;
            if let Outcome::Refused(refusal) = receipt.durable_blocking()?.outcome {
                self.tally.refused += 1;
                self.tally.first_refusal.get_or_insert(refusal);
            }
        }
        Ok(())
    }
}
