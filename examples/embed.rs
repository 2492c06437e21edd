//! Embeds the engine in a service: opens it, submits a batch, reads, shuts down.
//!
//! ```sh
//! cargo run --example embed
//! ```
//!
//! This example is async. The engine needs no runtime, though: each call that waits also has a blocking form
//! (`Engine::open_blocking`, `submit_blocking`, `durable_blocking`, …), which the other examples use.

use std::error::Error;

use trunkline::{Batch, Config, Engine, Outcome, Requirement};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // A service would use a directory of its own; it is created if it does not exist.
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(Config::in_directory(directory.path())).await?;

    // A batch takes effect atomically. `submit` returns as soon as the engine has accepted it.
    let mut batch = Batch::new();
    batch.put("alice", "10").put("bob", "7");
    let receipt = engine.submit(batch).await?;

    // `get` shows accepted batches, so a caller sees its own writes at once.
    assert_eq!(engine.get(b"alice")?.as_deref(), Some(&b"10"[..]));

    // `durable` waits until the batch is on disk, as part of a version of the whole state.
    let durable = receipt.durable().await?;
    println!("version {} is durable", durable.version);

    // A requirement makes a batch a compare-and-set: alice pays bob 1, if she still has 10.
    let mut payment = Batch::new();
    payment.put("alice", "9").put("bob", "8");
    payment.require("alice", Requirement::value(b"10"));
    let paid = engine.submit(payment.clone()).await?.durable().await?;
    assert!(paid.outcome.is_applied());

    // The same batch again is refused and changes nothing, since she has 9 now.
    let again = engine.submit(payment).await?.durable().await?;
    let Outcome::Refused(refusal) = again.outcome else {
        return Err("alice paid twice".into());
    };
    println!("the second payment was refused: {refusal}");

    // A snapshot shows one version as a whole, even while others are committed.
    let snapshot = engine.snapshot();
    for entry in snapshot.iter() {
        let (key, value) = entry?;
        println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    }
    drop(snapshot);

    // Makes all accepted batches durable, and closes the directory.
    engine.shutdown().await?;
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
