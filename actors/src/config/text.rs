//! The text forms of two settings: the salt in hex, the collision policy by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_core::params::CollisionPolicy;

/// Names of the collision policies.
#[derive(Serialize, Deserialize)]
#[serde(remote = "CollisionPolicy", rename_all = "snake_case")]
pub(super) enum CollisionName {
    Bucket,
    Overwrite,
    Reject,
}

/// Reads and writes 32 bytes in hex; an empty text means none.
pub(super) mod salt {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        salt: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text: String = salt
            .iter()
            .flatten()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        serializer.serialize_str(&text)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let salt = parse(&text).ok_or_else(|| {
            serde::de::Error::custom("a salt is 64 hexadecimal digits, or empty for none")
        })?;
        Ok(Some(salt))
    }

    fn parse(text: &str) -> Option<[u8; 32]> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let digit = |character: u8| char::from(character).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes?.try_into().ok()
    }
}
