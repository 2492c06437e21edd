//! Files of test vectors: the types of their fields, the comparison of a file with the model's text, and the names of a
//! reader's errors.
//!
//! The content of each file is defined by the test that makes it.

use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_core::proof::Expected;
use trunkline_core::record::{RecordError, Root};
use trunkline_core::wire::{DecodeError, FormError};

/// The name of a file of vectors, with the text that the model makes.
pub struct VectorFile {
    /// The name of the file.
    pub name: &'static str,
    /// The text of the file.
    pub text: String,
}

impl VectorFile {
    /// Makes a file from its content.
    pub fn new(name: &'static str, content: &impl Serialize) -> Self {
        let mut text = serde_json::to_string_pretty(content).unwrap();
        text.push('\n');
        Self { name, text }
    }

    /// Checks that the file on disk is byte for byte the same. If `TRUNKLINE_WRITE_VECTORS` is set, writes it first.
    #[track_caller]
    pub fn assert_written(&self) {
        let path = path(self.name);
        if std::env::var_os("TRUNKLINE_WRITE_VECTORS").is_some() {
            std::fs::write(&path, &self.text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == self.text,
            "{} is not what the model makes of it; core/tests/vectors/README.md says how to write it again",
            path.display()
        );
    }
}

fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../core/tests/vectors").join(name)
}

/// Reads a file of vectors.
pub fn read<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(path(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Bytes, written in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hex(
    /// The bytes.
    pub Vec<u8>,
);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(D::Error::custom)
    }
}

impl<B: AsRef<[u8]>> From<B> for Hex {
    fn from(bytes: B) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl Hex {
    /// Returns an array. The vectors have the right lengths.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        self.0[..].try_into().unwrap()
    }
}

/// A u64, written as a string of decimal digits, since JSON numbers are exact only up to 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal(
    /// The number.
    pub u64,
);

impl From<Decimal> for String {
    fn from(number: Decimal) -> Self {
        number.0.to_string()
    }
}

impl TryFrom<String> for Decimal {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// The values that are trusted of one version.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trusted {
    /// A whole root.
    Root {
        /// The tree.
        tree_id: Hex,
        /// The version.
        version: Decimal,
        /// Its commit id.
        commit_id: Hex,
        /// Its state digest.
        state_digest: Hex,
        /// Its KZG root, if it has one.
        kzg_root: Option<Hex>,
    },
    /// A commit id.
    CommitId {
        /// The commit id.
        commit_id: Hex,
    },
    /// A state digest.
    StateDigest {
        /// The tree.
        tree_id: Hex,
        /// The state digest.
        state_digest: Hex,
    },
    /// A KZG root.
    KzgRoot {
        /// The tree.
        tree_id: Hex,
        /// The KZG root.
        kzg_root: Hex,
    },
    /// Nothing.
    Nothing,
}

impl From<&Expected> for Trusted {
    fn from(expected: &Expected) -> Self {
        match expected {
            Expected::Root(root) => Self::Root {
                tree_id: root.tree_id.into(),
                version: Decimal(root.version),
                commit_id: root.commit_id.into(),
                state_digest: root.state_digest.into(),
                kzg_root: root.kzg_root.map(Hex::from),
            },
            Expected::CommitId(commit_id) => Self::CommitId {
                commit_id: commit_id.into(),
            },
            Expected::StateDigest {
                tree_id,
                state_digest,
            } => Self::StateDigest {
                tree_id: tree_id.into(),
                state_digest: state_digest.into(),
            },
            Expected::KzgRoot { tree_id, kzg_root } => Self::KzgRoot {
                tree_id: tree_id.into(),
                kzg_root: kzg_root.into(),
            },
            Expected::Carried => Self::Nothing,
        }
    }
}

impl From<&Trusted> for Expected {
    fn from(trusted: &Trusted) -> Self {
        match trusted {
            Trusted::Root {
                tree_id,
                version,
                commit_id,
                state_digest,
                kzg_root,
            } => Self::Root(Root {
                tree_id: tree_id.array(),
                version: version.0,
                commit_id: commit_id.array(),
                state_digest: state_digest.array(),
                kzg_root: kzg_root.as_ref().map(Hex::array),
            }),
            Trusted::CommitId { commit_id } => Self::CommitId(commit_id.array()),
            Trusted::StateDigest {
                tree_id,
                state_digest,
            } => Self::StateDigest {
                tree_id: tree_id.array(),
                state_digest: state_digest.array(),
            },
            Trusted::KzgRoot { tree_id, kzg_root } => Self::KzgRoot {
                tree_id: tree_id.array(),
                kzg_root: kzg_root.array(),
            },
            Trusted::Nothing => Self::Carried,
        }
    }
}

/// A proof, the trusted values, and the answer of a verifier.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredVector<T, S> {
    /// The subject of the proof.
    pub of: String,
    /// The change of the proof or of the trusted values; `original` if there is none.
    pub mutation: String,
    /// `accepted`, `malformed`, or the name of the broken rule.
    pub rule: String,
    /// The reason why it is malformed, as the name of this project's error.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub malformed: Option<String>,
    /// The bytes of the proof.
    pub proof: Hex,
    /// The trusted values, with other data that the client has.
    pub trusted: T,
    /// The claims shown by an accepted proof.
    #[serde(skip_serializing_if = "Option::is_none", default = "nothing_shown")]
    pub shown: Option<S>,
}

fn nothing_shown<S>() -> Option<S> {
    None
}

/// The rule name for a proof that breaks no rule.
pub const ACCEPTED: &str = "accepted";
/// The rule name for bytes that are not a proof.
pub const MALFORMED_RULE: &str = "malformed";

/// Defines a function that returns the name of each variant of an error, and the list of all names.
#[macro_export]
macro_rules! names {
    ($function:ident, $list:ident, $error:ty, { $($variant:pat => $name:literal,)* }) => {
        #[allow(missing_docs, reason = "the name of a variant")]
        pub fn $function(error: &$error) -> &'static str {
            match error {
                $($variant => $name,)*
            }
        }

        #[allow(missing_docs, reason = "the names of the variants")]
        pub const $list: &[&str] = &[$($name),*];
    };
}

names!(malformed_of, MALFORMED, DecodeError, {
    DecodeError::TooLong { .. } => "TooLong",
    DecodeError::Protobuf(_) => "Protobuf",
    DecodeError::NotCanonical => "NotCanonical",
    DecodeError::Format(_) => "Format",
    DecodeError::Length { .. } => "Length",
    DecodeError::Digests { .. } => "Digests",
    DecodeError::Record(RecordError::Length(_)) => "Record.Length",
    DecodeError::Record(RecordError::Format(_)) => "Record.Format",
    DecodeError::Record(RecordError::Metadata(_)) => "Record.Metadata",
    DecodeError::Outcome => "Outcome",
    DecodeError::Collision(_) => "Collision",
    DecodeError::SlotCount { .. } => "SlotCount",
    DecodeError::SlotZero(_) => "SlotZero",
    DecodeError::Form(FormError::TooMany { .. }) => "Form.TooMany",
    DecodeError::Form(FormError::MetadataBytes(_)) => "Form.MetadataBytes",
});
