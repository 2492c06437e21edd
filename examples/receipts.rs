//! Follows a submission through the four states of its receipt, in each durability mode.
//!
//! ```sh
//! cargo run --example receipts
//! ```
//!
//! | mode | a version counts as durable when | a crash of the process | a power loss |
//! | --- | --- | --- | --- |
//! | `sync` (default) | the disk has confirmed it | loses nothing | loses nothing |
//! | `interval` | the operating system has it; a sync follows within `interval_ms` | loses nothing | may lose the last interval |
//! | `os` | the operating system has it | loses nothing | may lose what the system has not written yet |

use std::error::Error;

use trunkline::config::DurabilityMode;
use trunkline::{Config, Engine};

fn main() -> Result<(), Box<dyn Error>> {
    for mode in [
        DurabilityMode::Sync,
        DurabilityMode::Interval,
        DurabilityMode::Os,
    ] {
        let directory = tempfile::tempdir()?;
        let mut config = Config::in_directory(directory.path());
        config.durability.mode = mode;
        follow_a_submission(&Engine::open_blocking(config)?)?;
    }
    Ok(())
}

fn follow_a_submission(engine: &Engine) -> Result<(), Box<dyn Error>> {
    // 1. Accepted: the place in the order of submissions is fixed. The provisional root commits to this submission and
    //    all before it, and can be given to the client at once. A crash may still lose the submission.
    let receipt = engine.put_blocking("alice", "10")?;
    println!("accepted as number {}", receipt.sequence());

    // 2. Hashed: the submission is part of a version, and its outcome is known.
    let hashed = receipt.hashed_blocking()?;
    println!("hashed: version {}", hashed.version);

    // 3. Root ready: the KZG root of the version is computed. States 3 and 4 may come in either order.
    let ready = receipt.root_ready_blocking()?;
    println!("root ready: {}", hex::encode(ready.kzg_root));

    // 4. Durable, in the way that the mode defines. `durability` says in which.
    let durable = receipt.durable_blocking()?;
    println!("durable, mode {}", durable.durability);

    // In modes `interval` and `os`, `drain` makes sure that everything accepted so far is synced.
    engine.drain_blocking()?;

    // Evidence shows somebody who trusts the commit id that the submission has this place and outcome.
    let evidence = receipt.evidence_blocking()?;
    let shown = evidence.verify(&receipt.provisional_root(), &durable.commit_id)?;
    assert_eq!(shown.outcome, durable.outcome);

    engine.shutdown_blocking()?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
