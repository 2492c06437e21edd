//! Doing what the workload says: reads at once, writes in batches, several batches in flight.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use trunkline::Engine;

use super::records::Records;
use super::workload::{Operation, Workload};
use crate::arguments::LoadArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::progress::{Progress, Unit};
use crate::submitter::{Submitter, Tally};

/// Operations between two looks at the interrupt and the progress bar.
const STRIDE: u64 = 256;

/// One part of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
}

/// How the load went.
#[derive(Debug)]
pub(super) struct Driven {
    pub(super) phases: Vec<Phase>,
    pub(super) tally: Tally,
    pub(super) reads: Reads,
    pub(super) is_interrupted: bool,
}

/// Puts all keys once, then runs the operations.
pub(super) fn drive(
    arguments: &LoadArguments,
    engine: &Engine,
    records: &mut Records,
    interrupt: &Interrupt,
) -> Result<Driven, CommandError> {
    let mut driver = Driver {
        engine,
        records,
        interrupt,
        submitter: Submitter::new(engine, arguments.batch, arguments.in_flight),
        reads: Reads::new(),
    };
    let mut phases = vec![driver.fill()?];
    if !interrupt.is_requested() {
        phases.push(driver.run(arguments)?);
    }
    Ok(Driven {
        tally: driver.submitter.tally().clone(),
        phases,
        reads: driver.reads,
        is_interrupted: interrupt.is_requested(),
    })
}

struct Driver<'a> {
    engine: &'a Engine,
    records: &'a mut Records,
    interrupt: &'a Interrupt,
    submitter: Submitter<'a>,
    reads: Reads,
}

impl Driver<'_> {
    fn fill(&mut self) -> Result<Phase, CommandError> {
        let keys = self.records.initial_keys();
        self.phase("fill", keys, |driver, index| {
            let value = driver.records.write(index);
            driver.submitter.put(Records::key(index), value)?;
            Ok(())
        })
    }

    fn run(&mut self, arguments: &LoadArguments) -> Result<Phase, CommandError> {
        let dist = arguments.dist.unwrap_or(arguments.workload.dist());
        let keys = self.records.len();
        // Another stream than the one that the values come from.
        let seed = !arguments.seed;
        let mut workload = Workload::new(arguments.workload, dist, keys, seed)?;
        self.phase("run", arguments.ops, |driver, _| {
            if driver.perform(workload.next())? {
                // All but the one that was just gathered.
                workload.grow(driver.records.len() - 1)?;
            }
            Ok(())
        })
    }

    /// Does something many times, until everything is durable or the user had enough.
    fn phase(
        &mut self,
        name: &'static str,
        count: u64,
        mut act: impl FnMut(&mut Self, u64) -> Result<(), CommandError>,
    ) -> Result<Phase, CommandError> {
        let mut progress = Progress::start(name, Unit::Operations, Some(count));
        let mut done = 0;
        while done < count && !self.interrupt.is_requested() {
            let stride = STRIDE.min(count - done);
            for index in done..done + stride {
                act(self, index)?;
            }
            done += stride;
            progress.advance(stride);
        }
        self.submitter.settle()?;
        let (operations, elapsed) = progress.finish();
        Ok(Phase {
            name,
            operations,
            elapsed,
        })
    }

    /// Says whether a batch was submitted.
    fn perform(&mut self, operation: Operation) -> Result<bool, CommandError> {
        match operation {
            Operation::Read(index) => {
                self.reads.read(self.engine, &Records::key(index))?;
                Ok(false)
            }
            Operation::Update(index) => {
                let value = self.records.write(index);
                self.submitter.put(Records::key(index), value)
            }
            Operation::Insert => {
                let index = self.records.len();
                let value = self.records.write(index);
                self.submitter.put(Records::key(index), value)
            }
            Operation::ReadModifyWrite(index) => {
                let key = Records::key(index);
                self.reads.read(self.engine, &key)?;
                // Not what was read: the engine shows conditional writes once they have taken
                // effect, and several batches of them are in flight.
                let before = self.records.value(index);
                let value = self.records.write(index);
                self.submitter.replace(key, &before, value)
            }
        }
    }
}

/// Reads, and how they went.
#[derive(Debug)]
pub(super) struct Reads {
    /// Latency, nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// Reads that found nothing, though every key that is read was written.
    pub(super) missing: u64,
}

impl Reads {
    /// Three digits up to a minute in nanoseconds; larger values count as that.
    fn new() -> Self {
        Self {
            latency: Histogram::new_with_max(60_000_000_000, 3).unwrap_or_else(|_| {
                unreachable!("bounds and precision are constants that it takes")
            }),
            missing: 0,
        }
    }

    fn read(&mut self, engine: &Engine, key: &Bytes) -> Result<(), CommandError> {
        let started = Instant::now();
        let value = engine.get(key)?;
        let elapsed = started.elapsed();
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanos);
        self.missing += u64::from(value.is_none());
        Ok(())
    }
}
