//! Makes a token, for the command.

use crate::auth::scope::Scopes;

/// The prefix of each token, by which scanners for leaked secrets recognise it.
const PREFIX: &str = "trunkline_";

/// A new token. Only its hash is kept.
pub struct NewToken {
    /// The secret, to be given to the client once.
    pub secret: String,
    /// The lines to add to the token file.
    pub entry: String,
}

/// Makes a token of 256 random bits.
///
/// ```
/// use trunkline_service::auth::{Scope, new_token};
///
/// let token = new_token("app1", [Scope::Read].into_iter().collect());
/// assert!(token.secret.starts_with("trunkline_"));
/// assert!(token.entry.contains("name = \"app1\""));
/// assert!(!token.entry.contains(&token.secret));
/// ```
pub fn new_token(name: &str, scopes: Scopes) -> NewToken {
    let secret = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let hash = blake3::hash(secret.as_bytes()).to_hex();
    // A TOML string, escaped by the library.
    let name = toml::Value::from(name);
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    let entry = format!(
        "[[token]]\nname = {name}\nhash = \"{hash}\"\nscopes = [{}]\n",
        scopes.join(", ")
    );
    NewToken { secret, entry }
}
