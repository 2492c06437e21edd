//! Histories and versions without their items: all digests except the shown one are made up, and the record has the
//! digest that results from them. So ranges can have up to 2^64 - 1 items, and a proof that breaks a rule about numbers
//! breaks no other rule.

use trunkline_core::evidence::Evidence;
use trunkline_core::history::{AncestorProof, ConsistencyProof, Inclusion};
use trunkline_core::record::CommitRecord;

use super::parts::{arbitraries, arbitrary};
use super::{ancestors, consistency, evidence};
use crate::model::{HISTORY, Hash, Names, OUTCOMES, TREE, Version, keyed};

const ALL: u64 = u64::MAX;
const POWER: u64 = 1 << 63;

/// Returns the heights of the peaks of a range, the largest first.
fn heights(count: u64) -> Vec<u32> {
    let heights = (0..64).rev();
    heights.filter(|height| count >> height & 1 == 1).collect()
}

/// Returns the index of the peak above an item, and its height.
fn own_peak(count: u64, index: u64) -> (usize, u32) {
    let mut end = 0_u128;
    for (place, height) in heights(count).into_iter().enumerate() {
        end += 1 << height;
        if u128::from(index) < end {
            return (place, height);
        }
    }
    unreachable!("no item has that index")
}

/// The numbers of siblings and of peaks that a proof has in excess.
pub(super) type More = [isize; 2];

/// Returns a made-up inclusion, and the resulting digest of the range.
fn inclusion(names: Names, count: u64, index: u64, item: &[u8], more: More) -> (Inclusion, Hash) {
    let (own, height) = own_peak(count, index);
    let siblings = arbitraries("sibling", (height as usize).strict_add_signed(more[0]));
    let mut peaks = arbitraries("peak", heights(count).len().strict_add_signed(more[1]));
    let mut folded = keyed(names.0, item);
    for (level, sibling) in siblings.iter().enumerate() {
        let pair = match index >> level & 1 {
            0 => [folded, *sibling],
            _ => [*sibling, folded],
        };
        folded = keyed(names.1, pair.as_flattened());
    }
    peaks[own] = folded;
    let digest = root(names, count, &peaks);
    peaks.remove(own);
    (Inclusion { siblings, peaks }, digest)
}

fn root(names: Names, count: u64, peaks: &[Hash]) -> Hash {
    let count = count.to_le_bytes();
    keyed(names.2, &[&count[..], peaks.as_flattened()].concat())
}

fn id_of(record: &CommitRecord) -> Hash {
    keyed("commit id", &record.encode())
}

/// Returns ancestor proofs. The first two are over 2^64 - 1 versions, the last two over 2^63 and one more.
pub(super) fn unbounded_ancestors() -> Vec<ancestors::Case> {
    let places = [
        (ALL, 0),
        (ALL, ALL - 1),
        (ALL, 1 << 62),
        (ALL - 1, ALL - 2),
        (POWER - 1, POWER / 3 * 2),
        (POWER, 0),
        (POWER, POWER - 1),
        (POWER + 1, POWER),
    ];
    let case = |(head, version)| ancestor(head, version, [0, 0]);
    places.map(case).into()
}

pub(super) fn ancestor(head: u64, version: u64, more: More) -> ancestors::Case {
    let commit_id = arbitrary("older version");
    let (inclusion, history_digest) = inclusion(HISTORY, head, version, &commit_id, more);
    let parent = match head - 1 == version {
        true => commit_id,
        false => arbitrary("parent"),
    };
    let record = CommitRecord {
        version: head,
        parent,
        history_digest,
        ..CommitRecord::genesis(TREE)
    };
    ancestors::Case {
        head: id_of(&record),
        proof: AncestorProof {
            head: record,
            version,
            commit_id,
            inclusion,
        },
    }
}

/// Returns consistency proofs. The first has no nodes, and the second has the most.
pub(super) fn unbounded_consistency() -> Vec<consistency::Case> {
    let ends = [
        (POWER - 1, POWER),
        (1, ALL),
        (ALL / 3, ALL / 3 * 2),
        (POWER, ALL),
        (ALL - 1, ALL),
    ];
    let case = |(older, head)| consistent(older, head, [0, 0]);
    ends.map(case).into()
}

/// Returns a consistency proof. `more` counts peaks and nodes.
pub(super) fn consistent(older: u64, head: u64, more: More) -> consistency::Case {
    let heights = heights(older);
    let peaks = arbitraries("peak", heights.len().strict_add_signed(more[0]));
    let older_record = CommitRecord {
        version: older,
        parent: arbitrary("parent"),
        history_digest: root(HISTORY, older, &peaks),
        ..CommitRecord::genesis(TREE)
    };
    let older_id = id_of(&older_record);
    let mut range: Vec<(u32, Hash)> = heights.into_iter().zip(peaks.clone()).collect();
    push(&mut range, 0, keyed(HISTORY.0, &older_id));
    let heights = node_heights(older + 1, head);
    let nodes = arbitraries("node", heights.len().strict_add_signed(more[1]));
    let heights = heights.into_iter().chain(std::iter::repeat(0));
    for (height, node) in heights.zip(&nodes) {
        push(&mut range, height, *node);
    }
    let all: Vec<Hash> = range.into_iter().map(|(_, peak)| peak).collect();
    let parent = match older + 1 == head {
        true => older_id,
        false => arbitrary("parent"),
    };
    let record = CommitRecord {
        version: head,
        parent,
        history_digest: root(HISTORY, head, &all),
        ..CommitRecord::genesis(TREE)
    };
    consistency::Case {
        older: older_id,
        head: id_of(&record),
        older_record: None,
        proof: ConsistencyProof {
            older: Some(older_record),
            head: record,
            peaks,
            nodes,
        },
    }
}

/// Returns the heights of the subtrees by which a range grows.
fn node_heights(mut count: u64, head: u64) -> Vec<u32> {
    let mut nodes = Vec::new();
    while count < head {
        let fits = |height: &u32| count.is_multiple_of(1 << height) && head - count >= 1 << height;
        let height = (0..64).rev().find(fits).unwrap();
        nodes.push(height);
        count += 1 << height;
    }
    nodes
}

fn push(range: &mut Vec<(u32, Hash)>, mut height: u32, mut peak: Hash) {
    while let Some((_, last)) = range.pop_if(|(last, _)| *last == height) {
        peak = keyed(HISTORY.1, [last, peak].as_flattened());
        height += 1;
    }
    range.push((height, peak));
}

/// Returns evidence about a submission of a version with this first and this last one. The later ones are left out.
pub(super) fn evidence(first: u64, sequence: u64, last: u64, more: More) -> evidence::Case {
    let version = Version::starting_at(sequence, 1);
    let outcome = version.outcomes[0].clone();
    let (inclusion, outcomes_digest) = match (last - first).checked_add(1) {
        Some(count) => inclusion(OUTCOMES, count, sequence - first, &outcome.encode(), more),
        // A version cannot have that many.
        None => Default::default(),
    };
    let record = CommitRecord {
        first_sequence: first,
        last_sequence: last,
        outcomes_digest,
        ..version.record.clone()
    };
    evidence::Case {
        promised: version.promised(0),
        id: id_of(&record),
        evidence: Evidence {
            record,
            outcome,
            inclusion,
            provisional_before: version.provisional_roots[0],
            later: Vec::new(),
        },
    }
}
