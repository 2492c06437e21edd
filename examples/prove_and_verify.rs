//! Proves keys to somebody who knows only the root, and shows that a false claim is refused.
//!
//! ```sh
//! cargo run --example prove_and_verify
//! ```

use std::error::Error;

use trunkline::core::proof::{Claim, Expected, Proof, verify};
use trunkline::core::record::Root;
use trunkline::{Batch, Config, Engine, TopKind};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open_blocking(Config::in_directory(directory.path()))?;
    let mut batch = Batch::new();
    batch.put("alice", "10").put("bob", "7");
    engine.submit_blocking(batch)?.durable_blocking()?;

    // The service publishes the root of a version, and sends proofs as bytes. One proof can be about many keys, whether
    // they have a value or not. `TopKind::Kzg` needs the 48-byte KZG root only; `TopKind::Hash` is faster.
    let snapshot = engine.snapshot();
    let root = snapshot.root();
    let bytes = snapshot.prove(["alice", "carol"], TopKind::Kzg)?.encode()?;
    println!("the proof has {} bytes", bytes.len());

    client(&bytes, root)?;
    deceived_client(&bytes, root)?;

    drop(snapshot);
    engine.shutdown_blocking()?;
    Ok(())
}

/// A client that trusts the root. It needs no engine: `trunkline-core` without default features is enough.
fn client(bytes: &[u8], root: Root) -> Result<(), Box<dyn Error>> {
    let proof = Proof::decode(bytes)?;
    let verified = verify(&proof, &Expected::Root(root))?;
    assert_eq!(
        verified.claim(b"alice"),
        Some(&Claim::Present(b"10".to_vec()))
    );
    // Proven: carol has no value.
    assert_eq!(verified.claim(b"carol"), Some(&Claim::Absent));
    // Not proven, since the proof is not about bob.
    assert_eq!(verified.claim(b"bob"), None);
    Ok(())
}

/// A client that gets a proof in which somebody changed the value of alice.
fn deceived_client(bytes: &[u8], root: Root) -> Result<(), Box<dyn Error>> {
    let mut proof = Proof::decode(bytes)?;
    let entries = &mut proof.versions[0].entries;
    let alice = entries.iter_mut().find(|entry| entry.key == b"alice");
    alice.ok_or("no entry for alice")?.claim = Claim::Present(b"1000".to_vec());
    let error = verify(&proof, &Expected::Root(root)).err();
    println!("refused: {}", error.ok_or("the false proof was accepted")?);
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
