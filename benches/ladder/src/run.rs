//! One run of the engine: open, preload, updates, root, reads.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use trunkline::core::hash::hex;
use trunkline::{Batch, Config, Engine, Receipt};

use crate::error::LadderError;
use crate::figures::{Figures, Latencies};
use crate::job::EngineJob;
use crate::process;
use crate::workload::{self, Fresh, Updates, Write};

const PRELOAD_BATCH: u64 = 50_000;
const PRELOAD_IN_FLIGHT: usize = 8;

/// Carries out a job in its own directory, which is removed afterwards.
pub(crate) fn run(job: &EngineJob) -> Result<Figures, LadderError> {
    let directory = tempfile::Builder::new()
        .prefix("ladder-")
        .tempdir_in(&job.directory)
        .map_err(LadderError::file(&job.directory))?;
    let config = config(job, directory.path())?;
    let started_at = Instant::now();
    let engine = Engine::open_blocking(config).map_err(LadderError::at("open"))?;
    let mut figures = Figures {
        open_ms: started_at.elapsed().as_secs_f64() * 1e3,
        ..Figures::default()
    };
    let written = if job.operations > 0 {
        preload(job, &engine)?;
        process::wait_until_idle();
        process::warm_memory().map_err(LadderError::at("touch memory"))?;
        let written_before = process::written_bytes();
        update(job, &engine, &mut figures)?;
        process::wait_until_idle();
        read(job, &engine, &mut figures)?;
        written_before
    } else {
        0
    };
    figures.root = roots(&engine);
    engine
        .shutdown_blocking()
        .map_err(LadderError::at("shut down"))?;
    let written = process::written_bytes() - written;
    figures.written_bytes_per_update = written as f64 / job.operations.max(1) as f64;
    directory
        .close()
        .map_err(LadderError::file(&job.directory))?;
    Ok(figures)
}

/// Returns the state digest and the KZG root, so that a change to either half of the engine would show.
fn roots(engine: &Engine) -> String {
    let snapshot = engine.snapshot();
    let state_digest = snapshot.root().state_digest;
    format!("{} {}", hex(&state_digest), hex(&snapshot.kzg_root()))
}

fn config(job: &EngineJob, directory: &Path) -> Result<Config, LadderError> {
    let mut layers = Config::layers();
    for setting in &job.settings {
        layers = layers.set(setting).map_err(LadderError::at("configure"))?;
    }
    let mut config = layers.build().map_err(LadderError::at("configure"))?;
    config.engine.directory = directory.join("state");
    Ok(config)
}

fn preload(job: &EngineJob, engine: &Engine) -> Result<(), LadderError> {
    let mut flight = Flight::new(PRELOAD_IN_FLIGHT)?;
    let mut batch = Vec::new();
    let mut from = 0;
    while from < job.keys {
        let to = job.keys.min(from + PRELOAD_BATCH);
        workload::fill_preload(&mut batch, from, to);
        flight.submit(engine, &batch)?;
        from = to;
    }
    flight.land(0)
}

fn update(job: &EngineJob, engine: &Engine, figures: &mut Figures) -> Result<(), LadderError> {
    let mut updates = Updates::after_preload(job.keys, Fresh::Half);
    let mut flight = Flight::new(job.in_flight)?;
    let mut batch = Vec::with_capacity(job.batch as usize);
    let cpu_before = process::cpu_seconds();
    let started_at = Instant::now();
    for operations in job.batches() {
        updates.fill(&mut batch, operations);
        flight.submit(engine, &batch)?;
    }
    flight.land(0)?;
    let seconds = started_at.elapsed().as_secs_f64();
    let cpu_seconds = process::cpu_seconds() - cpu_before;
    figures.updates_per_second = job.operations as f64 / seconds;
    figures.cpu_us_per_update = cpu_seconds * 1e6 / job.operations as f64;
    figures.durable_p50_ms = flight.durable.at_ms(0.5);
    figures.durable_p99_ms = flight.durable.at_ms(0.99);
    figures.resident_bytes = process::resident_bytes();
    Ok(())
}

/// The batches in flight, oldest first.
struct Flight {
    in_flight: VecDeque<(Instant, Receipt)>,
    in_flight_max: usize,
    durable: Latencies,
}

impl Flight {
    fn new(in_flight_max: usize) -> Result<Self, LadderError> {
        Ok(Self {
            in_flight: VecDeque::new(),
            in_flight_max: in_flight_max.max(1),
            durable: Latencies::new().map_err(LadderError::at("make a histogram"))?,
        })
    }

    fn submit(&mut self, engine: &Engine, writes: &[Write]) -> Result<(), LadderError> {
        let submitted_at = Instant::now();
        let mut batch = Batch::with_capacity(writes.len(), writes.len() * 64);
        for write in writes {
            batch.put(write.key, write.value);
        }
        let receipt = engine
            .submit_blocking(batch)
            .map_err(LadderError::at("submit"))?;
        self.in_flight.push_back((submitted_at, receipt));
        self.land(self.in_flight_max - 1)
    }

    /// Waits for the oldest batches until at most `left` are in flight.
    fn land(&mut self, left: usize) -> Result<(), LadderError> {
        while self.in_flight.len() > left {
            let Some((submitted_at, receipt)) = self.in_flight.pop_front() else {
                break;
            };
            let durable = receipt
                .durable_blocking()
                .map_err(LadderError::at("commit"))?;
            if !durable.outcome.is_applied() {
                return Err(LadderError::at("commit")("a batch was refused"));
            }
            self.durable.record(submitted_at.elapsed());
        }
        Ok(())
    }
}

fn read(job: &EngineJob, engine: &Engine, figures: &mut Figures) -> Result<(), LadderError> {
    let expected = workload::sample(job.keys, Fresh::Half, job.batches(), job.reads);
    read_present(engine, &expected)?; // brings values into caches
    let seconds = read_present(engine, &expected)?.as_secs_f64();
    figures.reads_present_per_second = job.reads as f64 / seconds;
    let keys: Vec<_> = (0..job.reads as u64).map(workload::absent_key).collect();
    let started_at = Instant::now();
    for key in &keys {
        let found = engine.get(key).map_err(LadderError::at("get"))?;
        if found.is_some() {
            return Err(LadderError::WrongRead { read: "absent" });
        }
    }
    figures.reads_absent_per_second = job.reads as f64 / started_at.elapsed().as_secs_f64();
    Ok(())
}

fn read_present(engine: &Engine, expected: &[Write]) -> Result<Duration, LadderError> {
    let started_at = Instant::now();
    for write in expected {
        let found = engine.get(&write.key).map_err(LadderError::at("get"))?;
        if found.as_deref() != Some(&write.value[..]) {
            return Err(LadderError::WrongRead { read: "present" });
        }
    }
    Ok(started_at.elapsed())
}
