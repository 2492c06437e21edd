//! Files of test vectors: what their fields are made of, comparing a file with what the model makes, and the names of
//! what a reader refuses.
//!
//! Not here: what is in a file; the tests that make it say so.

use std::path::PathBuf;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trunkline_core::proof::Expected;
use trunkline_core::record::{RecordError, Root};
use trunkline_core::wire::{DecodeError, FormError};

/// Holds the name of a file of vectors, and what the model says is in it.
pub struct VectorFile {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

impl VectorFile {
    /// Makes the text of a file.
    pub fn new(name: &'static str, content: &impl Serialize) -> Self {
        let mut text = serde_json::to_string_pretty(content).unwrap();
        text.push('\n');
        Self { name, text }
    }

    /// Checks that the file is this one byte for byte. If `TRUNKLINE_WRITE_VECTORS` is set, writes it before.
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

/// Holds bytes, written in hex.
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
    /// Returns an array; vectors have the lengths that they should have.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        self.0[..].try_into().unwrap()
    }
}

/// Holds a u64: a string of decimal digits, since JSON's numbers are exact up to 2^53 only.
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

/// Says what is trusted of one version.
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

/// Holds a proof, what is trusted, and the answer of a verifier.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredVector<T, S> {
    /// Says what the proof is about.
    pub of: String,
    /// Says what was done to the proof or to what is trusted; `original` if nothing was.
    pub mutation: String,
    /// `accepted`, `malformed`, or the name of the rule that is broken.
    pub rule: String,
    /// Says what is malformed, by the name of this project's error.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub malformed: Option<String>,
    /// The bytes.
    pub proof: Hex,
    /// What is trusted, and what else the client has.
    pub trusted: T,
    /// What is shown by a proof that is accepted.
    #[serde(skip_serializing_if = "Option::is_none", default = "nothing_shown")]
    pub shown: Option<S>,
}

fn nothing_shown<S>() -> Option<S> {
    None
}

/// The rule of a proof that breaks none.
pub const ACCEPTED: &str = "accepted";
/// The rule of bytes that are no proof.
pub const MALFORMED_RULE: &str = "malformed";

/// Makes a function that returns the name of each variant of an error, and the list of all names.
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
