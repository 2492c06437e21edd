//! Domain-separated BLAKE3, and many 64-byte inputs at once.
//!
//! Every digest of trunkline is made here, each kind under a key of its own, so that no digest of
//! one kind can be read as another. What is *not* here: which inputs are hashed when (that is the
//! tree's business) and anything about curves.

use alloc::string::String;
use alloc::vec::Vec;

use blake3::BLOCK_LEN;
use blake3::platform::{MAX_SIMD_DEGREE, Platform};

/// 32 bytes out of BLAKE3.
pub type Digest = [u8; 32];

/// An empty subtree, and an empty half of an inner node.
pub const ZERO: Digest = [0; 32];

/// Two digests side by side: exactly one BLAKE3 block.
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
pub const LEAF: Domain = Domain([
    0x46, 0x80, 0xad, 0x1b, 0x6c, 0x27, 0x10, 0x87, 0x53, 0x4b, 0x2b, 0xc3, 0x4d, 0x93, 0x56, 0x2a,
    0xe4, 0xd2, 0x04, 0x44, 0x21, 0x2b, 0xb4, 0xe7, 0x8a, 0xf2, 0xa7, 0xe0, 0x4f, 0xa0, 0xee, 0xa7,
]);
/// `left ‖ right`: two halves of a node.
pub const INNER: Domain = Domain([
    0x00, 0x7d, 0x73, 0x81, 0xc1, 0x72, 0x96, 0x02, 0x10, 0xe3, 0x13, 0x46, 0x7c, 0x7c, 0x77, 0x72,
    0x98, 0x8b, 0x0b, 0x78, 0xb1, 0xa1, 0xfa, 0x93, 0xbf, 0xe4, 0xbf, 0xf4, 0x9e, 0xae, 0x19, 0x55,
]);
/// `count ‖ (kh ‖ vh)…`: keys that share the whole path.
pub const BUCKET: Domain = Domain([
    0x4b, 0x32, 0x72, 0x50, 0x2a, 0x21, 0x86, 0x3b, 0xc9, 0xf4, 0x8d, 0x1f, 0x02, 0xec, 0x7b, 0x86,
    0xbe, 0x14, 0xb3, 0xa6, 0xd9, 0xce, 0x95, 0x66, 0xaa, 0xed, 0xd5, 0x73, 0xe7, 0xf8, 0xfd, 0x1c,
]);
/// The parameters of a tree.
pub const TREE_ID: Domain = Domain([
    0x7b, 0xe4, 0xd3, 0x7a, 0xb5, 0x6c, 0xb3, 0x01, 0x52, 0x4e, 0xec, 0x6e, 0x91, 0x52, 0x2f, 0x1d,
    0x72, 0x88, 0xcb, 0x13, 0x6a, 0x6f, 0x8e, 0x43, 0x2c, 0x77, 0x00, 0x52, 0x55, 0x5f, 0xdc, 0xe1,
]);
/// The operations of one submission.
pub const SUBMISSION: Domain = Domain([
    0xd1, 0xa8, 0x0f, 0x05, 0x77, 0xca, 0x6b, 0xbf, 0xb5, 0x94, 0xe7, 0x13, 0x23, 0xab, 0xfe, 0x5e,
    0x80, 0xe2, 0xed, 0x10, 0x8c, 0x32, 0x2d, 0xe5, 0x14, 0xca, 0x2d, 0x1d, 0xf0, 0x97, 0x4d, 0x19,
]);
/// The start of a chain of provisional roots.
pub const EPOCH: Domain = Domain([
    0x2f, 0x55, 0xde, 0xda, 0x34, 0xe5, 0x17, 0xe8, 0x62, 0x57, 0x5a, 0xe8, 0x6f, 0x8a, 0x8b, 0x4b,
    0x60, 0x2f, 0x26, 0xd0, 0xb7, 0x4b, 0x9d, 0xae, 0xb1, 0xe6, 0x3a, 0xe6, 0xee, 0x65, 0x30, 0xc8,
]);
/// `provisional n-1 ‖ submission n`.
pub const PROVISIONAL: Domain = Domain([
    0xba, 0x74, 0xe0, 0x0a, 0xee, 0x14, 0x80, 0x94, 0xe5, 0x78, 0x07, 0x35, 0xce, 0x06, 0xea, 0x9b,
    0xbb, 0x70, 0xaf, 0x67, 0x99, 0xe0, 0x75, 0x5f, 0x75, 0x97, 0x05, 0xfb, 0xbe, 0xe6, 0x20, 0xb5,
]);
/// The outcome of one submission.
pub const OUTCOME_LEAF: Domain = Domain([
    0x3f, 0x9d, 0x35, 0xf2, 0xa1, 0xbe, 0xa6, 0xbe, 0x47, 0x16, 0x0f, 0x1e, 0xae, 0x7a, 0xaa, 0x3f,
    0xdb, 0xdb, 0x59, 0xdb, 0x48, 0x39, 0xe9, 0xec, 0x7d, 0x0d, 0x82, 0x39, 0xbf, 0xbd, 0x60, 0x8e,
]);
/// An inner node over outcomes.
pub const OUTCOME_NODE: Domain = Domain([
    0x11, 0x4b, 0xfc, 0xbd, 0xf9, 0xf9, 0x40, 0x46, 0xf8, 0xa1, 0x03, 0x2a, 0x4b, 0xc3, 0x0e, 0x22,
    0xba, 0x04, 0xae, 0x53, 0x1e, 0xd1, 0x2f, 0xb8, 0xbb, 0x5c, 0x7a, 0xc8, 0x30, 0x5a, 0x1d, 0xd0,
]);
/// Count and peaks over the outcomes of a version.
pub const OUTCOMES_ROOT: Domain = Domain([
    0x4c, 0x87, 0x3a, 0x4a, 0x2d, 0x41, 0x49, 0x43, 0x86, 0x94, 0xce, 0x60, 0x33, 0x4d, 0x37, 0x53,
    0xa8, 0x3a, 0xaf, 0x60, 0x6f, 0x72, 0x44, 0xfa, 0xc8, 0xc1, 0x8a, 0x6c, 0x42, 0x65, 0x93, 0xdb,
]);
/// A commit record.
pub const COMMIT_ID: Domain = Domain([
    0x46, 0x0d, 0xe5, 0xc2, 0xc7, 0xd8, 0x2c, 0xf8, 0x91, 0xe8, 0x80, 0xbd, 0xe5, 0x04, 0x6c, 0x87,
    0x13, 0xaa, 0xe5, 0x68, 0x96, 0xc5, 0x2f, 0x25, 0x80, 0xa4, 0xda, 0x6a, 0x15, 0x82, 0x82, 0x0a,
]);
/// An earlier commit id.
pub const HISTORY_LEAF: Domain = Domain([
    0x4f, 0x84, 0xcd, 0x85, 0x08, 0x72, 0x80, 0xbf, 0x79, 0x46, 0x62, 0x5f, 0x51, 0xa9, 0xc4, 0xc3,
    0xcd, 0x1b, 0x9b, 0xdd, 0x9a, 0xa1, 0x06, 0xc2, 0x64, 0x63, 0x99, 0x1b, 0xd4, 0xfd, 0x6e, 0x78,
]);
/// An inner node over earlier commit ids.
pub const HISTORY_NODE: Domain = Domain([
    0xf8, 0x26, 0x34, 0x5a, 0xf3, 0xee, 0xad, 0x1c, 0xc7, 0xb4, 0x84, 0xaf, 0x08, 0x57, 0x7b, 0xa2,
    0xaa, 0xfc, 0xbd, 0x98, 0x0f, 0x1a, 0x12, 0xf2, 0x46, 0x1d, 0x2f, 0xbe, 0x64, 0xb0, 0x01, 0xa6,
]);
/// Count and peaks over earlier commit ids.
pub const HISTORY_ROOT: Domain = Domain([
    0xf2, 0x15, 0x91, 0x30, 0x16, 0x55, 0xbc, 0x9e, 0xb0, 0x00, 0x75, 0x5d, 0xfe, 0x76, 0x37, 0xb8,
    0x44, 0x77, 0x66, 0xfb, 0xb6, 0x27, 0x44, 0x59, 0x06, 0x53, 0x66, 0xdc, 0xdd, 0x19, 0x95, 0x45,
]);
/// The checksum of stored bytes (log frames, manifests, tree file).
pub const FRAME: Domain = Domain([
    0x26, 0xda, 0xbb, 0x93, 0x3a, 0x21, 0x08, 0xd8, 0x57, 0x78, 0x02, 0x69, 0x9a, 0xb2, 0x6d, 0xff,
    0x3a, 0x02, 0x53, 0xae, 0xf6, 0x0a, 0x32, 0xb0, 0xe3, 0x0d, 0xf0, 0xe5, 0xc0, 0x27, 0x97, 0x0a,
]);
/// The weights that fold many openings into one pairing check.
pub const OPENING_BATCH: Domain = Domain([
    0x42, 0x0e, 0xfe, 0x0c, 0x9e, 0x0f, 0xd2, 0x16, 0x37, 0x2c, 0x38, 0x29, 0x9e, 0x05, 0x90, 0x4b,
    0x8e, 0xad, 0x35, 0x26, 0xce, 0x0b, 0x83, 0xb4, 0x2e, 0xd7, 0xbc, 0x5f, 0x28, 0xab, 0xe0, 0x73,
]);
/// γ of an aggregate of openings.
pub const AGGREGATE_WEIGHT: Domain = Domain([
    0x68, 0x94, 0x50, 0x08, 0x34, 0x26, 0x4d, 0x41, 0x69, 0xbd, 0x0f, 0xa2, 0x21, 0x19, 0x17, 0x48,
    0x4d, 0xdb, 0x21, 0xac, 0x41, 0x1e, 0xb7, 0x11, 0x9a, 0x05, 0x87, 0xc8, 0x2f, 0xb3, 0x50, 0xa6,
]);
/// z of an aggregate of openings.
pub const AGGREGATE_POINT: Domain = Domain([
    0xce, 0x77, 0xac, 0xd4, 0x11, 0xa7, 0x56, 0xda, 0x7a, 0xd2, 0xa1, 0xec, 0x60, 0xae, 0x5a, 0x44,
    0x85, 0xa0, 0x0a, 0x82, 0xdb, 0x50, 0x29, 0xd9, 0xc8, 0x9c, 0xbe, 0x7a, 0x69, 0xdb, 0x14, 0xc3,
]);
/// Where an audit proof evaluates the polynomial of a KZG root.
pub const AUDIT_POINT: Domain = Domain([
    0x3f, 0x59, 0x9b, 0x50, 0x1b, 0x2d, 0x81, 0x41, 0xbc, 0x09, 0x56, 0xa3, 0xc0, 0x42, 0xda, 0x9c,
    0x09, 0xbe, 0x9c, 0xad, 0x15, 0xcf, 0xa7, 0xda, 0x6c, 0x0b, 0xea, 0xa7, 0x5f, 0x12, 0x6e, 0x55,
]);

impl Domain {
    /// The 32-byte key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.0
    }

    /// Keyed BLAKE3 of any bytes.
    pub fn hash(&self, bytes: &[u8]) -> Digest {
        keyed_hash(&self.0, bytes)
    }

    /// Keyed BLAKE3 of bytes that come in parts.
    pub fn hash_parts(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Keyed BLAKE3 of each pair, as many at a time as the machine has lanes.
    ///
    /// `digests` receives one digest for each pair, in order; what it held is discarded.
    pub fn hash_pairs(&self, pairs: &[Pair], digests: &mut Vec<Digest>) {
        // Not cleared before: every digest is overwritten.
        digests.resize(pairs.len(), ZERO);
        hash_lanes(Platform::detect(), &self.0, pairs.iter(), digests);
    }

    /// As [`Self::hash_pairs`], for the pairs at some places of a slice, in any order.
    ///
    /// The assembly of `blake3` 1.8.7 reads up to 48 bytes past the first of four inputs that remain: it
    /// expects the next behind it, as in the library's own calls. Here the first may be the last of the
    /// slice, whose memory may end with it. That one is hashed from a copy with room behind it.
    #[cfg(feature = "state")]
    pub(crate) fn hash_pairs_at(&self, pairs: &[Pair], places: &[u32], digests: &mut Vec<Digest>) {
        digests.resize(places.len(), ZERO);
        let with_room = [pairs.last().copied().unwrap_or([0; 64]), [0; 64]];
        let pairs = places.iter().map(|place| match *place as usize {
            place if place + 1 == pairs.len() => &with_room[0],
            place => &pairs[place],
        });
        hash_lanes(Platform::detect(), &self.0, pairs, digests);
    }
}

/// Lays two digests side by side.
pub fn pair(left: &Digest, right: &Digest) -> Pair {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    pair
}

/// Unkeyed BLAKE3: the digest of a value, and of a key in a tree without salt.
pub fn hash(bytes: &[u8]) -> Digest {
    match bytes.len() {
        ..=BLOCK_LEN => hash_block(Platform::detect(), INITIAL_WORDS, 0, bytes),
        _ => *blake3::hash(bytes).as_bytes(),
    }
}

/// Keyed BLAKE3 under any key.
pub(crate) fn keyed_hash(key: &[u8; 32], bytes: &[u8]) -> Digest {
    match bytes.len() {
        ..=BLOCK_LEN => {
            let key_words = blake3::platform::words_from_le_bytes_32(key);
            hash_block(Platform::detect(), key_words, KEYED_HASH, bytes)
        }
        _ => *blake3::keyed_hash(key, bytes).as_bytes(),
    }
}

/// Lower-case hexadecimal.
///
/// ```
/// assert_eq!(trunkline_core::hash::hex(&[0xc0, 0x01]), "c001");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// The chaining value that unkeyed hashing begins with (paper, section 2.2: the IV).
const INITIAL_WORDS: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Inputs handed to one `hash_many` call: enough to keep the widest lanes full twice over.
const LANES: usize = 2 * MAX_SIMD_DEGREE;

// BLAKE3 flags (paper, section 2.2). A 64-byte input is a single chunk of a single block.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// An input of at most one block, in the one compression that it takes. The library's own way there keeps
/// state for inputs of any length: 85 ns instead of 70.
fn hash_block(platform: Platform, mut chaining_words: [u32; 8], mode: u8, input: &[u8]) -> Digest {
    let mut block = [0; BLOCK_LEN];
    block[..input.len()].copy_from_slice(input);
    let flags = mode | CHUNK_START | CHUNK_END | ROOT;
    platform.compress_in_place(&mut chaining_words, &block, input.len() as u8, 0, flags);
    blake3::platform::le_bytes_from_words_32(&chaining_words)
}

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
            if bytes <= BLOCK_LEN {
                let words = blake3::platform::words_from_le_bytes_32(key);
                let portable = hash_block(Platform::Portable, words, KEYED_HASH, &input);
                assert_eq!(portable, keyed);
            }
        }
    }
}
