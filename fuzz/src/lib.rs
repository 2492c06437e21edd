//! The checks of each fuzz target. `fuzz_targets/` only passes the bytes.
//!
//! No input panics; decoded data encodes to the same bytes; and a changed proof that still verifies against a true root
//! claims only what is true. `trunkline_testkit::proven` makes the proofs.

mod log;
mod mutation;
mod proof;
pub mod seeds;
mod stream;

pub use log::log_frame;
pub use proof::{decode_proof, verify_mutated};
pub use stream::read_stream;

use trunkline_actors::config::Layers;
use trunkline_core::audit::{self, AuditProof};
use trunkline_core::evidence::Evidence;
use trunkline_core::frame::{Beginning, Compression, Frame, SecretKey};
use trunkline_core::hash::FRAME;
use trunkline_core::history::{AncestorProof, ConsistencyProof};
use trunkline_core::kzg::{decode_g1, encode_g1};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::proof::Expected;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::archive::SegmentName;
use trunkline_core::store::archive::manifest::BaseManifest;
use trunkline_core::store::archive::part::{
    LeavesWriter, Place, decode_commit_ids, decode_keyed, decode_leaves, encode_commit_ids,
    encode_keyed,
};
use trunkline_core::store::archive::segment::{Segment, SegmentWriter};
use trunkline_core::store::effect::{decode_effects as read_effects, encode_effects};
use trunkline_core::store::idempotency_file::Remembered;
use trunkline_core::store::key_order_file as key_order;
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::pages_file as pages;
use trunkline_core::store::past::{
    PastKey, decode_digest, decode_leaf, decode_version, deleted_key, digest_key, encode_digest,
    encode_leaf, encode_version, value_key, version_key,
};
use trunkline_core::store::tree_file as tree;
use trunkline_core::tree::ColdTree;
use trunkline_testkit::counting::{Counting, peak_of};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Reads a commit record.
pub fn decode_record(bytes: &[u8]) {
    if let Ok(record) = CommitRecord::decode(bytes) {
        assert_eq!(record.encode(), bytes);
        let _ = record.commit_id();
    }
}

/// Reads a proof over the history, or evidence about a submission: whichever decodes the bytes.
pub fn decode_history(bytes: &[u8]) {
    let trusted = [0x11; 32];
    if let Ok(proof) = AncestorProof::decode(bytes) {
        assert_eq!(proof.encode().as_deref(), Ok(bytes));
        let _ = proof.verify(&trusted);
        let _ = proof.verify(&proof.head.commit_id());
    }
    if let Ok(proof) = ConsistencyProof::decode(bytes) {
        assert_eq!(proof.encode().as_deref(), Ok(bytes));
        let _ = proof.verify(&trusted, &trusted);
        let _ = proof.verify(&trusted, &proof.head.commit_id());
    }
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(evidence.encode().as_deref(), Ok(bytes));
        let _ = evidence.verify(&trusted, &trusted);
        let _ = evidence.verify(&trusted, &evidence.record.commit_id());
    }
}

/// Reads an audit proof.
pub fn decode_audit(bytes: &[u8]) {
    if let Ok(proof) = AuditProof::decode(bytes) {
        assert_eq!(proof.encode().as_deref(), Ok(bytes));
        let _ = audit::verify(&proof, &Expected::Carried);
    }
}

/// Reads the outcomes of a version.
pub fn decode_outcomes(bytes: &[u8]) {
    use trunkline_core::outcome;
    if let Some((outcomes, digest)) = outcome::decode_outcomes(bytes) {
        assert_eq!(
            outcome::encode_outcomes(&outcomes),
            (bytes.to_vec(), digest)
        );
    }
}

/// Reads the effects of a version, with or without a salt.
pub fn decode_effects(bytes: &[u8]) {
    for salt in [None, Some(Salt::new([7; 32]))] {
        let params = TreeParams {
            salt,
            ..TreeParams::default()
        };
        let (read, peak) = peak_of(|| read_effects(&params, bytes));
        assert!(peak <= 64 * bytes.len() + 4096, "{peak} bytes of memory");
        if let Ok(effects) = read {
            let mut again = Vec::new();
            encode_effects(effects.into_iter(), &mut again).expect("they were read");
            assert_eq!(again, bytes);
        }
    }
}

/// Reads a frame or a beginning: whichever decodes the bytes. A block of LZ4 may expand to 255 times its size.
pub fn decode_frame(bytes: &[u8]) {
    let keys = [SecretKey::generate([1; 32]).public()];
    let (read, peak) = peak_of(|| Frame::decode(&bytes.to_vec().into()));
    assert!(peak <= 256 * bytes.len() + 4096, "{peak} bytes of memory");
    if let Ok(frame) = read {
        for compression in [Compression::None, Compression::Lz4] {
            let again = frame.encode(compression).expect("it was read");
            assert_eq!(Frame::decode(&again.into()).as_ref(), Ok(&frame));
        }
        let _ = frame.verify(&keys);
    }
    if let Ok(beginning) = Beginning::decode(bytes) {
        assert_eq!(beginning.encode(), bytes);
        let _ = beginning.verify(&keys);
    }
}

/// Reads a checkpoint's manifest, unchanged and with a corrected checksum.
pub fn manifest(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        if let Ok(manifest) = CheckpointManifest::decode(&bytes) {
            assert_eq!(manifest.encode(), bytes);
        }
    }
}

/// Reads the remembered idempotency keys of a directory, unchanged and with a corrected checksum. The tree is the one
/// that the bytes name.
pub fn idempotency_file(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        let tree_id = bytes.get(10..42).and_then(|id| id.try_into().ok());
        let tree_id = tree_id.unwrap_or_default();
        let (read, peak) = peak_of(|| Remembered::decode(&bytes, &tree_id));
        assert!(peak <= 8 * bytes.len() + 4096, "{peak} bytes of memory");
        if let Ok(remembered) = read {
            assert_eq!(remembered.encode(&tree_id), bytes);
        }
    }
}

/// Reads an entry of the archive of versions: its key, and its content as each kind of entry.
pub fn past_entry(bytes: &[u8]) {
    let key = PastKey::decode(bytes).map(|key| match key {
        PastKey::DeletedKey(key) => deleted_key(key),
        PastKey::Value { key_hash, version } => value_key(&key_hash, version).to_vec(),
        PastKey::Digest {
            slot,
            node,
            version,
        } => digest_key(slot, node, version).to_vec(),
        PastKey::Version(version) => version_key(version).to_vec(),
    });
    assert!(key.is_none_or(|key| key == bytes));
    if let Some(leaf) = decode_leaf(bytes) {
        let mut again = Vec::new();
        encode_leaf(leaf, &mut again);
        assert_eq!(again, bytes);
    }
    if let Some(digest) = decode_digest(bytes) {
        assert_eq!(encode_digest(&digest), bytes);
    }
    let shared = bytes::Bytes::copy_from_slice(bytes);
    let (version, peak) = peak_of(|| decode_version(&shared));
    assert!(peak <= 8 * bytes.len() + 4096, "{peak} bytes of memory");
    if let Some(version) = version {
        assert_eq!(encode_version(&version), bytes);
    }
}

/// Reads an object of an archive as each kind of object, unchanged and with a corrected checksum. Position and name are
/// those that the bytes state.
pub fn archive_object(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        let field = |at: usize| {
            bytes
                .get(at..at + 8)?
                .try_into()
                .ok()
                .map(u64::from_le_bytes)
        };
        let number = |at| field(at).unwrap_or_default();
        let tree_id = bytes
            .get(10..42)
            .and_then(|id| id.try_into().ok())
            .unwrap_or_default();
        let place = Place {
            tree_id,
            version: number(42),
            index: number(50) as u32,
        };
        if let Ok(manifest) = BaseManifest::decode(&bytes) {
            assert_eq!(manifest.encode(), bytes);
        }
        if let Ok(leaves) = decode_leaves(&place, &bytes) {
            let mut writer = LeavesWriter::new(tree_id, place.version);
            let all_fit = leaves.into_iter().all(|leaf| writer.push(leaf).is_none());
            assert!(all_fit, "a part of a few bytes is never full");
            // The writer counts its parts from 0.
            if let (0, Some((_, again))) = (place.index, writer.finish()) {
                assert_eq!(again, bytes);
            }
        }
        if let Ok(commit_ids) = decode_commit_ids(&place, &bytes) {
            assert_eq!(encode_commit_ids(&place, &commit_ids).1, bytes);
        }
        if let Ok(keyed) = decode_keyed(&place, &bytes) {
            assert_eq!(encode_keyed(&place, &keyed).1, bytes);
        }
        segment_of_an_archive(&tree_id, [number(42), number(50), number(58)], bytes);
    }
}

fn segment_of_an_archive(tree_id: &[u8; 32], numbers: [u64; 3], bytes: Vec<u8>) {
    let [open_epoch, first_version, last_version] = numbers;
    let name = SegmentName {
        first_version,
        last_version,
        open_epoch,
    };
    // No other name is ever read from a listing.
    if SegmentName::parse(&name.to_string()).is_none() {
        return;
    }
    let Ok(segment) = Segment::decode(tree_id, &name, &bytes.clone().into()) else {
        return;
    };
    let mut writer = SegmentWriter::new(*tree_id, open_epoch, segment.parent);
    for frame in &segment.frames {
        writer.push(segment.last.commit_id, frame);
    }
    assert_eq!(writer.finish(), Some((name, bytes)));
}

/// Reads a tree file, unchanged and with a corrected checksum.
pub fn tree_file(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        if let Ok(params) = tree::decode(&bytes) {
            assert_eq!(tree::encode(&params), bytes);
        }
    }
}

/// Reads the file about an index of keys, unchanged and with a corrected checksum.
pub fn key_order_file(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        let tree_id = bytes.get(10..42).and_then(|id| id.try_into().ok());
        let tree_id = tree_id.unwrap_or([0; 32]);
        if key_order::decode(&bytes, &tree_id).is_ok() {
            assert_eq!(key_order::encode(&tree_id), bytes);
        }
    }
}

/// Reads page digests, as they are and with a correct checksum, and builds a tree of them. A directory has hardly more places
/// than leaves.
pub fn pages_file(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), sealed(bytes)] {
        let (read, peak) = peak_of(|| pages::decode(&bytes));
        assert!(peak <= 128 * bytes.len() + 16384, "{peak} bytes of memory");
        let Ok((of, slots)) = read else {
            continue;
        };
        assert_eq!(pages::encode(&of, &slots), bytes);
        let leaves: u64 = slots.iter().map(pages::SlotPages::leaves).sum();
        // An opening refuses a number of leaves that is not that of the commit record.
        if leaves > 1 << 16 {
            continue;
        }
        let mut cold = ColdTree::default();
        if slots.iter().all(|slot| cold.push(slot).is_ok()) {
            let roots = cold.roots(of.version);
            assert_eq!(roots.key_count, leaves);
            let (mut writer, mut hasher) = cold.finish(CollisionPolicy::Bucket, 0);
            assert_eq!(hasher.hash(writer.seal(of.version), None), roots);
        }
    }
}

/// Returns the bytes with a file's checksum in place of their last 32.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len().saturating_sub(32)];
    [body, &FRAME.hash(body)].concat()
}

/// Reads a compressed point.
pub fn g1_point(bytes: &[u8]) {
    let Some((bytes, _)) = bytes.split_first_chunk::<48>() else {
        return;
    };
    if let Ok(point) = decode_g1(bytes) {
        assert_eq!(encode_g1(&point), *bytes);
    }
}

/// Reads a configuration, as a file and as a flag for each of its lines.
pub fn config_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let layers = Layers::default();
    if let Ok(config) = layers.text("fuzz.toml", text).and_then(|it| it.build()) {
        let written = config.to_toml().expect("a configuration can be written");
        let again = Layers::default().text("again.toml", &written);
        assert_eq!(
            again.and_then(|it| it.build()).expect("it was valid"),
            config
        );
    }
    for line in text.lines() {
        if let Ok(layers) = Layers::default().set(line) {
            let _ = layers.build();
        }
    }
}
