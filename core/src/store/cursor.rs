//! Reading and writing stored bytes field by field; every read checks that the bytes exist.
//!
//! Not here: the fields of a file. Each module lays out its own.

use bytes::Bytes;

use crate::hash::FRAME;
use crate::params::FORMAT;

/// Lays out a small file: magic, format u16, the fields, and a checksum (32) over everything before it.
pub(super) fn put_file(magic: [u8; 8], fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [&magic[..], &FORMAT.to_le_bytes(), &fields.concat()].concat();
    let checksum = FRAME.hash(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Checks everything that [`put_file`] adds to the fields, and returns a cursor over them. The last three arguments are
/// the errors for another magic, another format, and a wrong length or checksum.
pub(super) fn open_file<E>(
    bytes: &[u8],
    magic: [u8; 8],
    other_magic: E,
    other_format: impl FnOnce(u16) -> E,
    damaged: E,
) -> Result<Cursor<'_>, E> {
    let mut cursor = Cursor(bytes);
    if cursor.array() != Some(magic) {
        return Err(other_magic);
    }
    match cursor.u16() {
        Some(FORMAT) => {}
        Some(format) => return Err(other_format(format)),
        None => return Err(damaged),
    }
    match (
        bytes.split_last_chunk::<32>(),
        cursor.0.split_last_chunk::<32>(),
    ) {
        (Some((body, checksum)), Some((fields, _))) if FRAME.hash(body) == *checksum => {
            Ok(Cursor(fields))
        }
        _ => Err(damaged),
    }
}

/// The bytes that are left to read.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    /// Returns the next `count` bytes, or `None` if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a flag byte (0 or 1) and, if it is 1, the bytes that follow.
    pub(super) fn optional<const N: usize>(&mut self) -> Option<Option<[u8; N]>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(self.array()?)),
            _ => None,
        }
    }

    /// Reads an LEB128 integer in its only (shortest) form.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                return shortest.then_some(value);
            }
        }
        None
    }

    /// Returns the next `count` bytes as a slice that shares the allocation of `whole`, which this cursor
    /// must be reading.
    pub(super) fn shared(&mut self, count: usize, whole: &Bytes) -> Option<Bytes> {
        self.take(count).map(|bytes| whole.slice_ref(bytes))
    }
}

/// Appends an LEB128 integer in its shortest form.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a flag byte (0 or 1) and the bytes, if there are any.
pub(super) fn put_optional(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(&optional_bytes(bytes));
}

/// Returns a flag byte (0 or 1) and the bytes, if there are any.
pub(super) fn optional_bytes(bytes: Option<&[u8]>) -> Vec<u8> {
    [&[u8::from(bytes.is_some())], bytes.unwrap_or_default()].concat()
}

/// Checks that no prefix of these bytes is accepted, and none that differ in a bit of any byte.
#[cfg(test)]
pub(super) fn assert_only_these<T, E>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, E>) {
    for place in 0..bytes.len() {
        assert!(decode(&bytes[..place]).is_err(), "the first {place} bytes");
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        assert!(decode(&changed).is_err(), "byte {place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_only_the_shortest_form_is_read() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut cursor = Cursor(&bytes);
            assert_eq!(cursor.varint(), Some(value));
            assert!(cursor.0.is_empty());
        }
        assert_eq!(Cursor(&[0x80, 0x00]).varint(), None);
        assert_eq!(Cursor(&[0xff; 9]).varint(), None);
        let mut too_large = [0xff; 10];
        too_large[9] = 0x02;
        assert_eq!(Cursor(&too_large).varint(), None);
        assert_eq!(Cursor(&[0xff; 11]).varint(), None);
    }
}
