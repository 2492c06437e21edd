//! Settings that are written as text: the salt in hex, the collision policy by name.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_core::params::CollisionPolicy;

/// The names of the core's policies.
#[derive(Serialize, Deserialize)]
#[serde(remote = "CollisionPolicy", rename_all = "snake_case")]
pub(super) enum CollisionName {
    Bucket,
    Overwrite,
    Reject,
}

/// 32 bytes in hex; an empty text is none.
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
        match parse(&text) {
            Some(salt) => Ok(Some(salt)),
            None => Err(serde::de::Error::custom(
                "a salt is 64 hexadecimal digits, or empty for none",
            )),
        }
    }

    fn parse(text: &str) -> Option<[u8; 32]> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
            .collect();
        bytes?.try_into().ok()
    }

    fn digit(character: u8) -> Option<u8> {
        let value = char::from(character).to_digit(16)?;
        u8::try_from(value).ok()
    }
}
