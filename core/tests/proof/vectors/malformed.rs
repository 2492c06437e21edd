//! Bytes that are not a proof, which a reader refuses before any rule.

use trunkline_core::proof::{Expected, Proof, VERSIONS_MAX};
use trunkline_testkit::protobuf::{bytes, number, varint};
use trunkline_testkit::states::NONCE;
use trunkline_testkit::vectors::Trusted;

use super::form::RefusedVector;
use super::proofs::{part, prove};
use super::states::States;

/// The fields of a proof that key `a` is absent from the empty state, to be changed.
struct Fields {
    format: Vec<u8>,
    /// The bytes between format and versions.
    params: Vec<u8>,
    version: Vec<u8>,
    record: Vec<u8>,
    entries: Vec<u8>,
    terminals: Vec<u8>,
    siblings: Vec<u8>,
    top: Vec<u8>,
    opening: Vec<u8>,
    nonce: Vec<u8>,
    /// The bytes after the nonce.
    end: Vec<u8>,
}

fn entry() -> Vec<u8> {
    [bytes(1, b"a"), bytes(4, &[])].concat()
}

fn terminal() -> Vec<u8> {
    [number(1, 7), bytes(2, &[])].concat()
}

fn fields() -> Fields {
    Fields {
        format: number(1, 2),
        params: vec![],
        version: number(1, 5),
        record: vec![],
        entries: bytes(3, &entry()),
        terminals: bytes(4, &terminal()),
        siblings: vec![],
        top: bytes(8, &bytes(1, &[0x7f])),
        opening: vec![],
        nonce: bytes(6, &NONCE),
        end: vec![],
    }
}

impl Fields {
    fn version_proof(&self) -> Vec<u8> {
        let fields = [
            &self.version,
            &self.record,
            &self.entries,
            &self.terminals,
            &self.siblings,
            &self.top,
        ];
        fields.map(|field| &field[..]).concat()
    }

    fn bytes(&self) -> Vec<u8> {
        let version = bytes(4, &self.version_proof());
        let fields = [
            &self.format,
            &self.params,
            &version,
            &self.opening,
            &self.nonce,
            &self.end,
        ];
        fields.map(|field| &field[..]).concat()
    }
}

fn of_bytes(malformed: &str, why: &str, proof: Vec<u8>) -> RefusedVector {
    RefusedVector {
        name: String::new(),
        rule: "malformed".into(),
        malformed: Some(malformed.into()),
        why: why.into(),
        proof: proof.into(),
        trusted: vec![Trusted::from(&Expected::Carried)],
    }
}

/// Returns the proof with some of its fields replaced.
fn spoilt(malformed: &str, why: &str, change: impl FnOnce(&mut Fields)) -> RefusedVector {
    let mut fields = fields();
    change(&mut fields);
    of_bytes(malformed, why, fields.bytes())
}

pub(super) fn vectors(states: &States) -> Vec<RefusedVector> {
    assert!(Proof::decode(&fields().bytes()).is_ok());
    let mut vectors = of_protobuf();
    vectors.extend(of_order_and_defaults());
    vectors.extend(of_parts());
    vectors.extend(of_lengths());
    vectors.extend(of_counts());
    vectors.extend(of_records(states));
    vectors.extend(of_siblings());
    // New ones are added at the end, so that the numbers in names stay the same.
    vectors.extend(of_one_count());
    vectors
}

fn of_protobuf() -> Vec<RefusedVector> {
    let whole = fields().bytes();
    let cut = whole[..whole.len() - 1].to_vec();
    let group = |end: &mut Vec<u8>| end.extend([varint(12 << 3 | 3), varint(12 << 3 | 4)].concat());
    vec![
        of_bytes("Field", "The last byte is cut off.", cut),
        spoilt("Field", "A group.", |fields| group(&mut fields.end)),
        spoilt("Field", "A field of fixed width.", |fields| {
            fields.end = [varint(12 << 3 | 5), vec![1; 4]].concat();
        }),
        spoilt("Field", "A varint of eleven bytes.", |fields| {
            fields.version = [&[8][..], &[0x80; 10], &[0]].concat();
        }),
        spoilt(
            "Protobuf",
            "The format is of the wrong wire type.",
            |fields| {
                fields.format = bytes(1, &[1]);
            },
        ),
        spoilt("Protobuf", "An entry ends within its key.", |fields| {
            fields.entries = bytes(3, &[0x0a, 5, b'a']);
        }),
        of_bytes("Form.Versions", "No bytes.", vec![]),
    ]
}

fn of_order_and_defaults() -> Vec<RefusedVector> {
    let odd = |why, change: fn(&mut Fields)| spoilt("NotCanonical", why, change);
    vec![
        odd("An unknown field of the proof.", |fields| {
            fields.end = number(12, 1)
        }),
        odd("An unknown field of an entry.", |fields| {
            fields.entries = bytes(3, &[entry(), number(9, 1)].concat());
        }),
        odd("Something in \"absent\".", |fields| {
            fields.entries = bytes(3, &[bytes(1, b"a"), bytes(4, &number(1, 1))].concat());
        }),
        odd("Policy 0 is spelled out.", |fields| {
            fields.params = number(3, 0)
        }),
        odd("An empty salt is spelled out.", |fields| {
            fields.params = bytes(2, &[])
        }),
        odd("Version 0 is spelled out.", |fields| {
            fields.version = number(1, 0)
        }),
        odd("An empty bitmap is spelled out.", |fields| {
            fields.siblings = bytes(5, &[])
        }),
        odd("An empty opening is spelled out.", |fields| {
            fields.opening = bytes(5, &[])
        }),
        odd("An empty key is spelled out.", |fields| {
            fields.entries = bytes(3, &[bytes(1, &[]), bytes(4, &[])].concat());
        }),
        odd("Terminals before entries.", |fields| {
            std::mem::swap(&mut fields.entries, &mut fields.terminals);
        }),
        odd("The format comes last.", |fields| {
            fields.end = std::mem::take(&mut fields.format);
        }),
        odd("The version number twice.", |fields| {
            fields.version = number(1, 5).repeat(2);
        }),
        odd("Two tops.", |fields| {
            fields.top = [bytes(7, &[0xc0; 48]), bytes(8, &bytes(1, &[0x7f]))].concat();
        }),
        odd("Two claims of one entry.", |fields| {
            fields.entries = bytes(3, &[bytes(1, b"a"), bytes(2, b"1"), bytes(4, &[])].concat());
        }),
        odd("A varint longer than it has to be.", |fields| {
            fields.format = vec![8, 0x82, 0];
        }),
        odd("A length longer than it has to be.", |fields| {
            fields.terminals = [varint(4 << 3 | 2), vec![0x84, 0], terminal()].concat();
        }),
        odd(
            "A format of 33 bits, the lower 32 of which are 2.",
            |fields| {
                fields.format = number(1, 1 << 32 | 2);
            },
        ),
    ]
}

fn of_parts() -> Vec<RefusedVector> {
    vec![
        spoilt("Format", "Format 1.", |fields| fields.format = number(1, 1)),
        spoilt(
            "Format",
            "Format 1 without a nonce, which it did not have.",
            |fields| {
                fields.format = number(1, 1);
                fields.nonce.clear();
            },
        ),
        spoilt("Format", "Format 3.", |fields| fields.format = number(1, 3)),
        spoilt("Format", "No format.", |fields| fields.format.clear()),
        spoilt("Collision", "Policy 3.", |fields| {
            fields.params = number(3, 3)
        }),
        spoilt("Missing", "An entry without a claim.", |fields| {
            fields.entries = bytes(3, &bytes(1, b"a"));
        }),
        spoilt("Missing", "A terminal that is nothing.", |fields| {
            fields.terminals = bytes(4, &number(1, 7));
        }),
        spoilt("Missing", "A version without a top.", |fields| {
            fields.top.clear()
        }),
    ]
}

fn of_lengths() -> Vec<RefusedVector> {
    let in_terminal = |malformed, why, depth, field, content: Vec<u8>| {
        spoilt(malformed, why, |fields| {
            fields.terminals = bytes(4, &[number(1, depth), bytes(field, &content)].concat());
        })
    };
    let opening = |why, length| {
        spoilt("OpeningLength", why, |fields| {
            fields.opening = bytes(5, &vec![0xc0; length])
        })
    };
    vec![
        spoilt("Length", "A salt of 31 bytes.", |fields| {
            fields.params = bytes(2, &[1; 31]);
        }),
        spoilt("Length", "A nonce of 15 bytes.", |fields| {
            fields.nonce = bytes(6, &[1; 15]);
        }),
        spoilt("Length", "No nonce.", |fields| fields.nonce.clear()),
        spoilt("Length", "A value hash of 33 bytes.", |fields| {
            fields.entries = bytes(3, &[bytes(1, b"a"), bytes(3, &[1; 33])].concat());
        }),
        spoilt("Length", "A KZG root of 47 bytes.", |fields| {
            fields.top = bytes(7, &[0xc0; 47]);
        }),
        in_terminal("Length", "Another leaf of 63 bytes.", 7, 4, vec![1; 63]),
        in_terminal(
            "Length",
            "A bucket of two members and a byte.",
            56,
            5,
            vec![1; 129],
        ),
        in_terminal(
            "Form.BucketMembers",
            "A bucket of one member.",
            56,
            5,
            vec![1; 64],
        ),
        in_terminal(
            "Form.BucketMembers",
            "A bucket of 17 members.",
            56,
            5,
            vec![1; 17 * 64],
        ),
        in_terminal("Form.BucketMembers", "A bucket of none.", 56, 5, vec![]),
        in_terminal("Form.Depth", "A terminal of depth 6.", 6, 2, vec![]),
        in_terminal("Form.Depth", "A terminal of depth 57.", 57, 2, vec![]),
        in_terminal(
            "Form.Depth",
            "A depth of more than a byte.",
            256 + 7,
            2,
            vec![],
        ),
        opening("An opening of 47 bytes.", 47),
        opening("An opening of one point and a half.", 72),
        opening("An opening of three points.", 144),
    ]
}

/// Nothing else is wrong with it.
fn of_one_count() -> Vec<RefusedVector> {
    let nonce_alone = [number(1, 2), bytes(6, &NONCE)].concat();
    vec![of_bytes(
        "Form.Versions",
        "No version, and a nonce.",
        nonce_alone,
    )]
}

fn of_counts() -> Vec<RefusedVector> {
    let none = [number(1, 2)].concat();
    let smallest = bytes(4, &[bytes(3, &[]), bytes(4, &[])].concat());
    let many = [number(1, 2), smallest.repeat(VERSIONS_MAX + 1)].concat();
    vec![
        of_bytes("Form.Versions", "No version.", none),
        of_bytes(
            "Form.Versions",
            "1,025 versions, each with next to nothing in it.",
            many,
        ),
        spoilt("Form.Entries", "No entry.", |fields| {
            fields.entries.clear();
            fields.terminals.clear();
        }),
        spoilt("Form.Terminals", "No terminal.", |fields| {
            fields.terminals.clear()
        }),
        spoilt("Form.Terminals", "More terminals than entries.", |fields| {
            fields.terminals = fields.terminals.repeat(2);
        }),
        spoilt("Form.KeyBytes", "A key of 4,097 bytes.", |fields| {
            fields.entries = bytes(3, &[bytes(1, &[0; 4097]), bytes(4, &[])].concat());
        }),
    ]
}

fn of_records(states: &States) -> Vec<RefusedVector> {
    let of_a = [part(&states.empty, ["a"]).with_record()];
    let record = prove(&of_a).versions[0]
        .record
        .as_ref()
        .map(|record| record.encode());
    let record = record.unwrap();
    let with = |malformed, why, change: fn(&mut Vec<u8>)| {
        let mut record = record.clone();
        change(&mut record);
        spoilt(malformed, why, |fields| fields.record = bytes(2, &record))
    };
    vec![
        with("Record.Format", "A record of format 1.", |record| {
            record[0] = 1
        }),
        with(
            "Record.Length",
            "A record that ends within its fields.",
            |record| {
                record.truncate(235);
            },
        ),
        with(
            "Record.Length",
            "A record with 257 bytes of metadata.",
            |record| {
                record.truncate(234);
                record.extend([1, 1]);
                record.extend([0; 257]);
            },
        ),
        with("Record.Metadata", "A byte behind the metadata.", |record| {
            record.push(0)
        }),
        with("Record.Metadata", "Metadata that is cut.", |record| {
            record.pop();
        }),
    ]
}

fn of_siblings() -> Vec<RefusedVector> {
    let top = |malformed, why, bitmap: &[u8], list: &[u8]| {
        spoilt(malformed, why, |fields| {
            let list = if list.is_empty() {
                vec![]
            } else {
                bytes(2, list)
            };
            fields.top = bytes(8, &[bytes(1, bitmap), list].concat());
        })
    };
    let below = |malformed, why, list: &[u8]| {
        spoilt(malformed, why, |fields| fields.siblings = bytes(6, list))
    };
    vec![
        top(
            "Siblings.Zero",
            "A digest of zero in the list.",
            &[0x3f],
            &[0; 32],
        ),
        top(
            "Siblings.Length",
            "A list that ends within a digest.",
            &[0x3f],
            &[1; 31],
        ),
        top(
            "Siblings.Bitmap",
            "A byte too many in the bitmap.",
            &[0x7f, 0],
            &[],
        ),
        top("Siblings.Bitmap", "A bit behind the last.", &[0xfe], &[]),
        below("Siblings.Bitmap", "A list without a bitmap.", &[1; 32]),
        top(
            "Form.TopSiblings",
            "Eight empty siblings above one slot.",
            &[0xff],
            &[],
        ),
        top(
            "Form.TopSiblings",
            "Eight siblings above one slot.",
            &[0],
            &[1; 8 * 32],
        ),
        below(
            "Form.Siblings",
            "50 siblings below the slot of one terminal.",
            &[1; 50 * 32],
        ),
        spoilt(
            "Form.Siblings",
            "A bitmap of 50 empty siblings below the slot of one terminal.",
            |fields| fields.siblings = bytes(5, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3]),
        ),
        below(
            "Siblings.Length",
            "A list of 33 bytes below the slots.",
            &[1; 33],
        ),
    ]
}
