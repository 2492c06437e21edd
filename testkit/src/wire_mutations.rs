//! Almost valid messages: an encoded message is split into its fields, and reassembled in the ways that a reader must
//! refuse.
//!
//! It uses only protobuf: the fields have numbers and kinds, but no meanings.

use crate::protobuf::{bytes, number, varint};

/// The content of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Content {
    /// Returns the content that an absent field has.
    fn default_of_kind(&self) -> Self {
        match self {
            Self::Number(_) => Self::Number(0),
            Self::Bytes(_) => Self::Bytes(Vec::new()),
        }
    }
}

/// A message without nested ones: the contents of fields 1, 2 and so on. Default values are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<Content>);

/// A spoilt message, with a description of the change and the name of the reader's error.
pub struct Mutation {
    /// The description of the change.
    pub name: String,
    /// The name of the error, as in [`crate::vectors::malformed_of`].
    pub malformed: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

fn mutation(name: impl Into<String>, malformed: &'static str, bytes: Vec<u8>) -> Mutation {
    Mutation {
        name: name.into(),
        malformed,
        bytes,
    }
}

impl Message {
    /// Makes a message from the contents of its fields.
    pub fn new(contents: impl Into<Vec<Content>>) -> Self {
        Self(contents.into())
    }

    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.fields()
            .into_iter()
            .map(|field| field.bytes())
            .collect::<Vec<_>>()
            .concat()
    }

    /// Returns the bytes of the message with another content in one field.
    pub fn with(&self, field: u64, content: Content) -> Vec<u8> {
        let mut changed = self.clone();
        changed.0[field as usize - 1] = content;
        changed.encode()
    }

    /// Returns the bytes of the message with other bytes in one field.
    pub fn with_bytes(&self, field: u64, content: &[u8]) -> Vec<u8> {
        self.with(field, Content::Bytes(content.to_vec()))
    }

    /// Returns the bytes of the message with another number in one field.
    pub fn with_number(&self, field: u64, content: u64) -> Vec<u8> {
        self.with(field, Content::Number(content))
    }

    /// Returns the bytes of a field, or none if it holds a number.
    pub fn bytes_of(&self, field: u64) -> &[u8] {
        match &self.0[field as usize - 1] {
            Content::Bytes(content) => content,
            Content::Number(_) => &[],
        }
    }

    /// Returns the fields that are written.
    fn fields(&self) -> Vec<Field> {
        let fields = self.0.iter().zip(1..);
        let written = fields.filter(|(content, _)| **content != content.default_of_kind());
        written
            .map(|(content, number)| Field {
                number,
                content: content.clone(),
            })
            .collect()
    }

    /// Returns the ways to spoil a message whose field 1 is its format number.
    pub fn spoilt(&self) -> Vec<Mutation> {
        let mut mutations = self.padded();
        mutations.extend(self.moved());
        mutations.extend(self.defaults());
        mutations.extend(self.of_another_kind());
        mutations.extend(self.of_nothing_known());
        mutations.extend(self.of_another_format());
        mutations.extend(self.cut());
        mutations
    }

    /// Returns messages with varints that are longer than necessary. Eleven bytes are not a varint.
    fn padded(&self) -> Vec<Mutation> {
        let fields = self.fields();
        let ends = [fields[0].number, fields[fields.len() - 1].number];
        let mut mutations = Vec::new();
        for (place, field) in fields.iter().enumerate() {
            let lengths = match ends.contains(&field.number) {
                true => &[1, 2, 9, 10][..],
                false => &[1],
            };
            for &by in lengths {
                let malformed = match by {
                    10 => "Protobuf",
                    _ => "NotCanonical",
                };
                let put = |bytes| replaced(&fields, place, bytes);
                let name = format!("tag of field {} padded by {by}", field.number);
                let tag = padded_varint(field.tag(), by);
                mutations.push(mutation(name, malformed, put([tag, field.rest()].concat())));
                let (what, rest) = match &field.content {
                    Content::Number(value) => ("value", padded_varint(*value, by)),
                    Content::Bytes(content) => {
                        let length = padded_varint(content.len() as u64, by);
                        ("length", [length, content.clone()].concat())
                    }
                };
                let name = format!("{what} of field {} padded by {by}", field.number);
                let tag = varint(field.tag());
                mutations.push(mutation(name, malformed, put([tag, rest].concat())));
            }
        }
        mutations
    }

    fn moved(&self) -> Vec<Mutation> {
        let fields = self.fields();
        let mut mutations = Vec::new();
        for (place, field) in fields.iter().enumerate() {
            let name = format!("field {} twice", field.number);
            let twice = replaced(&fields, place, field.bytes().repeat(2));
            mutations.push(mutation(name, "NotCanonical", twice));
            if place > 0 {
                let mut swapped = fields.clone();
                swapped.swap(place - 1, place);
                let name = format!("field {} before the one before it", field.number);
                mutations.push(mutation(name, "NotCanonical", joined(&swapped)));
            }
        }
        mutations
    }

    /// Returns messages with default values that are written, at either end.
    fn defaults(&self) -> Vec<Mutation> {
        let of_field = |(content, number): (&Content, u64)| {
            let default = Field {
                number,
                content: content.default_of_kind(),
            };
            [
                mutation(
                    format!("default of field {number} at the beginning"),
                    "NotCanonical",
                    [default.bytes(), self.encode()].concat(),
                ),
                mutation(
                    format!("default of field {number} at the end"),
                    match number {
                        // The format is checked first.
                        1 => "Format",
                        _ => "NotCanonical",
                    },
                    [self.encode(), default.bytes()].concat(),
                ),
            ]
        };
        self.0.iter().zip(1..).flat_map(of_field).collect()
    }

    /// Returns messages with numbers as bytes, and bytes as numbers.
    fn of_another_kind(&self) -> Vec<Mutation> {
        let fields = self.fields();
        let of_field = |(place, field): (usize, &Field)| {
            let (what, bytes) = match &field.content {
                Content::Number(value) => ("packed", bytes(field.number, &varint(*value))),
                Content::Bytes(_) => ("a number", number(field.number, 1)),
            };
            let name = format!("field {} is {what}", field.number);
            mutation(name, "Protobuf", replaced(&fields, place, bytes))
        };
        fields.iter().enumerate().map(of_field).collect()
    }

    /// Returns messages with unknown fields of every wire type, at either end.
    fn of_nothing_known(&self) -> Vec<Mutation> {
        let unknown = self.0.len() as u64 + 1;
        let tag = |wire_type: u64| varint(unknown << 3 | wire_type);
        let kinds = [
            ("unknown number", "NotCanonical", number(unknown, 1)),
            ("unknown zero", "NotCanonical", number(unknown, 0)),
            ("unknown bytes", "NotCanonical", bytes(unknown, b"?")),
            ("unknown empty bytes", "NotCanonical", bytes(unknown, &[])),
            (
                "unknown fixed64",
                "NotCanonical",
                [tag(1), vec![1; 8]].concat(),
            ),
            (
                "unknown fixed32",
                "NotCanonical",
                [tag(5), vec![1; 4]].concat(),
            ),
            ("unknown group", "NotCanonical", [tag(3), tag(4)].concat()),
            ("end of an unknown group", "Protobuf", tag(4)),
            ("tag 0", "Protobuf", vec![0]),
            ("wire type 6", "Protobuf", [tag(6), vec![1]].concat()),
        ];
        let own = self.encode();
        let of_kind = |(name, malformed, extra): (&str, &'static str, Vec<u8>)| {
            let first = [&extra[..], &own].concat();
            let last = [&own[..], &extra].concat();
            [
                mutation(format!("{name} at the beginning"), malformed, first),
                mutation(format!("{name} at the end"), malformed, last),
            ]
        };
        kinds.into_iter().flat_map(of_kind).collect()
    }

    /// Returns messages of other formats. Field 1 is the format, of 32 bits.
    fn of_another_format(&self) -> Vec<Mutation> {
        let Content::Number(format) = self.0[0] else {
            return Vec::new();
        };
        let of = |name: &str, format: u64, malformed| {
            mutation(name, malformed, self.with_number(1, format))
        };
        vec![
            of("no format", 0, "Format"),
            of("the format before", format - 1, "Format"),
            of("the next format", format + 1, "Format"),
            of("format 2^32 - 1", u64::from(u32::MAX), "Format"),
            of("the format and 2^32", 1 << 32 | format, "NotCanonical"),
            of("format 2^64 - 1", u64::MAX, "Format"),
        ]
    }

    fn cut(&self) -> Vec<Mutation> {
        let own = self.encode();
        vec![
            mutation("no bytes", "Format", Vec::new()),
            mutation(
                "last byte left out",
                "Protobuf",
                own[..own.len() - 1].to_vec(),
            ),
            // The tag of field 1 becomes that of another field, and there is no format.
            mutation(
                "cut varint at the beginning",
                "Format",
                [&[0x80], &own[..]].concat(),
            ),
            mutation(
                "varint cut at the end",
                "Protobuf",
                [&own[..], &[0x80]].concat(),
            ),
            mutation("one byte more", "Protobuf", [&own[..], &[1]].concat()),
        ]
    }
}

#[derive(Clone)]
struct Field {
    number: u64,
    content: Content,
}

impl Field {
    fn tag(&self) -> u64 {
        let wire_type = match self.content {
            Content::Number(_) => 0,
            Content::Bytes(_) => 2,
        };
        self.number << 3 | wire_type
    }

    fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Content::Number(value) => number(self.number, *value),
            Content::Bytes(content) => bytes(self.number, content),
        }
    }

    /// Returns the bytes after the tag.
    fn rest(&self) -> Vec<u8> {
        self.bytes().split_off(varint(self.tag()).len())
    }
}

fn joined(fields: &[Field]) -> Vec<u8> {
    fields.iter().flat_map(Field::bytes).collect()
}

/// Returns the fields, with other bytes in place of one.
fn replaced(fields: &[Field], place: usize, bytes: Vec<u8>) -> Vec<u8> {
    let (before, after) = (joined(&fields[..place]), joined(&fields[place + 1..]));
    [before, bytes, after].concat()
}

/// Returns a varint with `by` bytes more than necessary.
fn padded_varint(value: u64, by: usize) -> Vec<u8> {
    let mut bytes = varint(value);
    if let Some(last) = bytes.last_mut() {
        *last |= 0x80;
    }
    bytes.resize(bytes.len() + by - 1, 0x80);
    bytes.push(0);
    bytes
}
