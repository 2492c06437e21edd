//! A carrier in memory that fails on request, and a stream for tests that drive the protocol themselves.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::carrier::{Append, Carried, Carrier, CarrierError, Ends};

/// A stream in memory. It compares before it appends; the test controls everything else.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    messages: Vec<Bytes>,
    /// Messages that were removed at the front.
    trimmed: usize,
}

impl Stream {
    /// Returns the ends.
    pub fn ends(&self) -> Ends {
        Ends {
            first: self.trimmed as u64 + 1,
            last: self.messages.len() as u64,
        }
    }

    /// Appends a message, if the expected one is last.
    pub fn append(&mut self, bytes: Bytes, expected_last: u64) -> Append {
        if expected_last != self.messages.len() as u64 {
            return Append::Refused;
        }
        self.messages.push(bytes);
        Append::Appended(self.messages.len() as u64)
    }

    /// Appends a message without comparing, which no honest writer does.
    pub fn force(&mut self, bytes: Bytes) {
        self.messages.push(bytes);
    }

    /// Returns messages from a sequence number on.
    pub fn read(&self, from: u64, count: usize) -> Vec<Carried> {
        let from = (from.max(1) - 1) as usize;
        let from = from.max(self.trimmed);
        let messages = self.messages.iter().enumerate().skip(from).take(count);
        let carried = messages.map(|(index, bytes)| Carried {
            sequence: index as u64 + 1,
            bytes: bytes.clone(),
        });
        carried.collect()
    }

    /// Removes all messages after one, which no honest carrier does.
    pub fn lose_behind(&mut self, last: u64) {
        self.messages.truncate(last as usize);
        self.trimmed = self.trimmed.min(self.messages.len());
    }

    /// Removes everything before a message.
    pub fn trim(&mut self, first: u64) {
        self.trimmed = (first.max(1) - 1).min(self.messages.len() as u64) as usize;
    }
}

/// Percentages of calls that fail in some way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Appends that never arrive.
    pub dropped: u32,
    /// Appends whose outcome is lost.
    pub unanswered: u32,
    /// Appends that arrive after the writer has stopped waiting.
    pub delayed: u32,
    /// Reads that return nothing, or fewer messages than there are.
    pub withheld: u32,
    /// Reads that return messages twice, or in another order.
    pub disordered: u32,
    /// Calls that fail.
    pub failed: u32,
}

#[derive(Debug)]
struct Inside {
    stream: Stream,
    generation: u64,
    values: BTreeMap<String, Bytes>,
    delayed: Vec<(Bytes, u64)>,
    /// Calls that fail before the next one that does not.
    failing: u32,
    faults: Faults,
    random: SmallRng,
    appended: Arc<tokio::sync::Notify>,
}

impl Inside {
    fn happens(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// Lets appends in flight arrive.
    fn arrive(&mut self) {
        if !self.delayed.is_empty() && self.happens(50) {
            let (bytes, expected_last) = self.delayed.remove(0);
            self.stream.append(bytes, expected_last);
        }
    }
}

/// A carrier over a [`Stream`]. Clones share the stream, and each can be disconnected separately.
#[derive(Clone, Debug)]
pub struct SimulatedCarrier {
    inside: Arc<Mutex<Inside>>,
    is_cut: Arc<AtomicBool>,
    generation: Arc<AtomicU64>,
    message_bytes_max: usize,
}

impl SimulatedCarrier {
    /// Returns a carrier with an empty stream.
    pub fn new(seed: u64, message_bytes_max: usize) -> Self {
        let inside = Inside {
            stream: Stream::default(),
            generation: 0,
            values: BTreeMap::new(),
            delayed: Vec::new(),
            failing: 0,
            faults: Faults::default(),
            random: SmallRng::seed_from_u64(seed),
            appended: Arc::default(),
        };
        Self {
            inside: Arc::new(Mutex::new(inside)),
            is_cut: Arc::default(),
            generation: Arc::default(),
            message_bytes_max,
        }
    }

    /// Returns another connection to the same carrier.
    pub fn connect(&self) -> Self {
        Self {
            is_cut: Arc::default(),
            generation: Arc::new(self.lock().generation.into()),
            ..self.clone()
        }
    }

    /// Sets the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Makes the next calls fail, as they do while servers choose a leader.
    pub fn fail_next(&self, calls: u32) {
        self.lock().failing = calls;
    }

    /// Disconnects this connection, or connects it again.
    pub fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, SeqCst);
    }

    /// Changes the stream directly.
    pub fn with_stream<T>(&self, change: impl FnOnce(&mut Stream) -> T) -> T {
        change(&mut self.lock().stream)
    }

    /// Forgets all values.
    pub fn lose_values(&self) {
        self.lock().values.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<MutexGuard<'_, Inside>, CarrierError> {
        if self.is_cut.load(SeqCst) {
            return Err(CarrierError("cut off".into()));
        }
        let mut inside = self.lock();
        if inside.failing > 0 {
            inside.failing -= 1;
            return Err(CarrierError("choosing a leader".into()));
        }
        inside.arrive();
        let failed = inside.faults.failed;
        match inside.happens(failed) {
            true => Err(CarrierError("failed".into())),
            false => Ok(inside),
        }
    }

    fn append_now(&self, message: Bytes, expected_last: u64) -> Append {
        let mut inside = match self.reach() {
            Ok(inside) => inside,
            Err(error) => return Append::Unknown(error.0),
        };
        if self.generation.load(SeqCst) < inside.generation {
            return Append::Unknown("connected before the stream was renewed".into());
        }
        let faults = inside.faults;
        if inside.happens(faults.dropped) {
            return Append::Unknown("dropped".into());
        }
        if inside.happens(faults.delayed) {
            inside.delayed.push((message, expected_last));
            return Append::Unknown("delayed".into());
        }
        let outcome = inside.stream.append(message, expected_last);
        inside.appended.notify_waiters();
        match inside.happens(faults.unanswered) {
            true => Append::Unknown("unanswered".into()),
            false => outcome,
        }
    }

    fn read_now(&self, from: u64, count: usize) -> Result<Vec<Carried>, CarrierError> {
        let mut inside = self.reach()?;
        let faults = inside.faults;
        let mut messages = inside.stream.read(from, count);
        if inside.happens(faults.withheld) {
            let kept = inside.random.random_range(0..=messages.len());
            messages.truncate(kept);
        }
        if inside.happens(faults.disordered) && !messages.is_empty() {
            let (one, other) = (
                inside.random.random_range(0..messages.len()),
                inside.random.random_range(0..messages.len()),
            );
            messages.push(messages[one].clone());
            messages.swap(one, other);
        }
        Ok(messages)
    }
}

impl Carrier for SimulatedCarrier {
    fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    async fn append(&self, message: Bytes, expected_last: u64) -> Append {
        tokio::task::yield_now().await;
        self.append_now(message, expected_last)
    }

    async fn ends(&self) -> Result<Ends, CarrierError> {
        tokio::task::yield_now().await;
        Ok(self.reach()?.stream.ends())
    }

    async fn read(&self, from: u64, count: usize) -> Result<Vec<Carried>, CarrierError> {
        let appended = self.lock().appended.clone();
        let next = appended.notified();
        let messages = self.read_now(from, count)?;
        if messages.is_empty() {
            // The wait is bounded: faults withhold messages even without an append to wait for.
            let _ = tokio::time::timeout(Duration::from_millis(5), next).await;
        }
        Ok(messages)
    }

    async fn renew(&self) -> Result<(), CarrierError> {
        let mut inside = self.reach()?;
        inside.generation += 1;
        inside.delayed.clear();
        self.generation.store(inside.generation, SeqCst);
        Ok(())
    }

    async fn empty(&self) -> Result<(), CarrierError> {
        let mut inside = self.reach()?;
        let last = inside.stream.ends().last;
        inside.stream.trim(last + 1);
        Ok(())
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<(), CarrierError> {
        self.reach()?.values.insert(key.into(), value);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, CarrierError> {
        Ok(self.reach()?.values.get(key).cloned())
    }
}
