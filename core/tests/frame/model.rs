//! Frames and beginnings by definition: protobuf written by hand, BLAKE3 by its own library, and a literal block of
//! LZ4.

use ed25519_dalek::{Signer, SigningKey};
use trunkline_testkit::wire_mutations::{Content, Message};

pub(crate) type Hash = [u8; 32];

/// The seeds of three keys.
pub(crate) const SEEDS: [Hash; 3] = [[1; 32], [2; 32], [3; 32]];

pub(crate) fn signing_key(seed: &Hash) -> SigningKey {
    SigningKey::from_bytes(seed)
}

pub(crate) fn public_key(seed: &Hash) -> Hash {
    signing_key(seed).verifying_key().to_bytes()
}

fn keyed(name: &str, bytes: &[u8]) -> Hash {
    let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
    *blake3::keyed_hash(&key, bytes).as_bytes()
}

fn signed(seed: &Hash, name: &str, covered: &[u8]) -> [u8; 64] {
    let message = [
        format!("trunkline v1 {name}").as_bytes(),
        &keyed(name, covered),
    ]
    .concat();
    signing_key(seed).sign(&message).to_bytes()
}

/// An entry of the log, by its parts.
#[derive(Clone)]
pub(crate) struct NaiveEntry {
    pub(crate) tree_id: Hash,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) metadata: Vec<u8>,
    pub(crate) kzg_root: Option<[u8; 48]>,
    pub(crate) outcomes: Vec<u8>,
    pub(crate) effects: Vec<u8>,
}

impl NaiveEntry {
    /// Returns an entry whose effects repeat a word.
    pub(crate) fn example() -> Self {
        Self {
            tree_id: [0x71; 32],
            version: 3,
            epoch: 2,
            metadata: b"why".to_vec(),
            kzg_root: None,
            outcomes: b"outcomes".to_vec(),
            effects: b"put".repeat(40),
        }
    }

    pub(crate) fn with_root() -> Self {
        let mut root = [0; 48];
        root[0] = 0xc0;
        Self {
            kzg_root: Some(root),
            ..Self::example()
        }
    }

    /// Returns the shortest entry.
    pub(crate) fn least() -> Self {
        Self {
            metadata: Vec::new(),
            outcomes: Vec::new(),
            effects: vec![0],
            ..Self::example()
        }
    }

    pub(crate) fn record(&self) -> Vec<u8> {
        [
            &2_u16.to_le_bytes()[..],
            &self.tree_id,
            &self.version.to_le_bytes(),
            &[0x70; 32],
            &self.epoch.to_le_bytes(),
            &11_u64.to_le_bytes(),
            &12_u64.to_le_bytes(),
            &[0x72; 32],
            &[0x6f; 32],
            &[0x73; 32],
            &40_u64.to_le_bytes(),
            &[0x68; 32],
            &(self.metadata.len() as u16).to_le_bytes(),
            &self.metadata,
        ]
        .concat()
    }

    pub(crate) fn commit_id(&self) -> Hash {
        keyed("commit id", &self.record())
    }

    pub(crate) fn sign(&self, seed: &Hash) -> [u8; 64] {
        signed(seed, "frame signature", &self.covered())
    }

    /// Returns the signature of a beginning over a frame's content.
    pub(crate) fn sign_in_the_other_domain(&self, seed: &Hash) -> [u8; 64] {
        signed(seed, "beginning signature", &self.covered())
    }

    fn covered(&self) -> Vec<u8> {
        let root = match &self.kzg_root {
            Some(root) => [&[1], &root[..]].concat(),
            None => vec![0],
        };
        [
            &self.tree_id[..],
            &self.epoch.to_le_bytes(),
            &self.version.to_le_bytes(),
            &self.commit_id(),
            &root,
            blake3::hash(&self.outcomes).as_bytes(),
            blake3::hash(&self.effects).as_bytes(),
        ]
        .concat()
    }

    pub(crate) fn plain(&self, signature: &[u8]) -> Message {
        let [outcomes, effects] = [&self.outcomes, &self.effects];
        self.message(signature, [0; 3], outcomes, effects)
    }

    /// Encodes the outcomes as literals, and the effects as a repeated word.
    pub(crate) fn compressed(&self, signature: &[u8]) -> Message {
        let lengths = [1, self.outcomes.len() as u64, self.effects.len() as u64];
        let effects = repeating_block(&self.effects);
        self.message(signature, lengths, &literal_block(&self.outcomes), &effects)
    }

    fn message(
        &self,
        signature: &[u8],
        codec_and_lengths: [u64; 3],
        outcomes: &[u8],
        effects: &[u8],
    ) -> Message {
        let [codec, outcomes_bytes, effects_bytes] = codec_and_lengths.map(Content::Number);
        Message::new([
            Content::Number(2),
            Content::Bytes(self.record()),
            Content::Bytes(self.kzg_root.map(Vec::from).unwrap_or_default()),
            Content::Bytes(signature.to_vec()),
            codec,
            outcomes_bytes,
            effects_bytes,
            Content::Bytes(outcomes.to_vec()),
            Content::Bytes(effects.to_vec()),
        ])
    }
}

/// Returns a block of LZ4 without matches, of up to 14 bytes.
pub(crate) fn literal_block(content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 15);
    match content {
        [] => Vec::new(),
        _ => [&[(content.len() as u8) << 4], content].concat(),
    }
}

/// Returns a block of LZ4 for three repeated bytes: the bytes, a match, and the last five as literals.
fn repeating_block(content: &[u8]) -> Vec<u8> {
    let more = content.len() - 3 - 5 - 4 - 15;
    assert!(more < 255 && content.iter().zip(&content[3..]).all(|(a, b)| a == b));
    let last = &content[content.len() - 5..];
    let matched = [3, 0, more as u8];
    [&[0x3f], &content[..3], &matched, &[0x50], last].concat()
}

/// The beginning of an epoch.
#[derive(Clone, Copy)]
pub(crate) struct NaiveBeginning {
    pub(crate) nonce: [u8; 16],
    pub(crate) salt: Option<Hash>,
    pub(crate) collision: u8,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) commit_id: Hash,
}

impl NaiveBeginning {
    pub(crate) fn example() -> Self {
        Self {
            nonce: *b"trunkline vector",
            salt: Some([5; 32]),
            collision: 2,
            epoch: 4,
            version: 9,
            commit_id: [0x63; 32],
        }
    }

    /// Returns the beginning of a new tree without salt.
    pub(crate) fn least() -> Self {
        Self {
            salt: None,
            collision: 0,
            epoch: 1,
            version: 0,
            ..Self::example()
        }
    }

    pub(crate) fn tree_id(&self) -> Hash {
        let ceremony: Hash =
            hex_array("201eccd8ba10d3700d0e32d1b255e11f3a95a8f592326aaa5e6a0a5fe6508870");
        let fields = [
            &[2, 0, 128, 0, 8, 56][..],
            &self.nonce,
            &[u8::from(self.salt.is_some())],
            &self.salt.unwrap_or_default(),
            &[self.collision, 16],
            &blake3::derive_key("trunkline v1 leaf", &[]),
            &blake3::derive_key("trunkline v1 inner", &[]),
            &blake3::derive_key("trunkline v1 bucket", &[]),
            &ceremony,
        ];
        keyed("tree id", &fields.concat())
    }

    pub(crate) fn sign(&self, seed: &Hash) -> [u8; 64] {
        signed(seed, "beginning signature", &self.covered())
    }

    /// Returns the signature of a frame over a beginning's content.
    pub(crate) fn sign_in_the_other_domain(&self, seed: &Hash) -> [u8; 64] {
        signed(seed, "frame signature", &self.covered())
    }

    fn covered(&self) -> Vec<u8> {
        [
            &self.tree_id()[..],
            &self.epoch.to_le_bytes(),
            &self.version.to_le_bytes(),
            &self.commit_id,
        ]
        .concat()
    }

    pub(crate) fn message(&self, signature: &[u8]) -> Message {
        Message::new([
            Content::Number(2),
            Content::Bytes(self.nonce.to_vec()),
            Content::Bytes(self.salt.map(Vec::from).unwrap_or_default()),
            Content::Number(self.collision.into()),
            Content::Number(self.epoch),
            Content::Number(self.version),
            Content::Bytes(self.commit_id.to_vec()),
            Content::Bytes(signature.to_vec()),
        ])
    }
}

pub(crate) fn hex_array<const N: usize>(digits: &str) -> [u8; N] {
    hex::decode(digits).unwrap().try_into().unwrap()
}

/// The order of the group, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// Returns a signature with its S raised by the order of the group: another form of the same number.
pub(crate) fn with_larger_s(signature: &[u8; 64]) -> [u8; 64] {
    let mut larger = *signature;
    let mut carry = 0;
    for (byte, add) in larger[32..].iter_mut().zip(hex_array::<32>(ORDER)) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    larger
}
