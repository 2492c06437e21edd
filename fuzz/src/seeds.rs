//! The initial corpus of each target.
//!
//! `fuzz/run corpus` extends it by fuzzing, and keeps the inputs that reach new code.

use trunkline_actors::config::Config;
use trunkline_core::kzg::{G1Bytes, encode_g1};
use trunkline_core::outcome::{
    IdempotencyKey, Outcome, Refusal, SubmissionOutcome, encode_outcomes,
};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::effect::{Effect, encode_effects};
use trunkline_core::store::idempotency_file::{KeyedSubmission, Remembered};
use trunkline_core::store::key_order_file;
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::pages_file::{self, PagesOf, SlotPages, StoredPage};
use trunkline_core::store::tree_file;

use crate::log::segment;
use crate::proof::WORLD;

/// Returns every target with its seeds.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let proofs: Vec<Vec<u8>> = WORLD
        .proofs
        .iter()
        .map(|(_, proof)| proof.clone())
        .collect();
    vec![
        ("verify_mutated", mutations(proofs.len())),
        ("decode_proof", proofs),
        ("decode_record", records()),
        ("decode_history", examples(&HISTORY_EXAMPLES)),
        ("decode_audit", examples(&["audit proof"])),
        ("decode_outcomes", outcomes()),
        ("decode_effects", effects()),
        ("decode_frame", examples(&FRAME_EXAMPLES)),
        ("read_stream", messages()),
        ("log_frame", logs()),
        ("archive_object", examples(&ARCHIVE_EXAMPLES)),
        ("manifest", manifests()),
        ("idempotency_file", idempotency_files()),
        ("past_entry", examples(&PAST_EXAMPLES)),
        ("pages_file", pages_files()),
        ("tree_file", tree_files()),
        ("key_order_file", vec![key_order_file::encode(&[7; 32])]),
        ("g1_point", points()),
        ("config_toml", configurations()),
    ]
}

const HISTORY_EXAMPLES: [&str; 3] = ["ancestor proof", "consistency proof", "evidence"];

const ARCHIVE_EXAMPLES: [&str; 5] = [
    "part with leaves",
    "part with commit ids",
    "part with idempotency keys",
    "manifest of a base",
    "segment of an archive",
];

const PAST_EXAMPLES: [&str; 7] = [
    "key of a value entry",
    "value entry",
    "value entry of an absent key",
    "key of a digest entry",
    "digest entry",
    "key of a version entry",
    "version entry",
];

const FRAME_EXAMPLES: [&str; 3] = ["frame", "compressed frame", "beginning"];

const STREAM_EXAMPLES: [&str; 5] = [
    "beginning of an epoch",
    "frames",
    "report",
    "refusal",
    "memory",
];

/// Returns messages, alone and preceded by their lengths.
fn messages() -> Vec<Vec<u8>> {
    let mut seeds = examples(&STREAM_EXAMPLES);
    let stream = seeds.iter().take(2).flat_map(|message| {
        let mut bytes = vec![message.len() as u8];
        bytes.extend(message);
        bytes
    });
    let stream = stream.collect();
    seeds.push(stream);
    seeds
}

/// Returns the bytes that the specification gives as examples.
fn examples(names: &[&str]) -> Vec<Vec<u8>> {
    let rows = include_str!("../../SPEC.md").lines();
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let named = cells.filter(|cells| cells.len() > 2 && names.contains(&cells[1]));
    named
        .map(|cells| from_hex(cells[2].trim_matches('`')))
        .collect()
}

fn from_hex(digits: &str) -> Vec<u8> {
    let byte = |place: usize| u8::from_str_radix(&digits[place..place + 2], 16);
    let places = (0..digits.len()).step_by(2);
    places
        .map(|place| byte(place).expect("an example"))
        .collect()
}

/// Returns each proof unchanged, and with one change of each kind.
fn mutations(proofs: usize) -> Vec<Vec<u8>> {
    let unchanged = (0..proofs).map(|proof| vec![proof as u8, 0, 0, 0, proof as u8, 0]);
    let changed = (0..50).map(|kind| {
        let proof = kind * 7 % proofs;
        vec![
            proof as u8,
            0,
            kind as u8,
            0,
            kind as u8,
            0,
            kind as u8,
            3,
            0,
            9,
            0,
            1,
            0,
            2,
            0,
        ]
    });
    unchanged.chain(changed).collect()
}

/// Page digests of an empty tree, and of one with a small slot and a deep one.
fn pages_files() -> Vec<Vec<u8>> {
    let of = PagesOf::of(&CommitRecord::genesis([1; 32]));
    let slot = |bits, level, pages| SlotPages { bits, level, pages };
    let page = |levels_above, leaves| StoredPage {
        levels_above,
        leaves,
        digest: [9; 32],
    };
    let empty = vec![slot(0, 0, vec![StoredPage::default()]); 128];
    let mut filled = empty.clone();
    filled[3] = slot(1, 1, vec![page(0, 2), StoredPage::default()]);
    let mut deep = vec![page(1, 200), StoredPage::default()];
    deep.extend((3..256).map(|_| page(0, 1)));
    filled[9] = slot(12, 8, deep);
    [empty, filled]
        .iter()
        .map(|slots| pages_file::encode(&of, slots))
        .collect()
}

fn records() -> Vec<Vec<u8>> {
    let genesis = CommitRecord::genesis([1; 32]);
    let metadata = b"why".to_vec();
    let with_metadata = CommitRecord {
        metadata,
        ..genesis.clone()
    };
    vec![genesis.encode(), with_metadata.encode()]
}

fn outcomes() -> Vec<Vec<u8>> {
    let key_hash = [9; 32];
    let kinds = [
        Outcome::Applied { displaced: 0 },
        Outcome::Applied { displaced: 3 },
        Outcome::Refused(Refusal::RequirementFailed { key_hash }),
        Outcome::Refused(Refusal::BucketFull { key_hash }),
        Outcome::Refused(Refusal::PathTaken { key_hash }),
        Outcome::Reverted { commit_id: [8; 32] },
    ];
    let idempotency_keys = [0, 1, 64, 0, 9, 0].map(|bytes| vec![0x6b; bytes]);
    let outcomes: Vec<SubmissionOutcome> = kinds
        .into_iter()
        .zip(idempotency_keys)
        .map(|(outcome, key)| SubmissionOutcome {
            sequence: 5,
            submission: [1; 32],
            outcome,
            idempotency_key: IdempotencyKey::new(&key).expect("64 bytes are allowed"),
        })
        .collect();
    vec![Vec::new(), encode_outcomes(&outcomes).0]
}

fn effects() -> Vec<Vec<u8>> {
    let params = TreeParams::default();
    let changes: [(&[u8], Option<&[u8]>); 4] = [
        (b"alice", Some(b"10")),
        (b"bob", None),
        (b"c", Some(b"")),
        (b"dora", Some(&[7; 300])),
    ];
    let mut effects = changes.map(|(key, change)| Effect {
        key_hash: params.key_hash(key),
        key,
        change,
    });
    effects.sort_by_key(|effect| effect.key_hash);
    let encoded = |effects: &[Effect<'_>]| {
        let mut bytes = Vec::new();
        encode_effects(effects.iter().copied(), &mut bytes).expect("they are sorted");
        bytes
    };
    vec![encoded(&[]), encoded(&effects[..1]), encoded(&effects)]
}

fn logs() -> Vec<Vec<u8>> {
    let mode_and = |mode: u8, entries| [vec![mode], segment(entries)].concat();
    vec![
        mode_and(0, 0),
        mode_and(0, 3),
        mode_and(1, 1),
        mode_and(1, 3),
    ]
}

fn manifests() -> Vec<Vec<u8>> {
    let genesis = CheckpointManifest::genesis([1; 32]);
    let full = CheckpointManifest {
        intent: Some(3),
        kzg_root: Some(G1Bytes::IDENTITY.0),
        ..genesis.clone()
    };
    vec![genesis.encode(), full.encode()]
}

fn idempotency_files() -> Vec<Vec<u8>> {
    let submission = |sequence: u64, outcome| KeyedSubmission {
        key_hash: [sequence as u8; 32],
        sequence,
        submission: [2; 32],
        outcome,
        provisional_root: [3; 32],
        version: 4,
        state_digest: [5; 32],
    };
    let key_hash = [6; 32];
    let refused = Outcome::Refused(Refusal::RequirementFailed { key_hash });
    let submissions = vec![
        submission(1, Outcome::Applied { displaced: 1 }),
        submission(2, refused),
    ];
    let none = Remembered::default();
    let two = Remembered {
        version: 4,
        submissions,
    };
    vec![none.encode(&[1; 32]), two.encode(&[1; 32])]
}

fn tree_files() -> Vec<Vec<u8>> {
    let plain = TreeParams::default();
    let salted = TreeParams {
        nonce: [9; 16],
        salt: Some(Salt::new([7; 32])),
        collision: CollisionPolicy::Reject,
    };
    vec![tree_file::encode(&plain), tree_file::encode(&salted)]
}

fn points() -> Vec<Vec<u8>> {
    let roots = WORLD.states.iter().filter_map(|state| state.root.kzg_root);
    let generator = trunkline_core::kzg::decode_g1(&G1Bytes::IDENTITY.0).map(|it| encode_g1(&it));
    roots.chain(generator).map(Vec::from).collect()
}

fn configurations() -> Vec<Vec<u8>> {
    let whole = Config::default()
        .to_toml()
        .expect("defaults can be written");
    let parts = whole.split("\n\n").map(str::to_owned);
    let flags = "group.linger_ms=7\ntree.collision=reject\n".to_owned();
    parts
        .chain([flags, whole.clone()])
        .map(String::into_bytes)
        .collect()
}
