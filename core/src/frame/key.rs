//! Signing keys: their bytes, their text, and the check of a signature against pinned keys.
//!
//! The signed content is defined by the parent module.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::hash::Digest;

/// Size of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// The key with which a primary signs: the seed of an Ed25519 key, 32 secret bytes.
///
/// Its memory is overwritten when it is dropped, and `Debug` shows only the public key.
///
/// ```
/// use trunkline_core::frame::SecretKey;
/// let key = SecretKey::generate([7; 32]); // from a generator of the operating system, not like this
/// assert_eq!(SecretKey::from_text(&key.to_text())?.public(), key.public());
/// # Ok::<(), trunkline_core::frame::SecretKeyError>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// The reason why a text is not a secret key. It never repeats the text.
///
/// ```
/// use trunkline_core::frame::{SecretKey, SecretKeyError};
/// assert_eq!(SecretKey::from_text("07").unwrap_err(), SecretKeyError::Length(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// The text has another length.
    #[error(
        "a secret key is 64 hexadecimal digits and at most one newline after them, not {0} bytes"
    )]
    Length(usize),
    /// A character is not a digit.
    #[error("byte {0} of the secret key is not a hexadecimal digit")]
    Digit(usize),
}

impl SecretKey {
    /// Makes a key from 32 random bytes, which must come from a cryptographic generator.
    pub fn generate(random: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&random))
    }

    /// Parses the content of a key file: 64 hexadecimal digits, and an optional newline.
    pub fn from_text(text: &str) -> Result<Self, SecretKeyError> {
        let digits = text.strip_suffix('\n').unwrap_or(text);
        let mut seed = [0; 32];
        hex::decode_to_slice(digits, &mut seed).map_err(|error| match error {
            hex::FromHexError::InvalidHexCharacter { index, .. } => SecretKeyError::Digit(index),
            _ => SecretKeyError::Length(text.len()),
        })?;
        Ok(Self::generate(seed))
    }

    /// Returns the content of a key file, which only its owner should be able to read: 64 lower-case
    /// hexadecimal digits and a newline.
    pub fn to_text(&self) -> String {
        let mut text = hex::encode(self.0.as_bytes());
        text.push('\n');
        text
    }

    /// Returns the public key that verifies its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// The key that verifies the signatures of its [`SecretKey`]. Readers pin it: they get it from a source that they
/// trust.
///
/// Only canonical points of full order are keys, so that one key has one text.
///
/// ```
/// use trunkline_core::frame::{PublicKey, PublicKeyError, SecretKey};
/// let key = SecretKey::generate([7; 32]).public();
/// assert_eq!(key.to_string().parse(), Ok(key));
/// let identity = "01".to_owned() + &"0".repeat(62);
/// assert_eq!(identity.parse::<PublicKey>(), Err(PublicKeyError::Order));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

/// The reason why bytes or a text are not a public key.
///
/// ```
/// use trunkline_core::frame::{PublicKey, PublicKeyError};
/// assert_eq!("07".parse::<PublicKey>(), Err(PublicKeyError::Text));
/// assert_eq!(PublicKey::from_bytes(&[0xff; 32]), Err(PublicKeyError::NotCanonical));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// The text is not 64 digits.
    #[error("a public key is written as 64 hexadecimal digits")]
    Text,
    /// The bytes are not a point of the curve.
    #[error("the bytes are not a point of the curve; copy the public key again")]
    Point,
    /// The bytes are a non-canonical form of a point.
    #[error("the bytes are not the canonical form of a point; copy the public key again")]
    NotCanonical,
    /// The point is the identity, or has a part of small order: its signatures could be valid for any message.
    #[error(
        "the point has a part of small order, so no signer generated it as a key; do not pin it"
    )]
    Order,
}

impl PublicKey {
    /// Decodes the 32 bytes of a key: a compressed Edwards point, in canonical form and of full order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| PublicKeyError::Point)?;
        let point = key.to_edwards();
        if point.compress().as_bytes() != bytes {
            return Err(PublicKeyError::NotCanonical);
        }
        if key.is_weak() || !point.is_torsion_free() {
            return Err(PublicKeyError::Order);
        }
        Ok(Self(key))
    }

    /// Returns the 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PublicKeyError::Text)?;
        Self::from_bytes(&bytes)
    }
}

/// The reason why a signature is not valid.
///
/// ```
/// use trunkline_core::frame::SignatureError;
/// let error = SignatureError::OtherKey { pinned: 2 };
/// assert!(error.to_string().starts_with("none of the 2 pinned keys signed this"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no key to check it against.
    #[error("no public key is pinned; pin the key of each primary that may write")]
    NoKey,
    /// The content was changed, or signed by another key.
    #[error(
        "none of the {pinned} pinned keys signed this: it was changed in transit, or its writer's key must be pinned"
    )]
    OtherKey {
        /// Number of pinned keys.
        pinned: usize,
    },
}

/// Returns the first of the pinned keys that signed a message.
pub(super) fn signer(
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
    keys: &[PublicKey],
) -> Result<PublicKey, SignatureError> {
    if keys.is_empty() {
        return Err(SignatureError::NoKey);
    }
    let pinned = keys.len();
    let mut keys = keys.iter();
    keys.find(|key| key.has_signed(message, signature))
        .copied()
        .ok_or(SignatureError::OtherKey { pinned })
}

/// Returns the bytes that Ed25519 signs: the name of the domain, so that the signature is useless for another protocol,
/// and the digest.
pub(super) fn message(name: &str, digest: &Digest) -> Vec<u8> {
    [name.as_bytes(), digest].concat()
}
