use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_core::audit::{AuditProof, verify};
use trunkline_core::proof::Expected;

use crate::fixture;

static AUDIT: LazyLock<(AuditProof, Vec<u8>)> = LazyLock::new(|| {
    let proof = fixture::audit();
    let bytes = proof.encode().unwrap();
    (proof, bytes)
});

/// Checks that decoded input encodes to the same bytes, and verifies it.
fn handle(bytes: &[u8]) {
    if let Ok(proof) = AuditProof::decode(bytes) {
        assert_eq!(proof.encode().unwrap(), bytes);
        let _ = verify(&proof, &Expected::Carried);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_bytes_are_handled(bytes in vec(any::<u8>(), 0..400)) {
        handle(&bytes);
    }

    #[test]
    fn changed_bytes_prove_nothing_else(
        place in any::<prop::sample::Index>(),
        change in 1..=u8::MAX,
    ) {
        let (proof, bytes) = &*AUDIT;
        let mut bytes = bytes.clone();
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        handle(&bytes);
        if let Ok(changed) = AuditProof::decode(&bytes) {
            let trusted = Expected::CommitId(fixture::root(proof).commit_id);
            prop_assert!(verify(&changed, &trusted).is_err());
        }
    }

    #[test]
    fn cut_bytes_are_handled(end in any::<prop::sample::Index>()) {
        let bytes = &AUDIT.1;
        prop_assert!(AuditProof::decode(&bytes[..end.index(bytes.len())]).is_err());
    }
}
