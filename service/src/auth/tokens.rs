//! The token file: tokens and certificates with their scopes. It holds hashes of tokens, never a token.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Deserialize;

use crate::auth::scope::{Scope, Scopes};
use crate::peer::ClientCertificate;
use crate::watched::{Content, FileError};

/// Most entries of a file.
const ENTRIES_MAX: usize = 4096;
/// Longest name in bytes.
const NAME_BYTES_MAX: usize = 256;

/// The error of a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not valid TOML, or has another form.
    #[error("{path} is not a token file: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        reason: String,
    },
    /// An entry is invalid.
    #[error("{path}: the entry {name:?} {reason}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Name of the entry.
        name: String,
        /// The problem, and what to write instead.
        reason: &'static str,
    },
    /// It has too many entries.
    #[error("{path} has more than {ENTRIES_MAX} entries; remove unused ones")]
    TooMany {
        /// The file.
        path: PathBuf,
    },
    /// Other users could add their own token.
    #[error(
        "{path} can be written by users other than its owner; run `chmod 600 {path}` and check its entries"
    )]
    Writable {
        /// The file.
        path: PathBuf,
    },
}

/// An entry for a token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
    expires: Option<SystemTime>,
}

impl Token {
    pub(crate) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A token file.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// The tokens by their hash. `blake3::Hash` compares in constant time, and the map hashes it with a key, so that no
    /// timing depends on a stored token.
    by_hash: HashMap<blake3::Hash, Token>,
    certificates: HashMap<String, Scopes>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default)]
    token: Vec<TokenForm>,
    #[serde(default)]
    certificate: Vec<CertificateForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenForm {
    name: String,
    hash: String,
    scopes: Vec<Scope>,
    expires: Option<toml::value::Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateForm {
    name: String,
    scopes: Vec<Scope>,
}

impl Tokens {
    /// Reads the file's text.
    pub(crate) fn parse(content: &Content) -> Result<Self, TokensError> {
        let path = &content.path;
        if content.mode & 0o022 != 0 {
            return Err(TokensError::Writable { path: path.clone() });
        }
        if content.mode & 0o004 != 0 {
            tracing::warn!(path = %path.display(), "the token file can be read by every user; run chmod 600");
        }
        let form = |reason: String| TokensError::Form {
            path: path.clone(),
            reason,
        };
        let text =
            str::from_utf8(&content.bytes).map_err(|_| form("it is not UTF-8".to_owned()))?;
        // Its message may quote the line, and a user may have pasted the token itself.
        let parsed: Form = toml::from_str(text).map_err(|error| form(without_quote(&error)))?;
        if parsed.token.len() + parsed.certificate.len() > ENTRIES_MAX {
            return Err(TokensError::TooMany { path: path.clone() });
        }
        Self::build(parsed).map_err(|(name, reason)| TokensError::Entry {
            path: path.clone(),
            name,
            reason,
        })
    }

    fn build(form: Form) -> Result<Self, (String, &'static str)> {
        let mut tokens = Self::default();
        let mut names = HashSet::new();
        for entry in form.token {
            let fault = |reason| (entry.name.clone(), reason);
            check_name(&entry.name).map_err(fault)?;
            if !names.insert(entry.name.clone()) {
                return Err(fault("is there twice; give each token a name of its own"));
            }
            let token = Token {
                scopes: scopes(&entry.scopes).map_err(fault)?,
                expires: expiry(entry.expires).map_err(fault)?,
                name: entry.name.clone(),
            };
            let hash = blake3::Hash::from_hex(&entry.hash).map_err(|_| {
                fault("has no hash of 64 hexadecimal digits; `trunkline token` makes one")
            })?;
            if tokens.by_hash.insert(hash, token).is_some() {
                return Err(fault("has the hash of another entry; make another token"));
            }
        }
        for entry in form.certificate {
            let fault = |reason| (entry.name.clone(), reason);
            check_name(&entry.name).map_err(fault)?;
            let scopes = scopes(&entry.scopes).map_err(fault)?;
            if tokens
                .certificates
                .insert(entry.name.clone(), scopes)
                .is_some()
            {
                return Err(fault("is there twice; write its scopes into one entry"));
            }
        }
        Ok(tokens)
    }

    /// Returns the token with this secret, if it has not expired.
    pub(crate) fn find(&self, secret: &[u8], now: SystemTime) -> Option<(blake3::Hash, &Token)> {
        let hash = blake3::hash(secret);
        Some((hash, self.by_hash(&hash, now)?))
    }

    /// Returns the token with this hash, if it has not expired.
    pub(crate) fn by_hash(&self, hash: &blake3::Hash, now: SystemTime) -> Option<&Token> {
        self.by_hash
            .get(hash)
            .filter(|token| !token.is_expired(now))
    }

    /// Returns the first name of a certificate that has an entry, and its scopes.
    pub(crate) fn by_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Option<(String, Scopes)> {
        let entry = |name: &String| Some((name.clone(), *self.certificates.get(name)?));
        certificate.names.iter().find_map(entry)
    }
}

fn without_quote(error: &toml::de::Error) -> String {
    let at = error
        .span()
        .map_or(String::new(), |span| format!(" (at byte {})", span.start));
    let is_about_form = error.message().starts_with("missing field")
        || error.message().starts_with("unknown field");
    let reason = if is_about_form {
        error.message()
    } else {
        "it is no valid TOML of tables [[token]] and [[certificate]]"
    };
    format!("{reason}{at}")
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let is_plain = !name.chars().any(char::is_control);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_plain {
        return Err("needs a name of 1 to 256 bytes without control characters");
    }
    Ok(())
}

fn scopes(list: &[Scope]) -> Result<Scopes, &'static str> {
    if list.is_empty() {
        return Err("has no scopes; write some of \"read\", \"write\", \"admin\"");
    }
    Ok(list.iter().copied().collect())
}

fn expiry(at: Option<toml::value::Datetime>) -> Result<Option<SystemTime>, &'static str> {
    let Some(at) = at else {
        return Ok(None);
    };
    let time = humantime::parse_rfc3339(&at.to_string());
    let time = time.map_err(|_| "expires at no time of UTC; write 2030-01-31T00:00:00Z")?;
    Ok(Some(time))
}
