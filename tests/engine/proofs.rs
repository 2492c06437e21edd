//! Proofs of snapshots, and audits.

use trunkline::config::KzgMode;
use trunkline::core::audit::{self, AuditBinding, AuditProof};
use trunkline::core::params::CollisionPolicy;
use trunkline::core::proof::{Claim, Expected, TopOpening, advance, verify, verify_versions};
use trunkline::{
    Config, Engine, ProveOptions, ShownValues, Snapshot, SnapshotProveError, TopKind,
    prove_versions,
};

use crate::support::*;

/// Returns a snapshot after each put of these values of "a", in a state with some other keys.
fn versions<const N: usize>(engine: &Engine, values: [&'static str; N]) -> [Snapshot; N] {
    submit(engine, puts([("b", "1"), ("c", "2"), ("d", "3")]));
    values.map(|value| {
        submit(engine, puts([("a", value)]));
        engine.drain_blocking().unwrap();
        engine.snapshot()
    })
}

fn with(top: TopKind, values: ShownValues) -> ProveOptions {
    ProveOptions { top, values }
}

fn present(value: &str) -> Option<Claim> {
    Some(Claim::Present(value.into()))
}

#[test]
fn several_versions_are_one_proof_in_any_order() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let [one, two] = versions(&engine, ["1", "2"]);
        for top in [TopKind::Kzg, TopKind::Hash] {
            let parts = [(&two, vec!["a", "nobody"]), (&one, vec!["a"])];
            let proof = prove_versions(&parts, &with(top, ShownValues::All)).unwrap();
            let trusted = [&one, &two].map(|snapshot| Expected::Root(snapshot.root()));
            let verified = verify_versions(&proof, &trusted).unwrap();
            assert_eq!(verified[0].claim(b"a").cloned(), present("1"));
            assert_eq!(verified[1].claim(b"a").cloned(), present("2"));
            assert_eq!(verified[1].claim(b"nobody"), Some(&Claim::Absent));
            let is_aggregate = matches!(proof.opening, Some(TopOpening::Aggregate(_)));
            assert_eq!(is_aggregate, top == TopKind::Kzg);
        }
    });
}

#[test]
fn one_version_twice_or_two_trees_or_none_are_refused() {
    without_hanging(|| {
        let other_tree = |config: &mut Config| config.tree.collision = CollisionPolicy::Reject;
        let (rig, other_rig) = (Rig::new(), Rig::with(other_tree));
        let (engine, other) = (rig.open(), other_rig.open());
        let [one] = versions(&engine, ["1"]);
        let foreign = other.snapshot();
        let options = ProveOptions::default();
        let refused = |parts: &[(&Snapshot, [&str; 1])]| {
            matches!(
                prove_versions(parts, &options),
                Err(SnapshotProveError::Versions)
            )
        };
        assert!(refused(&[(&one, ["a"]), (&one, ["b"])]));
        assert!(refused(&[(&one, ["a"]), (&foreign, ["a"])]));
        assert!(refused(&[]));
    });
}

#[test]
fn values_are_shown_or_their_hashes() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let [snapshot] = versions(&engine, ["12345"]);
        let claims = |values| {
            let proof = snapshot.prove_with(["a", "b", "x"], &with(TopKind::Hash, values));
            let proof = proof.unwrap();
            let verified = verify(&proof, &Expected::Root(snapshot.root())).unwrap();
            ["a", "b", "x"].map(|key| verified.claim(key.as_bytes()).cloned().unwrap())
        };
        let hash = |value: &[u8]| Claim::PresentHash(trunkline::core::hash::hash(value));
        let shown = |value: &str| Claim::Present(value.into());
        let up_to = |value_bytes_max| ShownValues::UpTo { value_bytes_max };
        assert_eq!(
            claims(ShownValues::All),
            [shown("12345"), shown("1"), Claim::Absent]
        );
        assert_eq!(
            claims(up_to(5)),
            [shown("12345"), shown("1"), Claim::Absent]
        );
        assert_eq!(
            claims(up_to(4)),
            [hash(b"12345"), shown("1"), Claim::Absent]
        );
        assert_eq!(
            claims(ShownValues::None),
            [hash(b"12345"), hash(b"1"), Claim::Absent]
        );
    });
}

#[test]
fn a_proof_for_each_key_is_the_one_that_the_key_has_alone() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let [snapshot] = versions(&engine, ["1"]);
        let keys = ["d", "nobody", "a", "d", "b"];
        for top in [TopKind::Kzg, TopKind::Hash] {
            let each = snapshot
                .prove_each(&keys, &with(top, ShownValues::All))
                .unwrap();
            let alone = keys.map(|key| snapshot.prove([key], top).unwrap());
            assert_eq!(each, alone);
        }
        let refused = snapshot.prove_each(&["a", ""], &ProveOptions::default());
        assert!(matches!(refused, Err(SnapshotProveError::Keys(_))));
    });
}

#[test]
fn a_proof_is_advanced_by_the_proof_of_what_was_written() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let [one, two] = versions(&engine, ["1", "2"]);
        let old = one.prove(["b", "a", "nobody"], TopKind::Hash).unwrap();
        let change = two.prove(["a"], TopKind::Hash).unwrap();
        let moved = advance(&old, &change).unwrap();
        assert_eq!(
            moved,
            two.prove(["b", "a", "nobody"], TopKind::Hash).unwrap()
        );
        assert!(verify(&moved, &Expected::CommitId(two.commit_id())).is_ok());
    });
}

#[test]
fn aggregates_are_counted() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let [snapshot] = versions(&engine, ["1"]);
        snapshot.prove(["a"], TopKind::Kzg).unwrap();
        assert_eq!(engine.metrics().aggregates_computed, 0);
        snapshot.prove(["a", "b", "c", "d"], TopKind::Kzg).unwrap();
        assert_eq!(engine.metrics().aggregates_computed, 1);
        assert_eq!(engine.metrics().openings_computed, 1);
    });
}

#[test]
fn an_audit_holds_at_every_version_in_every_kzg_mode() {
    without_hanging(|| {
        for mode in [KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand] {
            let rig = Rig::with(|config| config.kzg.mode = mode);
            let engine = rig.open();
            let mut snapshots = vec![engine.snapshot()];
            for round in 0..3 {
                put(&engine, "a", &round.to_string());
                snapshots.push(engine.snapshot());
            }
            submit(&engine, puts((0..500).map(|key| (key.to_string(), "v"))));
            snapshots.push(engine.snapshot());
            for snapshot in snapshots {
                let bytes = snapshot.audit().encode().unwrap();
                let audit = AuditProof::decode(&bytes).unwrap();
                for trusted in [
                    Expected::CommitId(snapshot.commit_id()),
                    Expected::Root(snapshot.root()),
                ] {
                    let verified = audit::verify(&audit, &trusted).unwrap();
                    assert_eq!(verified.binding, AuditBinding::BothRoots);
                    assert_eq!(verified.trusted_version, Some(snapshot.version()));
                    assert_eq!(verified.kzg_root, snapshot.kzg_root());
                    assert_eq!(verified.trusted_record, Some(snapshot.record()));
                }
            }
        }
    });
}
