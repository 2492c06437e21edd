//! Compares log records that are compressed before they are appended and synced with plain ones: append and `fdatasync`
//! on a file like that of the log, so that fewer bytes may repay the work.
//!
//! The values are JSON of about 100 bytes, which compresses well. The remark has the figures for 32 random bytes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use trunkline::Batch;
use trunkline::core::batch::BatchLimits;
use trunkline::core::params::TreeParams;

use super::Scope;
use super::data::{self, Batches};
use super::turns::in_turns;
use crate::error::LadderError;
use crate::figures::Comparison;
use crate::workload;

const TURNS: usize = 15;
const ZSTD_LEVEL: i32 = 1;

type Compress = fn(&[u8]) -> Result<Vec<u8>, LadderError>;

pub(crate) fn lz4(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    compare(scope, |bytes| Ok(lz4_flex::compress(bytes)))
}

pub(crate) fn zstd(scope: &Scope<'_>) -> Result<Comparison, LadderError> {
    compare(scope, |bytes| {
        zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(LadderError::at("compress"))
    })
}

fn compare(scope: &Scope<'_>, compress: Compress) -> Result<Comparison, LadderError> {
    let record = json_record()?;
    let random = data::encoded(&data::prepared(Batches::after(scope.keys).next())?)?;
    let mut plain_log = Log::create(scope, "plain")?;
    let mut compressed_log = Log::create(scope, "compressed")?;
    let mut comparison = in_turns(
        TURNS,
        ("a put", data::BATCH),
        |_| {
            let started_at = Instant::now();
            compressed_log.append(&compress(&record)?)?;
            Ok(started_at.elapsed())
        },
        |_| {
            let started_at = Instant::now();
            plain_log.append(&record)?;
            Ok(started_at.elapsed())
        },
    )?;
    let (share, each) = worth(&record, compress)?;
    let (random_share, random_each) = worth(&random, compress)?;
    comparison.remark = format!(
        "to {share:.0} % for {each:.0} ns a put; random values: to {random_share:.0} % for {random_each:.0} ns"
    );
    Ok(comparison)
}

/// Returns the share of the bytes that is left, in percent, and the compression time per put, in nanoseconds.
fn worth(record: &[u8], compress: Compress) -> Result<(f64, f64), LadderError> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for _ in 0..TURNS {
        let started_at = Instant::now();
        bytes = compress(record)?.len();
        taken.push(started_at.elapsed());
    }
    taken.sort_unstable();
    let median: Duration = taken[TURNS / 2];
    Ok((
        bytes as f64 * 100.0 / record.len() as f64,
        median.as_secs_f64() * 1e9 / data::BATCH as f64,
    ))
}

/// Returns a record with the effects of puts of small JSON values.
fn json_record() -> Result<Vec<u8>, LadderError> {
    let mut batch = Batch::new();
    let mut text = String::new();
    for index in 0..data::BATCH {
        let seed = workload::value(index);
        text.clear();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{{\"account\":\"customer-{:05}\",\"balance\":{},\"currency\":\"EUR\",\"updated\":\"2026-11-{:02}T{:02}:{:02}:00Z\"}}",
            u16::from_be_bytes([seed[0], seed[1]]),
            u32::from_be_bytes([0, seed[2], seed[3], seed[4]]),
            seed[5] % 30 + 1,
            seed[6] % 24,
            seed[7] % 60,
        );
        batch.put(workload::key(index), &text);
    }
    let prepared = batch.prepare(&TreeParams::default(), &BatchLimits::default(), None);
    data::encoded(&prepared.map_err(LadderError::at("prepare"))?)
}

struct Log(File);

impl Log {
    fn create(scope: &Scope<'_>, name: &str) -> Result<Self, LadderError> {
        let path = scope.directory.join(name);
        File::create(&path)
            .map(Self)
            .map_err(LadderError::file(&path))
    }

    fn append(&mut self, record: &[u8]) -> Result<(), LadderError> {
        self.0
            .write_all(record)
            .map_err(LadderError::at("append"))?;
        self.0.sync_data().map_err(LadderError::at("sync"))
    }
}
