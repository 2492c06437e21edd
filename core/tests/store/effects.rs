use std::sync::LazyLock;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use trunkline_core::params::{KEY_BYTES_MAX, Salt, TreeParams, VALUE_BYTES_MAX};
use trunkline_core::store::effect::{Effect, EffectsError, decode_effects, encode_effects};

static PARAMS: LazyLock<TreeParams> = LazyLock::new(|| TreeParams {
    salt: Some(Salt::new([3; 32])),
    ..TreeParams::default()
});

/// A key with its new value, if any.
type Change = (Vec<u8>, Option<Vec<u8>>);

fn effect((key, change): &Change) -> Effect<'_> {
    Effect {
        key_hash: PARAMS.key_hash(key),
        key,
        change: change.as_deref(),
    }
}

fn sorted<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<Effect<'a>> {
    let mut effects: Vec<Effect<'_>> = changes.into_iter().map(effect).collect();
    effects.sort_by_key(|effect| effect.key_hash);
    effects
}

fn encoded(effects: &[Effect<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_effects(effects.iter().copied(), &mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn effects_round_trip(
        changes in btree_map(vec(any::<u8>(), 1..40), any::<Option<Vec<u8>>>(), 0..30)
    ) {
        let changes: Vec<Change> = changes.into_iter().collect();
        let effects = sorted(&changes);
        let bytes = encoded(&effects);
        prop_assert_eq!(decode_effects(&PARAMS, &bytes), Ok(effects));
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in vec(any::<u8>(), 0..60)) {
        if let Ok(effects) = decode_effects(&PARAMS, &bytes) {
            prop_assert_eq!(encoded(&effects), bytes.clone());
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_gives_other_effects_that_encode_to_it(
        index in any::<prop::sample::Index>(),
        bits in 1_u8..,
    ) {
        let changes: Vec<Change> =
            (0..9_u8).map(|i| (vec![i + 1; 4], (i % 3 > 0).then(|| vec![i; 200]))).collect();
        let effects = sorted(&changes);
        let mut bytes = encoded(&effects);
        let index = index.index(bytes.len());
        bytes[index] ^= bits;
        if let Ok(others) = decode_effects(&PARAMS, &bytes) {
            prop_assert_ne!(&others, &effects);
            prop_assert_eq!(encoded(&others), bytes.clone());
        }
    }
}

#[test]
fn bounds_and_order_are_held_on_both_sides() {
    let refused = |effects: &[Effect<'_>]| {
        encode_effects(effects.iter().copied(), &mut Vec::new()).unwrap_err()
    };
    let empty_key = (Vec::new(), None);
    let length = |bytes| EffectsError::KeyLength { index: 0, bytes };
    assert_eq!(refused(&[effect(&empty_key)]), length(0));
    let long_key = (vec![1; KEY_BYTES_MAX + 1], None);
    assert_eq!(
        refused(&[effect(&long_key)]),
        length(KEY_BYTES_MAX as u64 + 1)
    );
    let long_value = (vec![1], Some(vec![0; VALUE_BYTES_MAX + 1]));
    assert!(matches!(
        refused(&[effect(&long_value)]),
        EffectsError::ValueLength { index: 0, .. }
    ));
    let changes = [(vec![1], None), (vec![2], None)];
    let mut pair = sorted(&changes);
    pair.reverse();
    assert_eq!(refused(&pair), EffectsError::Order { index: 1 });

    let decode = |bytes: &'static [u8]| decode_effects(&PARAMS, bytes);
    assert_eq!(decode(b""), Err(EffectsError::Malformed { index: 0 }));
    assert_eq!(decode(b"\0!"), Err(EffectsError::Trailing(1)));
    assert_eq!(decode(b"\x80\0"), Err(EffectsError::Malformed { index: 0 }));
    assert_eq!(decode(b"\x01\0\0"), Err(length(0)));
    assert_eq!(decode(b"\x7f\x02a\x02b"), Err(EffectsError::Count(0x7f)));
    assert_eq!(
        decode(b"\x02\x02a\x02a"),
        Err(EffectsError::Order { index: 1 })
    );
    let huge = b"\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(decode(huge), Err(length(u64::MAX >> 1)));
}
