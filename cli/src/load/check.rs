//! Proves a sample of keys and checks the proofs as another party would: from bytes, against a root.
//!
//! The expected values come from the load's own records, so a valid proof of a wrong state fails too.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};
use trunkline::TopKind;
use trunkline::core::proof::{Claim, Expected, Proof, opened_slots, verify};
use trunkline::core::record::Root;
use trunkline_load::{Outcome, Records};

use super::subject::State;
use crate::error::CommandError;
use crate::output::{byte_size, counted, duration, grouped};

/// Keys of one proof. Several keys share siblings.
const PROOF_KEYS: usize = 100;

/// Results of checks, each with a text.
#[derive(Debug, Default, serde::Serialize)]
#[serde(transparent)]
pub(super) struct Checks {
    lines: Vec<Check>,
}

#[derive(Debug, serde::Serialize)]
struct Check {
    holds: bool,
    what: String,
}

impl Checks {
    pub(super) fn all_hold(&self) -> bool {
        self.lines.iter().all(|check| check.holds)
    }

    /// Returns the checks that failed.
    pub(super) fn failures(&self) -> Vec<String> {
        let failed = self.lines.iter().filter(|check| !check.holds);
        failed.map(|check| check.what.clone()).collect()
    }

    fn add(&mut self, holds: bool, what: String) {
        self.lines.push(Check { holds, what });
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checks")?;
        for Check { holds, what } in &self.lines {
            let mark = if *holds { "ok    " } else { "FAILED" };
            writeln!(f, "  {mark}  {what}")?;
        }
        Ok(())
    }
}

/// A key and its expected value.
type Expectation = (Bytes, Option<Bytes>);

/// Checks the outcome of a load, and proofs of a sample of keys against the root of a state.
pub(super) fn check(
    outcome: &Outcome,
    proofs: usize,
    state: &State<'_>,
) -> Result<Checks, CommandError> {
    let mut checks = Checks::default();
    check_operations(outcome, &mut checks);
    let (sample, left_out) = sample(outcome.run.seed, proofs, &outcome.records);
    if left_out > 0 {
        let keys = counted(left_out, "key");
        checks.add(
            true,
            format!("{keys} of the sample left out: a write was refused, failed or took effect out of order, so nothing is certain of them"),
        );
    }
    let Some(part) = sample.chunks(PROOF_KEYS).next() else {
        return Ok(checks);
    };
    let root = state.root();
    let hash = Proven::of(state, &root, TopKind::Hash, &sample)?;
    hash.report("up to the state digest (hash top)", &mut checks);
    let kzg = Proven::of(state, &root, TopKind::Kzg, part)?;
    kzg.report("of them again up to the KZG root", &mut checks);
    check_forgery(state, &root, part, &mut checks)?;
    Ok(checks)
}

fn check_operations(outcome: &Outcome, checks: &mut Checks) {
    let tally = &outcome.tally;
    let (batches, reads) = (grouped(tally.batches), grouped(tally.keys_read));
    match &tally.first_refusal {
        None => checks.add(
            true,
            format!("{batches} batches were applied, none refused"),
        ),
        Some(refusal) => {
            let refused = grouped(tally.refused);
            let mut what =
                format!("{refused} of {batches} batches were refused, the first because {refusal}");
            if tally.refused_in_consequence > 0 {
                what += &format!(
                    "; {} of them required what an earlier batch was to write that was refused or failed",
                    grouped(tally.refused_in_consequence)
                );
            }
            checks.add(false, what);
        }
    }
    if let Some(failure) = &tally.first_failure {
        let failed = grouped(tally.failed_writes + tally.failed_reads);
        checks.add(
            false,
            format!("{failed} operations failed, the first with: {failure}"),
        );
    }
    match (tally.keys_read, tally.missing) {
        (0, _) => {}
        (_, 0) => checks.add(
            true,
            format!("{reads} keys were read, none that must be there was missing"),
        ),
        (_, missing) => {
            let missing = grouped(missing);
            checks.add(
                false,
                format!("{missing} of {reads} keys that were read were missing"),
            );
        }
    }
}

/// Returns random keys: half of them written, half of them absent. Leaves out and counts keys that may hold another value
/// because a write was refused or failed.
fn sample(seed: u64, proofs: usize, records: &Records) -> (Vec<Expectation>, u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let written = usize::try_from(records.len()).unwrap_or(usize::MAX);
    let present = (proofs / 2).min(written);
    let mut sample: Vec<Expectation> = index::sample(&mut random, written, present)
        .into_iter()
        .map(|index| index as u64)
        .filter(|index| records.is_certain(*index))
        .map(|index| {
            (
                key(records.key(index)),
                records.value(index).map(Bytes::from),
            )
        })
        .collect();
    let left_out = (present - sample.len()) as u64;
    for _ in present..proofs {
        let index = random.random_range(0..1_000_000_000_000);
        sample.push((key(records.absent_key(index)), None));
    }
    sample.shuffle(&mut random);
    (sample, left_out)
}

fn key(bytes: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}

/// Proofs of a sample, and their results.
#[derive(Debug, Default)]
struct Proven {
    present: u64,
    absent: u64,
    proofs: u64,
    slots_opened: usize,
    bytes: usize,
    making: Duration,
    verifying: Duration,
    problem: Option<String>,
}

impl Proven {
    fn of(
        state: &State<'_>,
        root: &Root,
        top: TopKind,
        sample: &[Expectation],
    ) -> Result<Self, CommandError> {
        let mut proven = Self::default();
        for part in sample.chunks(PROOF_KEYS) {
            let started = Instant::now();
            let keys = part.iter().map(|(key, _)| key);
            let bytes = state.prove(keys, top)?;
            proven.making += started.elapsed();
            proven.add(&bytes, root, part);
        }
        Ok(proven)
    }

    fn add(&mut self, bytes: &[u8], root: &Root, part: &[Expectation]) {
        let started = Instant::now();
        let checked = check_bytes(bytes, root, part);
        self.verifying += started.elapsed();

        let present = part.iter().filter(|(_, value)| value.is_some()).count();
        self.present += present as u64;
        self.absent += (part.len() - present) as u64;
        self.proofs += 1;
        self.bytes += bytes.len();
        match checked {
            Ok(slots) => self.slots_opened += slots,
            Err(problem) => {
                self.problem.get_or_insert(problem);
            }
        }
    }

    fn report(self, what: &str, checks: &mut Checks) {
        let keys = grouped(self.present + self.absent);
        let counts = format!(
            "{keys} keys ({} present, {} absent) {what}",
            self.present, self.absent
        );
        let Some(problem) = self.problem else {
            let openings = match self.slots_opened {
                0 => String::new(),
                slots => format!(" that open {slots} slots"),
            };
            let line = format!(
                "{counts}, in {} of {}{openings}: made in {}, verified in {}",
                counted(self.proofs, "proof"),
                byte_size(self.bytes as u64),
                duration(self.making),
                duration(self.verifying),
            );
            return checks.add(true, line);
        };
        checks.add(false, format!("{counts}: {problem}"));
    }
}

/// Checks a proof against a root, and its claims against the expected values. Returns the number of opened slots.
fn check_bytes(bytes: &[u8], root: &Root, part: &[Expectation]) -> Result<usize, String> {
    let proof = Proof::decode(bytes).map_err(|error| error.to_string())?;
    let verified = verify(&proof, &Expected::Root(*root)).map_err(|error| error.to_string())?;
    for (key, value) in part {
        let expected = match value {
            None => Claim::Absent,
            Some(value) => Claim::Present(value.to_vec()),
        };
        if verified.claim(key) != Some(&expected) {
            let key = String::from_utf8_lossy(key);
            return Err(format!(
                "the proof shows another value of {key} than was written"
            ));
        }
    }
    let opened = opened_slots(&proof).map_err(|error| error.to_string())?;
    Ok(opened.iter().map(|opened| opened.slots.len()).sum())
}

/// Checks that proofs with changed values are refused.
fn check_forgery(
    state: &State<'_>,
    root: &Root,
    part: &[Expectation],
    checks: &mut Checks,
) -> Result<(), CommandError> {
    for (top, name) in [(TopKind::Hash, "hash"), (TopKind::Kzg, "KZG")] {
        let bytes = state.prove(part.iter().map(|(key, _)| key), top)?;
        let Ok(mut proof) = Proof::decode(&bytes) else {
            checks.add(false, format!("a proof with a {name} top can be decoded"));
            continue;
        };
        let entries = &mut proof.versions[0].entries;
        for entry in entries.iter_mut() {
            if let Claim::Present(value) = &mut entry.claim {
                value.push(0);
            }
        }
        let has_lie = entries.iter().any(|entry| entry.claim != Claim::Absent);
        let is_refused = verify(&proof, &Expected::Root(*root)).is_err();
        let line = format!("a proof with changed values and a {name} top is refused");
        checks.add(is_refused || !has_lie, line);
    }
    Ok(())
}
