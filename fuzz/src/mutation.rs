//! Changes a protobuf message but keeps its lengths right, so that the changes get past the parser.
//!
//! It knows no field of any message: bytes that parse as a nested message are treated as one.

/// Depth of nested messages that are changed.
const NESTING_MAX: usize = 3;

/// The fuzzer's bytes, taken one after the other; zeros after their end.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// Returns a number below `count`, or 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let number = u16::from_le_bytes([self.byte(), self.byte()]);
        usize::from(number).checked_rem(count).unwrap_or(0)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

#[derive(Clone)]
struct Field {
    number: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// Returns a message with some changes, which may take parts from another message.
pub(crate) fn change(
    message: &[u8],
    donor: &[u8],
    choices: &mut Choices<'_>,
    changes_max: usize,
) -> Vec<u8> {
    let (Some(mut fields), Some(donor)) = (read(message, 0), read(donor, 0)) else {
        return message.to_vec();
    };
    for _ in 0..changes_max {
        if choices.0.is_empty() {
            break;
        }
        change_once(&mut fields, &donor, choices);
    }
    let mut bytes = Vec::new();
    write(&fields, &mut bytes);
    bytes
}

fn change_once(fields: &mut Vec<Field>, donor: &[Field], choices: &mut Choices<'_>) {
    let kind = choices.byte();
    let (count, donors) = (count(fields), count(donor));
    let given = nth(donor, &mut choices.below(donors)).cloned();
    let mut at = choices.below(count);
    at_nth(fields, &mut at, &mut |list, index| match kind % 10 {
        0 => drop(list.remove(index)),
        1 => list.insert(index, list[index].clone()),
        2 => {
            let other = choices.below(list.len());
            list.swap(index, other);
        }
        3 => list[index].number = 1 + choices.below(12) as u64,
        4 => list.extend(given.clone()),
        5 => {
            if let Some(given) = &given {
                list[index] = given.clone();
            }
        }
        6 => list[index].content = Content::Bytes(choices.bytes(64)),
        _ => change_content(&mut list[index].content, kind, given.as_ref(), choices),
    });
}

fn change_content(
    content: &mut Content,
    kind: u8,
    given: Option<&Field>,
    choices: &mut Choices<'_>,
) {
    match content {
        Content::Number(number) => *number = number.wrapping_add(choices.below(256) as u64),
        Content::Bytes(bytes) => match kind / 10 % 5 {
            0 => {
                let place = choices.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= choices.byte() | 1;
                }
            }
            1 => bytes.truncate(choices.below(bytes.len())),
            2 => bytes.extend(choices.bytes(48)),
            3 => exchange(bytes, 32, given, choices),
            _ => exchange(bytes, 48, given, choices),
        },
        Content::Message(fields) => fields.reverse(),
    }
}

/// Overwrites one item of a list with one of another list, or with another item of its own.
fn exchange(bytes: &mut [u8], size: usize, given: Option<&Field>, choices: &mut Choices<'_>) {
    let own = bytes.to_vec();
    let from = match given {
        Some(Field {
            content: Content::Bytes(given),
            ..
        }) => given,
        _ => &own,
    };
    let taken = from
        .chunks_exact(size)
        .nth(choices.below(from.len() / size));
    let place = choices.below(bytes.len() / size);
    if let (Some(taken), Some(place)) = (taken, bytes.chunks_exact_mut(size).nth(place)) {
        place.copy_from_slice(taken);
    }
}

fn count(fields: &[Field]) -> usize {
    let within = |field: &Field| match &field.content {
        Content::Message(fields) => count(fields),
        _ => 0,
    };
    fields.iter().map(|field| 1 + within(field)).sum()
}

fn nth<'a>(fields: &'a [Field], left: &mut usize) -> Option<&'a Field> {
    for field in fields {
        if *left == 0 {
            return Some(field);
        }
        *left -= 1;
        if let Content::Message(within) = &field.content
            && let Some(found) = nth(within, left)
        {
            return Some(found);
        }
    }
    None
}

/// Calls `change` with the list that contains the field with that number, counted as in [`nth`].
fn at_nth(
    fields: &mut Vec<Field>,
    left: &mut usize,
    change: &mut impl FnMut(&mut Vec<Field>, usize),
) -> bool {
    for index in 0..fields.len() {
        if *left == 0 {
            change(fields, index);
            return true;
        }
        *left -= 1;
        if let Content::Message(within) = &mut fields[index].content
            && at_nth(within, left, change)
        {
            return true;
        }
    }
    false
}

fn read(mut bytes: &[u8], nesting: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = varint(&mut bytes)?;
        let content = match tag & 7 {
            0 => Content::Number(value),
            2 => {
                let (content, rest) = bytes.split_at_checked(usize::try_from(value).ok()?)?;
                bytes = rest;
                read_content(content, nesting)
            }
            _ => return None,
        };
        let number = tag >> 3;
        if !(1..16).contains(&number) {
            return None;
        }
        fields.push(Field { number, content });
    }
    Some(fields)
}

fn read_content(bytes: &[u8], nesting: usize) -> Content {
    let message = (nesting < NESTING_MAX && !bytes.is_empty()).then(|| read(bytes, nesting + 1));
    match message.flatten() {
        // Otherwise the result would not be a message.
        Some(fields) if written(&fields) == bytes => Content::Message(fields),
        _ => Content::Bytes(bytes.to_vec()),
    }
}

fn written(fields: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(fields, &mut bytes);
    bytes
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for Field { number, content } in fields {
        let content = match content {
            Content::Number(value) => {
                put_varint(number << 3, out);
                put_varint(*value, out);
                continue;
            }
            Content::Bytes(bytes) => bytes,
            Content::Message(fields) => &written(fields),
        };
        put_varint(number << 3 | 2, out);
        put_varint(content.len() as u64, out);
        out.extend_from_slice(content);
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
