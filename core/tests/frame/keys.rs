use trunkline_core::frame::{PublicKey, PublicKeyError, SecretKey, SecretKeyError};

use crate::model::{SEEDS, hex_array, public_key, signing_key};

/// RFC 8032, section 7.1: secret and public keys of tests 1, 2 and 3.
const RFC_8032: [(&str, &str); 3] = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
];

#[test]
fn the_keys_of_rfc_8032_belong_together() {
    for (secret, public) in RFC_8032 {
        let key = SecretKey::generate(hex_array(secret)).public();
        assert_eq!(key.to_string(), public);
        assert_eq!(public.parse(), Ok(key));
        assert_eq!(PublicKey::from_bytes(&key.to_bytes()), Ok(key));
    }
}

#[test]
fn a_key_file_is_read_with_and_without_its_newline_and_in_capitals() {
    let (secret, public) = RFC_8032[0];
    for text in [
        secret.to_owned(),
        format!("{secret}\n"),
        secret.to_uppercase(),
    ] {
        let key = SecretKey::from_text(&text).unwrap();
        assert_eq!(key.public().to_string(), public);
        assert_eq!(key.to_text(), format!("{secret}\n"));
    }
}

#[test]
fn another_text_is_no_secret_key_and_is_not_repeated() {
    let (secret, _) = RFC_8032[0];
    let refused = |text: &str, expected| {
        let error = SecretKey::from_text(text).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("9d61"));
    };
    refused("", SecretKeyError::Length(0));
    refused(&secret[1..], SecretKeyError::Length(63));
    refused(&secret[2..], SecretKeyError::Length(62));
    refused(&format!("{secret}00"), SecretKeyError::Length(66));
    refused(&format!("{secret}\n\n"), SecretKeyError::Length(66));
    refused(&format!("{secret}\r\n"), SecretKeyError::Length(66));
    refused(&secret.replace('f', "g"), SecretKeyError::Digit(9));
}

#[test]
fn debug_shows_no_secret() {
    let (secret, public) = RFC_8032[0];
    let shown = format!("{:?}", SecretKey::from_text(secret).unwrap());
    assert!(
        shown.contains(public) && !shown.contains(&secret[..8]),
        "{shown}"
    );
    let bytes: [u8; 32] = hex_array(secret);
    assert!(!shown.contains(&format!("{}, {}", bytes[0], bytes[1])));
}

#[test]
fn another_text_is_no_public_key() {
    let (_, public) = RFC_8032[0];
    for text in ["", &public[1..], &public[2..], "0x", &format!("{public}\n")] {
        assert_eq!(text.parse::<PublicKey>(), Err(PublicKeyError::Text));
    }
}

#[test]
fn a_key_with_a_part_of_small_order_is_refused() {
    let of_order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let small = ed25519_dalek::VerifyingKey::from_bytes(&hex_array(of_order_8)).unwrap();
    for seed in &SEEDS {
        let own = signing_key(seed).verifying_key().to_edwards();
        let mixed = (own + small.to_edwards()).compress().to_bytes();
        assert_eq!(PublicKey::from_bytes(&mixed), Err(PublicKeyError::Order));
        assert!(PublicKey::from_bytes(&public_key(seed)).is_ok());
    }
}
