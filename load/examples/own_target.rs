//! Drives a target of your own. This one does nothing, so the figures show what the generator itself costs.
//!
//! ```sh
//! cargo run --release -p trunkline-load --example own_target -- 1000000 write
//! ```

use bytes::Bytes;
use trunkline_load::{Load, Pending, Plan, Target, TargetError, Workload, WriteBatch, Written};

/// A target that makes keys and values, as every target must, and discards them.
struct Nothing;

impl Target for Nothing {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let mut bytes = 0;
        batch.for_each(|write| bytes += write.key.len() + write.value.map_or(0, <[u8]>::len));
        std::hint::black_box(bytes);
        Ok(Box::new(|| Ok(Written::Applied)))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        std::hint::black_box(key);
        Ok(Some(Bytes::new()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let rate = arguments.next().unwrap_or("100000".to_owned()).parse()?;
    let workload = match arguments.next().as_deref() {
        Some("read") => Workload::C,
        Some("mixed") => Workload::A,
        _ => Workload::Write,
    };
    let plan = Plan {
        rate: Some(rate),
        workload,
        duration_s: Some(5.0),
        ..Plan::default()
    };
    let outcome = Load::new(&plan, &Nothing)?.run()?;
    let totals = &outcome.run.totals;
    println!(
        "offered {}, achieved {}, dropped {}; the generator took {} ns of processor time an operation, and was late by \
         {:.0} µs (p50), {:.0} µs (p99)",
        totals.offered,
        totals.achieved,
        totals.dropped,
        totals.cpu.generator_us * 1000 / totals.offered.max(1),
        totals.generator_late.p50_us,
        totals.generator_late.p99_us,
    );
    for (kind, total) in &totals.operations {
        let (latency, service) = (&total.latency, &total.service);
        println!(
            "{}: latency {:.0} µs (p50), {:.0} µs (p99); service {:.1} µs, {:.1} µs",
            kind.name(),
            latency.p50_us,
            latency.p99_us,
            service.p50_us,
            service.p99_us,
        );
    }
    Ok(())
}
