//! Reads older versions, walks over a version, and proves how versions follow each other.
//!
//! ```sh
//! cargo run --example snapshots_and_history
//! ```

use std::error::Error;

use trunkline::{Config, Engine, SnapshotError};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut config = Config::in_directory(directory.path());
    // The number of versions that can be read. A snapshot keeps its version for longer.
    config.versions.retain_versions = 4;
    let engine = Engine::open_blocking(config)?;

    // Each `durable_blocking` ends a version here. Under load a version contains many submissions.
    let first = engine.put_blocking("balance", "0")?.durable_blocking()?;
    let held = engine.snapshot_at(first.version)?;
    for balance in 1..=20 {
        let receipt = engine.put_blocking("balance", balance.to_string())?;
        receipt.durable_blocking()?;
    }

    // The snapshot still shows the state of its version.
    assert_eq!(held.get(b"balance")?.as_deref(), Some(&b"0"[..]));
    assert_eq!(engine.get(b"balance")?.as_deref(), Some(&b"20"[..]));

    // A walk goes over all keys of a version, in the order of the key hashes.
    for entry in held.iter() {
        let (key, value) = entry?;
        let (key, value) = (key.escape_ascii(), value.escape_ascii());
        println!("version {}: {key} = {value}", held.version());
    }

    // Commit ids form a history. A version proves the commit id of any older one, even of one that is no longer kept.
    let head = engine.snapshot();
    let proof = head.prove_ancestor(first.version)?;
    let ancestor = proof.verify(&head.commit_id())?; // a client needs the trusted commit id only
    assert_eq!(ancestor.commit_id, first.commit_id);
    println!(
        "version {} is an ancestor of version {}",
        first.version,
        head.version()
    );

    // A client that kept the commit record of an older version can check that the history was continued, not replaced.
    let kept = held.record().clone();
    let proof = head.prove_consistency(kept.version)?;
    proof
        .with_older(kept)?
        .verify(&held.commit_id(), &head.commit_id())?;

    // Once no snapshot holds them, old versions expire. The error says which one is the oldest.
    drop((held, head));
    engine.put_blocking("balance", "21")?.durable_blocking()?;
    let expired = engine.snapshot_at(first.version).map(drop);
    assert!(matches!(expired, Err(SnapshotError::Expired { .. })));

    engine.shutdown_blocking()?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
