//! Token files that are refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use trunkline::config::ServerConfig;
use trunkline_service::auth::{Authenticator, OpenAuthError, Scopes, TokensError, new_token};

use crate::support::Files;

#[test]
fn a_token_file_that_says_something_impossible_is_refused() {
    let files = Files::new();
    let entry = new_token("app", Scopes::all()).entry;
    let hash = blake3::hash(b"x").to_hex();
    let token = |rest: &str| format!("[[token]]\nname = \"b\"\nhash = \"{hash}\"\n{rest}\n");
    let cases = [
        (entry.repeat(2), "twice"),
        (token("scopes = []"), "no scopes"),
        (token("scopes = [\"root\"]"), "not a token file"),
        (
            token("scopes = [\"read\"]\nexpires = 2030-01-31"),
            "expires",
        ),
        (token("scopes = [\"read\"]\nuntil = 1"), "until"),
        (
            token("scopes = [\"read\"]").replace("\"b\"", "\"\""),
            "needs a name",
        ),
        (
            token("scopes = [\"read\"]").replace(&*hash, "secret"),
            "64 hexadecimal",
        ),
        (
            token("scopes = [\"read\"]")
                .repeat(2)
                .replacen("\"b\"", "\"a\"", 1),
            "hash of another",
        ),
    ];
    for (text, reason) in cases {
        files.write("tokens.toml", &text);
        let config = ServerConfig {
            tokens_path: files.path("tokens.toml"),
            ..ServerConfig::default()
        };
        let error = Authenticator::open(&config).err().unwrap().to_string();
        assert!(
            error.contains(reason) && error.contains("tokens.toml"),
            "{error}"
        );
    }
}

#[test]
fn an_error_of_the_token_file_does_not_repeat_what_stands_there() {
    let files = Files::new();
    let secret = new_token("app", Scopes::all()).secret;
    let config = ServerConfig {
        tokens_path: files.path("tokens.toml"),
        ..ServerConfig::default()
    };
    for text in [
        format!("[[token]]\nname = {secret}\n"),
        secret.clone(),
        format!("[[token]]\nname = \"a\"\nhash = \"{secret}\"\nscopes = [\"read\"]\n"),
        format!("[[token]]\nname = \"a\"\nhash = \"\"\nscopes = [\"{secret}\"]\n"),
        format!("token = \"{secret}\"\n"),
    ] {
        files.write("tokens.toml", &text);
        let error = Authenticator::open(&config).err().unwrap();
        assert!(!error.to_string().contains(&secret), "{error}");
    }
}

#[test]
fn a_token_file_that_others_can_write_is_refused() {
    let files = Files::new();
    let path = files.write("tokens.toml", &new_token("app", Scopes::all()).entry);
    let config = ServerConfig {
        tokens_path: path.clone(),
        ..ServerConfig::default()
    };
    let open = |mode| {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Authenticator::open(&config).map(drop)
    };
    for mode in [0o600, 0o640, 0o644] {
        assert!(open(mode).is_ok());
    }
    for mode in [0o620, 0o602] {
        let refused = open(mode).unwrap_err();
        assert!(matches!(
            refused,
            OpenAuthError::Tokens(TokensError::Writable { .. })
        ));
    }
}
