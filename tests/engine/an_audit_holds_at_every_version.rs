use trunkline::config::KzgMode;
use trunkline::core::audit::{AuditBinding, AuditProof, verify};
use trunkline::core::proof::Expected;

use crate::support::{Rig, put, puts, submit, without_hanging};

#[test]
fn in_every_mode_of_commitment() {
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
                    let verified = verify(&audit, &trusted).unwrap();
                    assert_eq!(verified.binding, AuditBinding::BothRoots);
                    assert_eq!(verified.trusted_version, Some(snapshot.version()));
                    assert_eq!(verified.kzg_root, snapshot.kzg_root());
                    assert_eq!(verified.trusted_record, Some(snapshot.record()));
                }
            }
        }
    });
}
