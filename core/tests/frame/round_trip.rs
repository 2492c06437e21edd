use proptest::prelude::*;
use trunkline_core::frame::{Beginning, Compression, Frame, SecretKey};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::log::{LogEntry, LogPosition};

/// Returns bytes with repetitions.
fn long_part() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    (noise, 1..40_usize).prop_map(|(noise, times)| noise.repeat(times))
}

fn entry() -> impl Strategy<Value = LogEntry> {
    let numbers = any::<[u64; 5]>();
    let digests = any::<[[u8; 32]; 3]>();
    let metadata = prop::collection::vec(any::<u8>(), 0..=256);
    let kzg_root = prop::option::of(any::<[u8; 32]>());
    let parts = (
        numbers,
        digests,
        metadata,
        kzg_root,
        long_part(),
        long_part(),
    );
    parts.prop_map(
        |(numbers, digests, metadata, kzg_root, outcomes, effects)| {
            let [
                version,
                open_epoch,
                first_sequence,
                last_sequence,
                key_count,
            ] = numbers;
            let [tree_id, parent, state_digest] = digests;
            let record = CommitRecord {
                version,
                open_epoch,
                first_sequence,
                last_sequence,
                key_count,
                parent,
                state_digest,
                metadata,
                ..CommitRecord::genesis(tree_id)
            };
            let root = |half: [u8; 32]| std::array::from_fn(|index| half[index % 32]);
            LogEntry {
                record,
                kzg_root: kzg_root.map(root),
                outcomes: outcomes.into(),
                effects: effects.into(),
            }
        },
    )
}

fn beginning() -> impl Strategy<Value = (TreeParams, u64, LogPosition)> {
    let parts = any::<([u8; 16], Option<[u8; 32]>, u64, u64, [u8; 32])>();
    (parts, 0..3_u8).prop_map(|((nonce, salt, epoch, version, commit_id), policy)| {
        let params = TreeParams {
            nonce,
            salt: salt.map(Salt::new),
            collision: CollisionPolicy::from_byte(policy).unwrap(),
        };
        (params, epoch, LogPosition { version, commit_id })
    })
}

proptest! {
    #[test]
    fn a_frame_comes_back_as_it_was_signed(entry in entry(), seed: [u8; 32]) {
        let key = SecretKey::generate(seed);
        let frame = Frame::sign(entry, &key);
        for compression in [Compression::None, Compression::Lz4] {
            let bytes = frame.encode(compression).unwrap();
            let received = Frame::decode(&bytes.into()).unwrap();
            prop_assert_eq!(&received, &frame);
            prop_assert_eq!(received.verify(&[key.public()]), Ok(key.public()));
        }
    }

    #[test]
    fn a_frame_with_any_byte_changed_is_refused_or_has_the_same_content(
        entry in entry(),
        compression in prop::sample::select(vec![Compression::None, Compression::Lz4]),
        place: prop::sample::Index,
        bits in 1..=255_u8,
    ) {
        let key = SecretKey::generate([7; 32]);
        let frame = Frame::sign(entry, &key);
        let mut bytes = frame.encode(compression).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= bits;
        if let Ok(received) = Frame::decode(&bytes.into())
            && received.verify(&[key.public()]).is_ok()
        {
            prop_assert_eq!(compression, Compression::Lz4);
            prop_assert_eq!(received, frame);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(read) = Beginning::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes.clone());
        }
        let _ = Frame::decode(&bytes.into());
    }

    #[test]
    fn a_beginning_comes_back_as_it_was_signed((params, epoch, at) in beginning(), seed: [u8; 32]) {
        let key = SecretKey::generate(seed);
        let beginning = Beginning::sign(params, epoch, at, &key);
        let received = Beginning::decode(&beginning.encode()).unwrap();
        prop_assert_eq!(received, beginning);
        prop_assert_eq!(received.verify(&[key.public()]), Ok(key.public()));
    }
}
