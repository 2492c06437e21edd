//! The resolved effects of one version, which the log contains and replay applies.
//!
//! Resolved means that no policy is left to apply: a key that `overwrite` displaced is a delete here. Not here:
//! computing effects (the tree), and the frame around them (`log`).

use super::cursor::{Cursor, put_varint};
use crate::hash::{Digest, ZERO};
use crate::params::{KEY_BYTES_MAX, TreeParams, VALUE_BYTES_MAX};

/// The change of one key in one version.
///
/// ```
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::store::effect::{Effect, decode_effects, encode_effects};
/// let params = TreeParams::default();
/// let put = Effect { key_hash: params.key_hash(b"name"), key: b"name", change: Some(b"Ada") };
/// let mut bytes = Vec::new();
/// encode_effects([put].into_iter(), &mut bytes)?;
/// assert_eq!(bytes, b"\x01\x09name\x03Ada");
/// assert_eq!(decode_effects(&params, &bytes)?, [put]);
/// # Ok::<(), trunkline_core::store::effect::EffectsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// The hash of the key under the tree's parameters.
    pub key_hash: Digest,
    /// The key, 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// The new value (at most [`VALUE_BYTES_MAX`] bytes), or `None` if the key is deleted.
    pub change: Option<&'a [u8]>,
}

/// The reason why effects cannot be written, or bytes are not effects.
///
/// ```
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::store::effect::{Effect, EffectsError, encode_effects};
/// let params = TreeParams::default();
/// let delete = |key: &'static str| Effect {
///     key_hash: params.key_hash(key.as_bytes()),
///     key: key.as_bytes(),
///     change: None,
/// };
/// let encode = |effects: &[Effect]| encode_effects(effects.iter().copied(), &mut Vec::new());
/// let twice = [delete("name"), delete("name")]; // resolved effects have a key once
/// assert_eq!(encode(&twice), Err(EffectsError::Order { index: 1 }));
/// assert!(matches!(encode(&[delete("")]), Err(EffectsError::KeyLength { .. })));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectsError {
    /// The bytes end within an effect, or an integer is not in its shortest form.
    #[error("effect {index} is cut short or holds an integer that is not in its shortest form")]
    Malformed {
        /// The number of the effect, from 0.
        index: usize,
    },
    /// The count is larger than the bytes allow.
    #[error("a count of {0} effects does not fit the bytes that follow")]
    Count(u64),
    /// A key is empty or too long.
    #[error("the key of effect {index} has {bytes} bytes; 1 to {KEY_BYTES_MAX} are allowed")]
    KeyLength {
        /// The number of the effect, from 0.
        index: usize,
        /// The length of the key, bytes.
        bytes: u64,
    },
    /// A value is too long.
    #[error("the value of effect {index} has {bytes} bytes; at most {VALUE_BYTES_MAX} are allowed")]
    ValueLength {
        /// The number of the effect, from 0.
        index: usize,
        /// The length of the value, bytes.
        bytes: u64,
    },
    /// Key hashes do not ascend strictly.
    #[error(
        "the key hash of effect {index} is not above the one before it; sort effects by key hash"
    )]
    Order {
        /// The number of the effect, from 0.
        index: usize,
    },
    /// Bytes follow the last effect.
    #[error("{0} bytes follow the last effect")]
    Trailing(usize),
}

/// The length of the shortest encoding of an effect: a length and one key byte.
const EFFECT_BYTES_MIN: usize = 2;

/// Appends the encoding of effects that ascend strictly by key hash.
///
/// Encoding, integers as shortest LEB128: count; then for each effect
/// `key length << 1 | is put`, key, and for a put the value's length and the value. The key hash is
/// not stored.
pub fn encode_effects<'a>(
    effects: impl ExactSizeIterator<Item = Effect<'a>>,
    out: &mut Vec<u8>,
) -> Result<(), EffectsError> {
    put_varint(effects.len() as u64, out);
    let mut previous = None;
    for (index, effect) in effects.enumerate() {
        check_key_length(index, effect.key.len() as u64)?;
        check_order(index, previous.as_ref(), &effect.key_hash)?;
        previous = Some(effect.key_hash);
        let is_put = u64::from(effect.change.is_some());
        put_varint((effect.key.len() as u64) << 1 | is_put, out);
        out.extend_from_slice(effect.key);
        if let Some(value) = effect.change {
            check_value_length(index, value.len() as u64)?;
            put_varint(value.len() as u64, out);
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Reads effects; keys and values borrow from `bytes`.
///
/// Key hashes are computed from the keys, so that effects of a tree with other parameters appear out of order.
pub fn decode_effects<'a>(
    params: &TreeParams,
    bytes: &'a [u8],
) -> Result<Vec<Effect<'a>>, EffectsError> {
    let mut cursor = Cursor(bytes);
    let count = cursor
        .varint()
        .ok_or(EffectsError::Malformed { index: 0 })?;
    if count > (cursor.0.len() / EFFECT_BYTES_MIN) as u64 {
        return Err(EffectsError::Count(count));
    }
    // An effect takes more memory than its shortest encoding, so the count is trusted only up to a limit.
    let capacity = (count as usize).min(cursor.0.len() / 16 + 16);
    let mut effects: Vec<Effect<'a>> = Vec::with_capacity(capacity);
    for index in 0..count as usize {
        effects.push(decode_effect(index, &mut cursor)?);
    }
    if !cursor.0.is_empty() {
        return Err(EffectsError::Trailing(cursor.0.len()));
    }
    let mut key_hashes = vec![ZERO; effects.len()];
    params.hash_keys(effects.iter().map(|effect| effect.key), &mut key_hashes);
    let mut previous = None;
    for (index, (effect, key_hash)) in effects.iter_mut().zip(&key_hashes).enumerate() {
        check_order(index, previous, key_hash)?;
        effect.key_hash = *key_hash;
        previous = Some(key_hash);
    }
    Ok(effects)
}

/// Reads an effect, without the hash of its key.
fn decode_effect<'a>(index: usize, cursor: &mut Cursor<'a>) -> Result<Effect<'a>, EffectsError> {
    let malformed = EffectsError::Malformed { index };
    let head = cursor.varint().ok_or(malformed)?;
    let key_bytes = head >> 1;
    check_key_length(index, key_bytes)?;
    let key = cursor.take(key_bytes as usize).ok_or(malformed)?;
    let mut change = None;
    if head & 1 == 1 {
        let value_bytes = cursor.varint().ok_or(malformed)?;
        check_value_length(index, value_bytes)?;
        change = Some(cursor.take(value_bytes as usize).ok_or(malformed)?);
    }
    Ok(Effect {
        key_hash: ZERO,
        key,
        change,
    })
}

fn check_key_length(index: usize, bytes: u64) -> Result<(), EffectsError> {
    if bytes == 0 || bytes > KEY_BYTES_MAX as u64 {
        return Err(EffectsError::KeyLength { index, bytes });
    }
    Ok(())
}

fn check_value_length(index: usize, bytes: u64) -> Result<(), EffectsError> {
    if bytes > VALUE_BYTES_MAX as u64 {
        return Err(EffectsError::ValueLength { index, bytes });
    }
    Ok(())
}

fn check_order(
    index: usize,
    previous: Option<&Digest>,
    key_hash: &Digest,
) -> Result<(), EffectsError> {
    if previous.is_some_and(|previous| previous >= key_hash) {
        return Err(EffectsError::Order { index });
    }
    Ok(())
}
