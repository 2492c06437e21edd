//! A proof as bytes: the protobuf message of `proto/trunkline/proof/v1/proof.proto`, in the only form that each proof
//! has.
//!
//! Decoding does not verify.

use alloc::vec::Vec;

use prost::Message;

use super::form::{Counts, check_members, check_siblings, check_top_siblings};
use super::siblings::bits_set;
use super::{
    Claim, Entry, PROOF_BYTES_MAX, Place, Proof, ProofFormError, ShownLeaf, Siblings,
    SiblingsError, Terminal, Top, TopOpening, VersionProof,
};
use crate::hash::Digest;
use crate::kzg::{AggregateProof, G1Bytes};
use crate::params::{FORMAT, PATH_BITS, Salt, TreeParams};
use crate::record::{CommitRecord, RecordError};
use crate::wire::{collision, optional};

/// The generated messages. They are private, so that no unchecked proof leaves this module.
mod proto {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/trunkline.proof.v1.rs"));
}

// Field numbers of `proof.proto` that are counted before anything is allocated for them.
const VERSIONS_FIELD: u64 = 4;
const ENTRIES_FIELD: u64 = 3;
const TERMINALS_FIELD: u64 = 4;
const EMPTY_SIBLINGS_FIELD: u64 = 5;
const SIBLINGS_FIELD: u64 = 6;
const HASH_TOP_FIELD: u64 = 8;
// Field numbers of a hash top.
const TOP_EMPTY_SIBLINGS_FIELD: u64 = 1;
const TOP_SIBLINGS_FIELD: u64 = 2;

/// The reason why bytes are not a proof.
///
/// ```
/// use trunkline_core::proof::*;
/// # use trunkline_core::{hash::ZERO, params::TreeParams};
/// # let proof = Proof {
/// #     params: TreeParams::default(),
/// #     versions: vec![VersionProof {
/// #         version: 0,
/// #         record: None,
/// #         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
/// #         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
/// #         siblings: Siblings::default(),
/// #         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
/// #     }],
/// #     opening: None,
/// # };
/// let mut bytes = proof.encode()?;
/// assert_eq!(Proof::decode(&bytes[1..]), Err(DecodeProofError::Field)); // cut
/// bytes.extend([15 << 3, 1]); // a field that protobuf readers skip
/// assert_eq!(Proof::decode(&bytes), Err(DecodeProofError::NotCanonical));
/// # Ok::<(), ProofFormError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeProofError {
    /// The bytes are not valid protobuf.
    #[error("the bytes are not a protobuf proof: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The outermost message is truncated, or has a field that no proof has.
    #[error("the bytes are not a protobuf proof: a field is truncated or of an unknown kind")]
    Field,
    /// The message has another encoding: fields are out of order or unknown, or default values are written.
    #[error("the proof is not in canonical form; use the encoder of this library")]
    NotCanonical,
    /// The proof has another format.
    #[error(
        "a proof of format {0}; this build reads format {FORMAT}: ask for one of that format, or use a build that reads it"
    )]
    Format(u32),
    /// A number is not that of a collision policy.
    #[error("collision policy {0} is unknown; 0, 1 and 2 are known")]
    Collision(i32),
    /// A field of fixed length has another length.
    #[error("{what} has {expected} bytes, not {found}")]
    Length {
        /// Name of the field.
        what: &'static str,
        /// Length of the field.
        expected: usize,
        /// The actual length.
        found: usize,
    },
    /// An opening has neither the length of one point nor of two.
    #[error("an opening has 48 bytes, or 96 if it opens more than one slot, not {0}")]
    OpeningLength(usize),
    /// A required part is missing.
    #[error("the proof has no {0}")]
    Missing(&'static str),
    /// The commit record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A bitmap and a list of digests are not siblings.
    #[error(transparent)]
    Siblings(#[from] SiblingsError),
    /// A count, length or depth is out of bounds.
    #[error(transparent)]
    Form(#[from] ProofFormError),
}

impl Proof {
    /// Decodes a proof. Nothing is allocated for more parts than a proof may have, and only the bytes that
    /// [`Self::encode`] returns are accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeProofError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofFormError::Bytes(bytes.len()).into());
        }
        check_outline(bytes)?;
        let message = proto::Proof::decode(bytes)?;
        // The format is checked before the form: another format may have other fields.
        if message.format != u32::from(FORMAT) {
            return Err(DecodeProofError::Format(message.format));
        }
        if message.encoded_len() != bytes.len() || message.encode_to_vec() != bytes {
            return Err(DecodeProofError::NotCanonical);
        }
        let proof = read_proof(message)?;
        proof.check_form()?;
        Ok(proof)
    }

    /// Returns the canonical bytes, or the bound that the proof exceeds.
    pub fn encode(&self) -> Result<Vec<u8>, ProofFormError> {
        self.check_form()?;
        let message = write_proof(self);
        match message.encoded_len() {
            length if length > PROOF_BYTES_MAX => Err(ProofFormError::Bytes(length)),
            _ => Ok(message.encode_to_vec()),
        }
    }
}

/// Counts versions and their parts without decoding them: two bytes on the wire would take a hundred in memory, and one
/// bit of a bitmap represents a digest.
fn check_outline(mut bytes: &[u8]) -> Result<(), DecodeProofError> {
    let mut counts = Counts::default();
    while !bytes.is_empty() {
        let field = take_field(&mut bytes).ok_or(DecodeProofError::Field)?;
        if field.number == VERSIONS_FIELD {
            let parts = count_parts(field.content)?;
            counts.add(parts.entries, parts.terminals)?;
            check_siblings(parts.siblings, parts.terminals)?;
            check_top_siblings(parts.top_siblings, parts.terminals)?;
        }
    }
    Ok(counts.check()?)
}

/// The numbers of parts of a version.
#[derive(Default)]
struct Parts {
    entries: usize,
    terminals: usize,
    siblings: usize,
    top_siblings: usize,
}

/// Counts the parts of a version.
fn count_parts(mut bytes: &[u8]) -> Result<Parts, DecodeProofError> {
    let mut parts = Parts::default();
    while !bytes.is_empty() {
        let field = take_field(&mut bytes).ok_or(DecodeProofError::Field)?;
        match field.number {
            ENTRIES_FIELD => parts.entries += 1,
            TERMINALS_FIELD => parts.terminals += 1,
            EMPTY_SIBLINGS_FIELD => parts.siblings += bits_set(field.content),
            SIBLINGS_FIELD => parts.siblings += field.content.len() / 32,
            HASH_TOP_FIELD => parts.top_siblings += count_top_siblings(field.content)?,
            _ => {}
        }
    }
    Ok(parts)
}

/// Counts the siblings of a hash top.
fn count_top_siblings(mut bytes: &[u8]) -> Result<usize, DecodeProofError> {
    let mut siblings = 0;
    while !bytes.is_empty() {
        let field = take_field(&mut bytes).ok_or(DecodeProofError::Field)?;
        siblings += match field.number {
            TOP_EMPTY_SIBLINGS_FIELD => bits_set(field.content),
            TOP_SIBLINGS_FIELD => field.content.len() / 32,
            _ => 0,
        };
    }
    Ok(siblings)
}

/// A field of a message: empty content if it is a varint.
struct Field<'a> {
    number: u64,
    content: &'a [u8],
}

/// Takes one field off the front; `None` if it is truncated or neither a varint nor length-delimited.
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    const VARINT: u64 = 0;
    const LENGTH_DELIMITED: u64 = 2;
    let tag = take_varint(bytes)?;
    let value = take_varint(bytes)?;
    let length = match tag & 7 {
        VARINT => 0,
        LENGTH_DELIMITED => usize::try_from(value).ok()?,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Field {
        number: tag >> 3,
        content,
    })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn read_proof(message: proto::Proof) -> Result<Proof, DecodeProofError> {
    Ok(Proof {
        params: TreeParams {
            nonce: array(&message.nonce, "a nonce")?,
            salt: optional(&message.salt, |salt| array(salt, "a salt").map(Salt::new))?,
            collision: collision(message.collision)
                .ok_or(DecodeProofError::Collision(message.collision))?,
        },
        versions: read_each(message.versions, read_version)?,
        opening: optional(&message.opening, read_opening)?,
    })
}

fn read_version(version: proto::VersionProof) -> Result<VersionProof, DecodeProofError> {
    Ok(VersionProof {
        version: version.version,
        record: optional(&version.record, CommitRecord::decode)?,
        entries: read_each(version.entries, read_entry)?,
        terminals: read_each(version.terminals, read_terminal)?,
        siblings: Siblings::from_wire(version.empty_siblings, &version.siblings)?,
        top: read_top(version.top.ok_or(DecodeProofError::Missing("top"))?)?,
    })
}

fn read_each<M, T>(
    messages: Vec<M>,
    read: impl FnMut(M) -> Result<T, DecodeProofError>,
) -> Result<Vec<T>, DecodeProofError> {
    messages.into_iter().map(read).collect()
}

fn read_entry(entry: proto::Entry) -> Result<Entry, DecodeProofError> {
    use proto::entry::Claim as Wire;
    let claim = match entry.claim.ok_or(DecodeProofError::Missing("claim"))? {
        Wire::Value(value) => Claim::Present(value),
        Wire::ValueHash(value_hash) => Claim::PresentHash(array(&value_hash, "a value hash")?),
        Wire::Absent(proto::Nothing {}) => Claim::Absent,
    };
    Ok(Entry {
        key: entry.key,
        claim,
    })
}

fn read_terminal(terminal: proto::Terminal) -> Result<Terminal, DecodeProofError> {
    use proto::terminal::Place as Wire;
    let depth = match u8::try_from(terminal.depth) {
        Ok(depth) if u32::from(depth) <= PATH_BITS => depth,
        _ => return Err(ProofFormError::Depth(terminal.depth).into()),
    };
    let place = match terminal.place.ok_or(DecodeProofError::Missing("place"))? {
        Wire::Empty(proto::Nothing {}) => Place::Empty,
        Wire::OwnLeaf(proto::Nothing {}) => Place::OwnLeaf,
        Wire::OtherLeaf(leaf) => Place::OtherLeaf(read_leaf(&array(&leaf, "another leaf")?)),
        Wire::Bucket(members) => Place::Bucket(read_members(&members)?),
    };
    Ok(Terminal { depth, place })
}

fn read_members(bytes: &[u8]) -> Result<Vec<ShownLeaf>, DecodeProofError> {
    let (members, rest) = bytes.as_chunks::<64>();
    if !rest.is_empty() {
        return Err(DecodeProofError::Length {
            what: "a bucket",
            expected: members.len() * 64,
            found: bytes.len(),
        });
    }
    check_members(members.len())?;
    Ok(members.iter().map(read_leaf).collect())
}

fn read_leaf(bytes: &[u8; 64]) -> ShownLeaf {
    let mut leaf = ShownLeaf {
        key_hash: [0; 32],
        value_hash: [0; 32],
    };
    leaf.key_hash.copy_from_slice(&bytes[..32]);
    leaf.value_hash.copy_from_slice(&bytes[32..]);
    leaf
}

fn read_top(top: proto::version_proof::Top) -> Result<Top, DecodeProofError> {
    match top {
        proto::version_proof::Top::KzgRoot(kzg_root) => Ok(Top::Kzg {
            kzg_root: array(&kzg_root, "a KZG root")?,
        }),
        proto::version_proof::Top::Hash(hash) => Ok(Top::Hash {
            siblings: Siblings::from_wire(hash.empty_siblings, &hash.siblings)?,
        }),
    }
}

/// Decodes an opening: 48 bytes for one slot, 96 for more.
fn read_opening(bytes: &[u8]) -> Result<TopOpening, DecodeProofError> {
    match bytes.as_chunks::<48>() {
        ([single], []) => Ok(TopOpening::Single(G1Bytes(*single))),
        ([quotient, opening], []) => Ok(TopOpening::Aggregate(AggregateProof {
            quotient: G1Bytes(*quotient),
            opening: G1Bytes(*opening),
        })),
        _ => Err(DecodeProofError::OpeningLength(bytes.len())),
    }
}

fn array<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], DecodeProofError> {
    bytes.try_into().map_err(|_| DecodeProofError::Length {
        what,
        expected: N,
        found: bytes.len(),
    })
}

fn write_proof(proof: &Proof) -> proto::Proof {
    proto::Proof {
        format: u32::from(FORMAT),
        salt: proof.params.salt_bytes().map_or_else(Vec::new, Vec::from),
        collision: proof.params.collision as i32,
        versions: proof.versions.iter().map(write_version).collect(),
        opening: match &proof.opening {
            None => Vec::new(),
            Some(TopOpening::Single(opening)) => opening.0.to_vec(),
            Some(TopOpening::Aggregate(proof)) => [proof.quotient.0, proof.opening.0].concat(),
        },
        nonce: proof.params.nonce.to_vec(),
    }
}

fn write_version(version: &VersionProof) -> proto::VersionProof {
    let record = version.record.as_ref();
    proto::VersionProof {
        version: version.version,
        record: record.map_or_else(Vec::new, CommitRecord::encode),
        entries: version.entries.iter().map(write_entry).collect(),
        terminals: version.terminals.iter().map(write_terminal).collect(),
        empty_siblings: version.siblings.bitmap().to_vec(),
        siblings: version.siblings.listed().to_vec(),
        top: Some(write_top(&version.top)),
    }
}

fn write_entry(entry: &Entry) -> proto::Entry {
    use proto::entry::Claim as Wire;
    let claim = match &entry.claim {
        Claim::Present(value) => Wire::Value(value.clone()),
        Claim::PresentHash(value_hash) => Wire::ValueHash(value_hash.to_vec()),
        Claim::Absent => Wire::Absent(proto::Nothing {}),
    };
    proto::Entry {
        key: entry.key.clone(),
        claim: Some(claim),
    }
}

fn write_terminal(terminal: &Terminal) -> proto::Terminal {
    use proto::terminal::Place as Wire;
    let place = match &terminal.place {
        Place::Empty => Wire::Empty(proto::Nothing {}),
        Place::OwnLeaf => Wire::OwnLeaf(proto::Nothing {}),
        Place::OtherLeaf(leaf) => Wire::OtherLeaf(write_leaf(leaf).as_flattened().to_vec()),
        Place::Bucket(members) => {
            Wire::Bucket(members.iter().flat_map(write_leaf).flatten().collect())
        }
    };
    proto::Terminal {
        depth: u32::from(terminal.depth),
        place: Some(place),
    }
}

fn write_leaf(leaf: &ShownLeaf) -> [Digest; 2] {
    [leaf.key_hash, leaf.value_hash]
}

fn write_top(top: &Top) -> proto::version_proof::Top {
    match top {
        Top::Kzg { kzg_root } => proto::version_proof::Top::KzgRoot(kzg_root.to_vec()),
        Top::Hash { siblings } => proto::version_proof::Top::Hash(proto::HashTop {
            empty_siblings: siblings.bitmap().to_vec(),
            siblings: siblings.listed().to_vec(),
        }),
    }
}
