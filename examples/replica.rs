//! Follows a primary with a replica, in one process: the frames go by a channel where a service has a network.
//!
//! ```sh
//! cargo run --example replica
//! ```
//!
//! 1. The primary signs what its feed gives.
//! 2. The replica checks and applies it, and answers reads and proofs at its version.
//! 3. The primary ends, and the replica takes its place.

use std::error::Error;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use trunkline::core::frame::{Compression, Frame, SecretKey};
use trunkline::{Config, Engine, FeedError, TopKind};

/// The most frames on their way. The rest waits in the log of the primary.
const FRAMES_WAITING_MAX: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let config = |name: &str| Config::in_directory(directory.path().join(name));
    // In production: random bytes, from a file that only the primary can read. Replicas get the public key.
    let key = SecretKey::generate([7; 32]);

    let primary = Engine::open_blocking(config("primary"))?;
    // The log keeps the frames that the follower does not have yet, also across restarts.
    primary.set_cursor("replica", 0)?;
    let replica = Engine::builder(config("replica"))
        .params(&primary.params())
        .open_replica_blocking(vec![key.public()])?;

    let (frames, received) = sync_channel(FRAMES_WAITING_MAX);
    let publisher = std::thread::spawn({
        let (feed, key) = (primary.feed(1), key.clone());
        move || publish(feed, &key, &frames)
    });
    for number in 0..100 {
        primary.put_blocking(format!("account {number}"), "10")?;
    }
    primary.drain_blocking()?;
    let newest = primary.synced_version();

    while replica.last_taken().version < newest {
        let bytes: Vec<u8> = received.recv()?;
        replica.apply_blocking(Frame::decode(&bytes.into())?)?;
    }
    // "Read at version `newest` or later", with a limit.
    replica.wait_for_blocking(newest, Duration::from_secs(60))?;
    primary.set_cursor("replica", newest)?;
    assert_eq!(replica.get(b"account 7")?.as_deref(), Some(&b"10"[..]));
    let snapshot = replica.snapshot();
    assert_eq!(snapshot.root(), primary.snapshot().root());
    let proof = snapshot.prove(["account 7", "nobody"], TopKind::Kzg)?;
    println!(
        "version {newest} is proven by the replica in {} bytes",
        proof.encode()?.len()
    );
    drop(snapshot);

    primary.shutdown_blocking()?;
    publisher.join().map_err(|_| "the publisher panicked")??;
    // The last epoch of the old primary is in the replica's records; the new one is above it.
    let promoted = replica.promote_blocking(0)?;
    let durable = promoted
        .put_blocking("account 7", "20")?
        .durable_blocking()?;
    println!("the new primary goes on with version {}", durable.version);
    promoted.shutdown_blocking()?;
    Ok(())
}

/// Signs and sends what a feed gives, until the engine ends or nobody receives it any more.
fn publish(
    feed: trunkline::Feed,
    key: &SecretKey,
    frames: &SyncSender<Vec<u8>>,
) -> Result<(), FeedError> {
    for entry in feed {
        let frame = Frame::sign(entry?, key).encode(Compression::Lz4);
        // A version that the log could hold fits a frame.
        if frame.is_ok_and(|frame| frames.send(frame).is_err()) {
            break;
        }
    }
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
