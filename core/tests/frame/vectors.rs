//! The content of `frames.json`, made by the model. The crate is compared with it elsewhere.

use serde::{Deserialize, Serialize};
use trunkline_core::record::RECORD_BYTES_MIN;
use trunkline_core::store::log::{EFFECTS_BYTES_MAX, OUTCOMES_BYTES_MAX};
use trunkline_testkit::vectors::{
    ACCEPTED, AnsweredVector, Decimal, Hex, MALFORMED_RULE, VectorFile,
};
use trunkline_testkit::wire_mutations::{Message, Mutation};

use crate::model::{
    Hash, NaiveBeginning, NaiveEntry, SEEDS, hex_array, literal_block, public_key, with_larger_s,
};

/// The content of `frames.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameVectors {
    pub(crate) keys: Vec<KeyPair>,
    pub(crate) refused_keys: Vec<RefusedKey>,
    pub(crate) frames: Vec<FrameVector>,
    pub(crate) beginnings: Vec<BeginningVector>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPair {
    pub(crate) secret: Hex,
    pub(crate) public: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedKey {
    pub(crate) of: String,
    pub(crate) public: Hex,
    /// The name of this project's error.
    pub(crate) error: String,
}

pub(crate) type FrameVector = AnsweredVector<Pinned, ShownFrame>;
pub(crate) type BeginningVector = AnsweredVector<Pinned, ShownBeginning>;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pinned {
    pub(crate) keys: Vec<Hex>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownFrame {
    pub(crate) signer: Hex,
    pub(crate) record: Hex,
    pub(crate) commit_id: Hex,
    pub(crate) kzg_root: Option<Hex>,
    pub(crate) outcomes: Hex,
    pub(crate) effects: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownBeginning {
    pub(crate) signer: Hex,
    pub(crate) tree_id: Hex,
    pub(crate) epoch: Decimal,
    pub(crate) version: Decimal,
    pub(crate) commit_id: Hex,
}

/// Makes the file.
pub(crate) fn made() -> VectorFile {
    let keys = SEEDS.iter().map(|seed| KeyPair {
        secret: seed.into(),
        public: public_key(seed).into(),
    });
    let vectors = FrameVectors {
        keys: keys.collect(),
        refused_keys: refused_keys(),
        frames: [accepted_frames(), refused_frames(), malformed_frames()]
            .into_iter()
            .flatten()
            .collect(),
        beginnings: beginnings(),
    };
    VectorFile::new("frames.json", &vectors)
}

/// Returns points of small order, in all their encodings, and points that no signer makes.
fn refused_keys() -> Vec<RefusedKey> {
    let of = |(of, public, error): (&str, &str, &str)| RefusedKey {
        of: of.into(),
        public: hex_array::<32>(public).into(),
        error: error.into(),
    };
    REFUSED_KEYS.map(of).into()
}

#[rustfmt::skip]
const REFUSED_KEYS: [(&str, &str, &str); 17] = [
    ("the identity", "0100000000000000000000000000000000000000000000000000000000000000", "Order"),
    ("order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "Order"),
    ("order 4", "0000000000000000000000000000000000000000000000000000000000000000", "Order"),
    ("order 4, the other x", "0000000000000000000000000000000000000000000000000000000000000080", "Order"),
    ("order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "Order"),
    ("order 8, the other x", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", "Order"),
    ("order 8, the other y", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "Order"),
    ("order 8, the other x and y", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "Order"),
    ("the identity with a sign", "0100000000000000000000000000000000000000000000000000000000000080", "NotCanonical"),
    ("order 2 with a sign", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "NotCanonical"),
    ("order 4, y = p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "NotCanonical"),
    ("order 4, the other x, y = p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "NotCanonical"),
    ("the identity, y = p + 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "NotCanonical"),
    ("the identity with a sign, y = p + 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "NotCanonical"),
    ("y = p + 3, a point of another order", "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "NotCanonical"),
    ("y = 2, no point", "0200000000000000000000000000000000000000000000000000000000000000", "Point"),
    ("the first key and a point of order 8", "3bcfb78c4ad06f9b8d7e8c50e37e33dd40042a7805f5df945fbf33620745bc68", "Order"),
];

fn pinned(seeds: &[Hash]) -> Pinned {
    Pinned {
        keys: seeds.iter().map(|seed| public_key(seed).into()).collect(),
    }
}

fn frame(
    of: &str,
    mutation: &str,
    rule: &str,
    bytes: Vec<u8>,
    trusted: Pinned,
    shown: Option<ShownFrame>,
) -> FrameVector {
    AnsweredVector {
        of: of.into(),
        mutation: mutation.into(),
        rule: rule.into(),
        malformed: None,
        proof: bytes.into(),
        trusted,
        shown,
    }
}

fn accepted_frames() -> Vec<FrameVector> {
    let [first, ..] = SEEDS;
    let shown = |entry: &NaiveEntry| ShownFrame {
        signer: public_key(&first).into(),
        record: entry.record().into(),
        commit_id: entry.commit_id().into(),
        kzg_root: entry.kzg_root.map(Hex::from),
        outcomes: (&entry.outcomes).into(),
        effects: (&entry.effects).into(),
    };
    let entries = [
        ("a frame without a KZG root", NaiveEntry::example()),
        ("a frame with a KZG root", NaiveEntry::with_root()),
    ];
    let mut vectors = Vec::new();
    for (of, entry) in &entries {
        let signature = entry.sign(&first);
        for (form, message) in [
            ("original", entry.plain(&signature)),
            ("compressed", entry.compressed(&signature)),
        ] {
            let (bytes, trusted) = (message.encode(), pinned(&[first]));
            vectors.push(frame(
                of,
                form,
                ACCEPTED,
                bytes,
                trusted,
                Some(shown(entry)),
            ));
        }
    }
    let least = NaiveEntry::least();
    let bytes = least.plain(&least.sign(&first)).encode();
    let trusted = pinned(&[SEEDS[2], SEEDS[1], first]);
    let of = "a frame without outcomes, and three keys";
    vectors.push(frame(
        of,
        "original",
        ACCEPTED,
        bytes,
        trusted,
        Some(shown(&least)),
    ));
    vectors
}

fn refused_frames() -> Vec<FrameVector> {
    let [first, second, _] = SEEDS;
    let entry = NaiveEntry::with_root();
    let signature = entry.sign(&first);
    let signed_so = |signature: &[u8]| entry.plain(signature).encode();
    let changed = |change: &dyn Fn(&mut NaiveEntry)| {
        let mut changed = entry.clone();
        change(&mut changed);
        changed.plain(&signature).encode()
    };
    let others = [
        ("signed by another key", signed_so(&entry.sign(&second))),
        (
            "S and the order of the group",
            signed_so(&with_larger_s(&signature)),
        ),
        ("signature of zeros", signed_so(&[0; 64])),
        (
            "signature of a beginning",
            signed_so(&entry.sign_in_the_other_domain(&first)),
        ),
        ("another tree", changed(&|entry| entry.tree_id[0] ^= 1)),
        ("another version", changed(&|entry| entry.version += 1)),
        ("another epoch", changed(&|entry| entry.epoch += 1)),
        ("other metadata", changed(&|entry| entry.metadata[0] ^= 1)),
        (
            "another KZG root",
            changed(&|entry| entry.kzg_root = Some([0xc0; 48])),
        ),
        (
            "the KZG root left out",
            changed(&|entry| entry.kzg_root = None),
        ),
        ("other outcomes", changed(&|entry| entry.outcomes[0] ^= 1)),
        ("other effects", changed(&|entry| entry.effects[0] ^= 1)),
        (
            "the first effect among the outcomes",
            changed(&|entry| {
                let first = entry.effects.remove(0);
                entry.outcomes.push(first);
            }),
        ),
    ];
    let of = "a frame with a KZG root";
    let mut vectors: Vec<FrameVector> = others
        .into_iter()
        .map(|(name, bytes)| frame(of, name, "OtherKey", bytes, pinned(&[first]), None))
        .collect();
    let bytes = signed_so(&signature);
    let other = pinned(&[second, SEEDS[2]]);
    vectors.push(frame(
        of,
        "other keys pinned",
        "OtherKey",
        bytes.clone(),
        other,
        None,
    ));
    vectors.push(frame(
        of,
        "no key pinned",
        "NoKey",
        bytes,
        pinned(&[]),
        None,
    ));
    vectors
}

fn malformed_frames() -> Vec<FrameVector> {
    let [first, ..] = SEEDS;
    let plain = NaiveEntry::example();
    let plain_message = plain.plain(&plain.sign(&first));
    let with_root = NaiveEntry::with_root();
    let compressed = with_root.compressed(&with_root.sign(&first));
    let kinds = [
        ("a frame without a KZG root", plain_message.spoilt()),
        ("a frame without a KZG root", spoilt_parts(&plain_message)),
        (
            "a frame without a KZG root",
            plain_with_lengths(&plain_message),
        ),
        ("a compressed frame", compressed.spoilt()),
        ("a compressed frame", spoilt_lengths(&compressed)),
    ];
    let of_kind = |(of, mutations): (&'static str, Vec<Mutation>)| {
        let of = format!("{of}, malformed");
        let vectors = mutations.into_iter();
        vectors.map(move |mutation| malformed(&of, mutation))
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

fn malformed<S>(of: &str, mutation: Mutation) -> AnsweredVector<Pinned, S> {
    AnsweredVector {
        of: of.into(),
        mutation: mutation.name,
        rule: MALFORMED_RULE.into(),
        malformed: Some(mutation.malformed.into()),
        proof: mutation.bytes.into(),
        trusted: pinned(&SEEDS[..1]),
        shown: None,
    }
}

fn mutation(name: impl Into<String>, malformed: &'static str, bytes: Vec<u8>) -> Mutation {
    Mutation {
        name: name.into(),
        malformed,
        bytes,
    }
}

/// Returns variants with other lengths of a field of fixed length.
fn other_lengths<const N: usize>(
    message: &Message,
    field: u64,
    what: &str,
    lengths: [usize; N],
) -> Vec<Mutation> {
    let of = |length: usize| {
        let bytes = message.with_bytes(field, &vec![7; length]);
        mutation(format!("{what} of {length} bytes"), "Length", bytes)
    };
    lengths.map(of).into()
}

fn spoilt_parts(message: &Message) -> Vec<Mutation> {
    let record = message.bytes_of(2);
    let short = &record[..RECORD_BYTES_MIN - 1];
    let mut old = record.to_vec();
    old[0] = 1;
    let mut mutations = vec![
        mutation("no record", "Record.Length", message.with_bytes(2, &[])),
        mutation(
            "a short record",
            "Record.Length",
            message.with_bytes(2, short),
        ),
        mutation(
            "a record of format 1",
            "Record.Format",
            message.with_bytes(2, &old),
        ),
        mutation(
            "a record and a byte",
            "Record.Metadata",
            message.with_bytes(2, &[record, &[0]].concat()),
        ),
    ];
    mutations.extend(other_lengths(message, 3, "a KZG root", [1, 47, 49]));
    mutations.extend(other_lengths(message, 4, "a signature", [0, 63, 65]));
    mutations
}

fn plain_with_lengths(message: &Message) -> Vec<Mutation> {
    vec![
        mutation("codec 2", "Codec", message.with_number(5, 2)),
        mutation(
            "codec 2^32 - 1",
            "Codec",
            message.with_number(5, u32::MAX.into()),
        ),
        mutation(
            "length of outcomes, no codec",
            "Declared",
            message.with_number(6, 8),
        ),
        mutation(
            "length of effects, no codec",
            "Declared",
            message.with_number(7, 120),
        ),
        mutation(
            "codec 1 without lengths",
            "Declared",
            message.with_number(5, 1),
        ),
    ]
}

fn spoilt_lengths(message: &Message) -> Vec<Mutation> {
    let effects = message.bytes_of(9);
    let far = EFFECTS_BYTES_MAX as u64;
    // The offset of the match is before the beginning.
    let mut before = effects.to_vec();
    before[4] = 4;
    vec![
        mutation(
            "one outcome byte more",
            "Compressed",
            message.with_number(6, 9),
        ),
        mutation(
            "one outcome byte less",
            "Compressed",
            message.with_number(6, 7),
        ),
        mutation(
            "one effect byte more",
            "Compressed",
            message.with_number(7, 121),
        ),
        mutation(
            "one effect byte less",
            "Compressed",
            message.with_number(7, 119),
        ),
        mutation(
            "the lengths left out",
            "Declared",
            message.with_number(7, 0),
        ),
        mutation(
            "as many effects as may be",
            "Declared",
            message.with_number(7, far),
        ),
        mutation(
            "more effects than may be",
            "TooLong.Part",
            message.with_number(7, far + 1),
        ),
        mutation(
            "more outcomes than may be",
            "TooLong.Part",
            message.with_number(6, OUTCOMES_BYTES_MAX as u64 + 1),
        ),
        mutation(
            "no block of outcomes",
            "Declared",
            message.with_bytes(8, &[]),
        ),
        mutation(
            "a block that is cut",
            "Compressed",
            message.with_bytes(9, &effects[..7]),
        ),
        mutation(
            "a match of bytes before the first",
            "Compressed",
            message.with_bytes(9, &before),
        ),
        mutation(
            "another block",
            "Compressed",
            message.with_bytes(9, &literal_block(b"put")),
        ),
    ]
}

fn beginnings() -> Vec<BeginningVector> {
    let [first, second, _] = SEEDS;
    let answered =
        |of: &str, mutation: &str, rule: &str, bytes: Vec<u8>, trusted, shown| BeginningVector {
            of: of.into(),
            mutation: mutation.into(),
            rule: rule.into(),
            malformed: None,
            proof: bytes.into(),
            trusted,
            shown,
        };
    let mut vectors = Vec::new();
    let least = NaiveBeginning::least();
    let example = NaiveBeginning::example();
    for (of, beginning) in [
        ("a beginning", &example),
        ("the beginning of a new tree", &least),
    ] {
        let bytes = beginning.message(&beginning.sign(&first)).encode();
        let shown = ShownBeginning {
            signer: public_key(&first).into(),
            tree_id: beginning.tree_id().into(),
            epoch: Decimal(beginning.epoch),
            version: Decimal(beginning.version),
            commit_id: beginning.commit_id.into(),
        };
        vectors.push(answered(
            of,
            "original",
            ACCEPTED,
            bytes,
            pinned(&[second, first]),
            Some(shown),
        ));
    }
    let signature = example.sign(&first);
    let signed_so = |signature: &[u8]| example.message(signature).encode();
    let changed = |change: &dyn Fn(&mut NaiveBeginning)| {
        let mut changed = example;
        change(&mut changed);
        changed.message(&signature).encode()
    };
    for (name, bytes) in [
        ("signed by another key", signed_so(&example.sign(&second))),
        (
            "S and the order of the group",
            signed_so(&with_larger_s(&signature)),
        ),
        (
            "signature of a frame",
            signed_so(&example.sign_in_the_other_domain(&first)),
        ),
        (
            "another nonce",
            changed(&|beginning| beginning.nonce[0] ^= 1),
        ),
        ("no salt", changed(&|beginning| beginning.salt = None)),
        (
            "another policy",
            changed(&|beginning| beginning.collision = 1),
        ),
        ("another epoch", changed(&|beginning| beginning.epoch += 1)),
        (
            "another version",
            changed(&|beginning| beginning.version += 1),
        ),
        (
            "another commit id",
            changed(&|beginning| beginning.commit_id[0] ^= 1),
        ),
    ] {
        vectors.push(answered(
            "a beginning",
            name,
            "OtherKey",
            bytes,
            pinned(&[first]),
            None,
        ));
    }
    let bytes = signed_so(&signature);
    vectors.push(answered(
        "a beginning",
        "no key pinned",
        "NoKey",
        bytes,
        pinned(&[]),
        None,
    ));
    let message = example.message(&signature);
    let mut mutations = message.spoilt();
    mutations.extend(other_lengths(&message, 2, "a nonce", [0, 15, 17]));
    mutations.extend(other_lengths(&message, 3, "a salt", [1, 31, 33]));
    mutations.extend(other_lengths(&message, 7, "a commit id", [0, 31, 33]));
    mutations.extend(other_lengths(&message, 8, "a signature", [0, 63, 65]));
    mutations.push(mutation("policy 3", "Collision", message.with_number(4, 3)));
    mutations.push(mutation(
        "policy -1",
        "Collision",
        message.with_number(4, u64::MAX),
    ));
    mutations.push(mutation("257 bytes", "TooLong", vec![8; 257]));
    let named = mutations.into_iter();
    vectors.extend(named.map(|mutation| malformed("a beginning, malformed", mutation)));
    vectors
}
