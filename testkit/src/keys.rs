//! Numbers as keys, and the pairs of them that share a path.

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Returns a number as a key of 8 bytes, little-endian.
pub fn number_key(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Returns the value that the key of a number has in most states.
pub fn value_of(number: u64) -> Vec<u8> {
    format!("value {number}").into_bytes()
}

/// Returns the keys of `0..count` with their values.
pub fn numbered(count: u64) -> impl Iterator<Item = Pair> {
    (0..count).map(|number| (number_key(number), value_of(number)))
}

/// Returns the known pairs of keys that share their whole path in a tree without salt.
pub fn path_collisions() -> Vec<[Vec<u8>; 2]> {
    let lines = include_str!("../data/path-collisions.txt").lines();
    let data = lines.filter(|line| !line.starts_with('#'));
    let key = |number: &str| number_key(number.parse().expect("a number in decimal"));
    data.map(|line| {
        let mut words = line.split_whitespace().skip(1);
        [(); 2].map(|()| key(words.next().expect("a path and two numbers")))
    })
    .collect()
}
