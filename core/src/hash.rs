//! Domain-separated BLAKE3, and many 64-byte inputs at once.
//!
//! Every digest of trunkline is computed here, each kind under its own key, so that no digest of one kind can be taken
//! for another.

use alloc::string::String;
use alloc::vec::Vec;

use blake3::BLOCK_LEN;
use blake3::platform::{MAX_SIMD_DEGREE, Platform};

#[cfg(feature = "state")]
use crate::short::Group;
use crate::short::{CHUNK_END, CHUNK_START, KEYED_HASH, Mode, ROOT};

/// The 32 bytes of a BLAKE3 digest.
pub type Digest = [u8; 32];

/// An empty subtree, and an empty half of an inner node.
pub const ZERO: Digest = [0; 32];

/// Two digests next to each other: exactly one BLAKE3 block.
pub type Pair = [u8; 64];

/// The BLAKE3 key of one kind of digest: `derive_key` mode, context `trunkline v1 <name>`, no
/// key material.
///
/// ```
/// use trunkline_core::hash::{INNER, ZERO, pair};
/// let halves = pair(&[1; 32], &ZERO);
/// assert_eq!(INNER.hash(&halves), *blake3::keyed_hash(INNER.key(), &halves).as_bytes());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain([u8; 32]);

/// `kh ‖ vh`: a leaf.
pub const LEAF: Domain = Domain(from_hex(
    "4680ad1b6c271087534b2bc34d93562ae4d20444212bb4e78af2a7e04fa0eea7",
));
/// `left ‖ right`: two halves of a node.
pub const INNER: Domain = Domain(from_hex(
    "007d7381c172960210e313467c7c7772988b0b78b1a1fa93bfe4bff49eae1955",
));
/// `count ‖ (kh ‖ vh)…`: keys that share the whole path.
pub const BUCKET: Domain = Domain(from_hex(
    "4b3272502a21863bc9f48d1f02ec7b86be14b3a6d9ce9566aaedd573e7f8fd1c",
));
/// The parameters of a tree.
pub const TREE_ID: Domain = Domain(from_hex(
    "7be4d37ab56cb301524eec6e91522f1d7288cb136a6f8e432c770052555fdce1",
));
/// The operations of one submission.
pub const SUBMISSION: Domain = Domain(from_hex(
    "d1a80f0577ca6bbfb594e71323abfe5e80e2ed108c322de514ca2d1df0974d19",
));
/// A submission that restores the state of an older version.
pub const REVERT: Domain = Domain(from_hex(
    "5a40262fd2273ffb08ebc38ce3f344df6133ba2e1eec35e3e84b8ef76acb989f",
));
/// The start of a chain of provisional roots.
pub const EPOCH: Domain = Domain(from_hex(
    "2f55deda34e517e862575ae86f8a8b4b602f26d0b74b9daeb1e63ae6ee6530c8",
));
/// `provisional n-1 ‖ submission n`.
pub const PROVISIONAL: Domain = Domain(from_hex(
    "ba74e00aee148094e5780735ce06ea9bbb70af6799e0755f759705fbbee620b5",
));
/// The outcome of one submission.
pub const OUTCOME_LEAF: Domain = Domain(from_hex(
    "3f9d35f2a1bea6be47160f1eae7aaa3fdbdb59db4839e9ec7d0d8239bfbd608e",
));
/// An inner node over outcomes.
pub const OUTCOME_NODE: Domain = Domain(from_hex(
    "114bfcbdf9f94046f8a1032a4bc30e22ba04ae531ed12fb8bb5c7ac8305a1dd0",
));
/// Count and peaks over the outcomes of a version.
pub const OUTCOMES_ROOT: Domain = Domain(from_hex(
    "4c873a4a2d4149438694ce60334d3753a83aaf606f7244fac8c18a6c426593db",
));
/// A commit record.
pub const COMMIT_ID: Domain = Domain(from_hex(
    "460de5c2c7d82cf891e880bde5046c8713aae56896c52f2580a4da6a1582820a",
));
/// An earlier commit id.
pub const HISTORY_LEAF: Domain = Domain(from_hex(
    "4f84cd85087280bf7946625f51a9c4c3cd1b9bdd9aa106c26463991bd4fd6e78",
));
/// An inner node over earlier commit ids.
pub const HISTORY_NODE: Domain = Domain(from_hex(
    "f826345af3eead1cc7b484af08577ba2aafcbd980f1a12f2461d2fbe64b001a6",
));
/// Count and peaks over earlier commit ids.
pub const HISTORY_ROOT: Domain = Domain(from_hex(
    "f21591301655bc9eb000755dfe7637b8447766fbb6274459065366dcdd199545",
));
/// The checksum of stored bytes (log frames and small files).
pub const FRAME: Domain = Domain(from_hex(
    "26dabb933a2108d8577802699ab26dff3a0253aef60a32b0e30df0e5c027970a",
));
/// The weights that fold many openings into one pairing check. They are internal to the verifier and part of no format.
pub(crate) const OPENING_BATCH: Domain = Domain(from_hex(
    "420efe0c9e0fd216372c38299e05904b8ead3526ce0b83b42ed7bc5f28abe073",
));
/// γ of an aggregate of openings.
pub const AGGREGATE_WEIGHT: Domain = Domain(from_hex(
    "6894500834264d4169bd0fa2211917484ddb21ac411eb7119a0587c82fb350a6",
));
/// z of an aggregate of openings.
pub const AGGREGATE_POINT: Domain = Domain(from_hex(
    "ce77acd411a756da7ad2a1ec60ae5a4485a00a82db5029d9c89cbe7a69db14c3",
));
/// The point at which an audit proof evaluates the polynomial of a KZG root.
pub const AUDIT_POINT: Domain = Domain(from_hex(
    "3f599b501b2d8141bc0956a3c042da9c09be9cad15cfa7da6c0beaa75f126e55",
));
/// The signed content of a frame.
#[cfg(feature = "state")]
pub const FRAME_SIGNATURE: Domain = Domain(from_hex(
    "428e6e15d075416587d8bcee4b4d7ead2cb3e4838e93ea618090a184701135ff",
));
/// The signed content of a beginning.
#[cfg(feature = "state")]
pub const BEGINNING_SIGNATURE: Domain = Domain(from_hex(
    "bbe616275912ca3875b2d36ecc6da937d62007a313a15d648215f284a6692ef7",
));

impl Domain {
    /// Returns the 32-byte key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the keyed BLAKE3 hash of any bytes.
    pub fn hash(&self, bytes: &[u8]) -> Digest {
        keyed_hash(&self.0, bytes)
    }

    /// Returns the keyed BLAKE3 hash of bytes that come in parts.
    pub fn hash_parts(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Hashes each pair with keyed BLAKE3, as many at a time as the machine has lanes.
    ///
    /// `digests` receives one digest for each pair, in order; its previous content is discarded.
    pub fn hash_pairs(&self, pairs: &[Pair], digests: &mut Vec<Digest>) {
        // The vector is not cleared first: every digest is overwritten.
        digests.resize(pairs.len(), ZERO);
        hash_lanes(Platform::detect(), &self.0, pairs.iter(), digests);
    }

    /// Works like [`Self::hash_pairs`], for the pairs at some indices of a slice, in any order.
    ///
    /// The assembly of `blake3` 1.8.7 reads up to 48 bytes past the first of four inputs that remain: it expects the
    /// next input after it, as in the library's own calls. Here the first may be the last of the slice, whose memory
    /// may end with it. That one is hashed from a copy with spare bytes after it.
    #[cfg(feature = "state")]
    pub(crate) fn hash_pairs_at(&self, pairs: &[Pair], places: &[u32], digests: &mut Vec<Digest>) {
        digests.resize(places.len(), ZERO);
        let padded = [pairs.last().copied().unwrap_or([0; 64]), [0; 64]];
        let pairs = places.iter().map(|place| match *place as usize {
            place if place + 1 == pairs.len() => &padded[0],
            place => &pairs[place],
        });
        hash_lanes(Platform::detect(), &self.0, pairs, digests);
    }

    /// Works like [`Self::hash_pairs`], for the first of each two adjacent pairs, wherever they are. The second pair is
    /// spare memory, for the reason given at [`Self::hash_pairs_at`].
    #[cfg(feature = "state")]
    pub(crate) fn hash_first_pairs<'a>(
        &self,
        pairs: impl ExactSizeIterator<Item = &'a [Pair; 2]>,
        digests: &mut Vec<Digest>,
    ) {
        digests.resize(pairs.len(), ZERO);
        let pairs = pairs.map(|[pair, _]| pair);
        hash_lanes(Platform::detect(), &self.0, pairs, digests);
    }
}

/// Joins two digests.
pub fn pair(left: &Digest, right: &Digest) -> Pair {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    pair
}

/// Returns the unkeyed BLAKE3 hash: the digest of a value, and of a key in a tree without salt.
pub fn hash(bytes: &[u8]) -> Digest {
    match bytes.len() {
        ..=BLOCK_LEN => Mode::UNKEYED.hash(Platform::detect(), bytes),
        _ => *blake3::hash(bytes).as_bytes(),
    }
}

/// Returns the keyed BLAKE3 hash under any key.
pub(crate) fn keyed_hash(key: &[u8; 32], bytes: &[u8]) -> Digest {
    match bytes.len() {
        ..=BLOCK_LEN => Mode::keyed(key).hash(Platform::detect(), bytes),
        _ => *blake3::keyed_hash(key, bytes).as_bytes(),
    }
}

/// Hashes many inputs, under a key if there is one. Each digest is written to the index that comes with its input;
/// others are unchanged. Inputs of up to 64 bytes cost a fifth of the time of [`hash`].
#[cfg(feature = "state")]
pub(crate) fn hash_each<'a>(
    key: Option<&[u8; 32]>,
    inputs: impl Iterator<Item = (usize, &'a [u8])>,
    digests: &mut [Digest],
) {
    let mut short = Group::new(key.map_or(Mode::UNKEYED, Mode::keyed));
    for (place, input) in inputs {
        if input.len() <= BLOCK_LEN {
            short.push(place, input, digests);
        } else {
            digests[place] = key.map_or_else(|| hash(input), |key| keyed_hash(key, input));
        }
    }
    short.finish(digests);
}

/// Returns lower-case hexadecimal digits.
///
/// ```
/// assert_eq!(trunkline_core::hash::hex(&[0xc0, 0x01]), "c001");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Parses lower-case hexadecimal at compile time.
pub(crate) const fn from_hex<const N: usize>(digits: &str) -> [u8; N] {
    let digits = digits.as_bytes();
    assert!(digits.len() == 2 * N);
    let mut bytes = [0; N];
    let mut index = 0;
    while index < digits.len() {
        let digit = match digits[index] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        };
        bytes[index / 2] = bytes[index / 2] << 4 | digit;
        index += 1;
    }
    bytes
}

/// Number of inputs for one `hash_many` call: enough to fill the widest lanes twice.
const LANES: usize = 2 * MAX_SIMD_DEGREE;

fn hash_lanes<'a>(
    platform: Platform,
    key: &[u8; 32],
    mut pairs: impl ExactSizeIterator<Item = &'a Pair>,
    digests: &mut [Digest],
) {
    let key_words = blake3::platform::words_from_le_bytes_32(key);
    for out in digests.chunks_mut(LANES) {
        let mut inputs = [&[0; 64]; LANES];
        for (input, pair) in inputs.iter_mut().zip(pairs.by_ref().take(out.len())) {
            *input = pair;
        }
        platform.hash_many(
            &inputs[..out.len()],
            &key_words,
            0,
            blake3::IncrementCounter::No,
            KEYED_HASH,
            CHUNK_START,
            CHUNK_END | ROOT,
            out.as_flattened_mut(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_key_is_derived_from_its_name() {
        let domains = [
            ("leaf", LEAF),
            ("inner", INNER),
            ("bucket", BUCKET),
            ("tree id", TREE_ID),
            ("submission", SUBMISSION),
            ("revert", REVERT),
            ("epoch", EPOCH),
            ("provisional root", PROVISIONAL),
            ("outcome leaf", OUTCOME_LEAF),
            ("outcome node", OUTCOME_NODE),
            ("outcomes root", OUTCOMES_ROOT),
            ("commit id", COMMIT_ID),
            ("history leaf", HISTORY_LEAF),
            ("history node", HISTORY_NODE),
            ("history root", HISTORY_ROOT),
            ("frame", FRAME),
            ("opening batch", OPENING_BATCH),
            ("aggregate weight", AGGREGATE_WEIGHT),
            ("aggregate point", AGGREGATE_POINT),
            ("audit point", AUDIT_POINT),
            #[cfg(feature = "state")]
            ("frame signature", FRAME_SIGNATURE),
            #[cfg(feature = "state")]
            ("beginning signature", BEGINNING_SIGNATURE),
        ];
        for (name, domain) in domains {
            assert_eq!(
                domain.0,
                blake3::derive_key(&format!("trunkline v1 {name}"), b""),
                "{name}"
            );
        }
    }

    #[test]
    fn lanes_and_portable_code_and_the_public_api_agree_at_every_count() {
        let pairs: Vec<Pair> = (0..70_u8)
            .map(|i| core::array::from_fn(|j| i.wrapping_mul(31).wrapping_add(j as u8)))
            .collect();
        for count in 0..pairs.len() {
            let mut wide = Vec::new();
            INNER.hash_pairs(&pairs[..count], &mut wide);
            let mut portable = vec![ZERO; count];
            hash_lanes(
                Platform::Portable,
                &INNER.0,
                pairs[..count].iter(),
                &mut portable,
            );
            let single = |pair| *blake3::keyed_hash(INNER.key(), pair).as_bytes();
            let single: Vec<Digest> = pairs[..count].iter().map(|p| single(p)).collect();
            assert_eq!(wide, single);
            assert_eq!(portable, single);
        }
    }

    #[test]
    #[cfg(feature = "state")]
    fn pairs_at_places_in_any_order_have_the_digests_that_they_have_alone() {
        let pairs: Vec<Pair> = (0..40_u8).map(|pair| [pair; 64]).collect();
        for count in 0..pairs.len() as u32 {
            let orders: [Vec<u32>; 3] = [
                (0..count).rev().collect(),
                (0..count).map(|place| 39 - place).collect(),
                (0..count).map(|place| place * 7 % 40).collect(),
            ];
            for places in orders {
                let mut digests = vec![[1; 32]; 3];
                INNER.hash_pairs_at(&pairs, &places, &mut digests);
                let alone = places.iter().map(|place| INNER.hash(&[*place as u8; 64]));
                assert!(digests.into_iter().eq(alone));
            }
        }
    }

    #[test]
    fn inputs_of_any_length_are_hashed_as_the_library_does() {
        let key = INNER.key();
        for bytes in 0..200 {
            let input: Vec<u8> = (0..bytes).map(|byte| byte as u8 ^ 0xa5).collect();
            assert_eq!(hash(&input), *blake3::hash(&input).as_bytes());
            let keyed = *blake3::keyed_hash(key, &input).as_bytes();
            assert_eq!(keyed_hash(key, &input), keyed);
        }
    }
}
