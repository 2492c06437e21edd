"""Protobuf with one encoding of each message (SPEC.md §9.1).

A message is decoded by its table of fields, encoded again, and compared. So the reader need not know which of two
spellings is the right one.
"""

from dataclasses import dataclass
from typing import Any

from .errors import ArgumentError, MalformedError, malformed_unless

_VARINT, _BYTES = 0, 2

Message = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a message. A chosen field is one of several choices, and is written even if it is empty."""

    number: int
    kind: str  # uint32, uint64, bytes, or message
    chosen: bool = False
    schema: "Schema | None" = None
    bound: int | None = None  # of a list: elements in the whole message that is decoded

    @property
    def wire_type(self) -> int:
        return _VARINT if self.kind.startswith("uint") else _BYTES

    @property
    def tag(self) -> int:
        return self.number << 3 | self.wire_type

    @property
    def is_list(self) -> bool:
        return self.bound is not None

    def initial(self) -> Any:
        if self.is_list:
            return []
        if self.chosen:
            return None
        return 0 if self.wire_type == _VARINT else b""


Schema = dict[str, Field]


def decode(schema: Schema, encoded: bytes, bound: int) -> Message:
    """Decodes a message in its one encoding."""
    if not isinstance(encoded, (bytes, bytearray, memoryview)):
        raise ArgumentError("what is decoded must be bytes")
    malformed_unless(len(encoded) <= bound, f"it has {len(encoded)} bytes, and the bound is {bound}")
    own = bytes(encoded)
    _check_format(own)
    message = _read(schema, own, {})
    malformed_unless(encode(schema, message) == own, "it is not in the one encoding that its content has")
    return message


def _check_format(encoded: bytes) -> None:
    # Every message begins with its format: another format may have other fields.
    number = 0
    if encoded[:1] == b"\x08":
        number, _ = _varint(encoded, 1)
    malformed_unless(number == 2, f"it is of format {number}, and this verifier reads format 2 alone")


def _read(schema: Schema, encoded: bytes, counts: dict[int, int]) -> Message:
    # Fields out of order end the reading at once. Without that, 64 MiB could hold one field many millions of times.
    message = {name: field.initial() for name, field in schema.items()}
    by_tag = {field.tag: (name, field) for name, field in schema.items()}
    at = last = 0
    while at < len(encoded):
        tag, at = _varint(encoded, at)
        malformed_unless(tag in by_tag, f"the tag {tag} is unknown here")
        name, field = by_tag[tag]
        in_order = field.number > last or (field.number == last and field.is_list)
        malformed_unless(in_order, f"field {field.number} is repeated or out of order")
        last = field.number
        value, at = _value(field, encoded, at, counts)
        if field.is_list:
            message[name].append(value)
        else:
            message[name] = value
    return message


def _value(field: Field, encoded: bytes, at: int, counts: dict[int, int]) -> tuple[Any, int]:
    number, at = _varint(encoded, at)
    if field.wire_type == _VARINT:
        malformed_unless(field.kind == "uint64" or number < 1 << 32, f"field {field.number} does not fit into 32 bits")
        return number, at
    malformed_unless(number <= len(encoded) - at, "it ends within a field")
    content = encoded[at : at + number]
    if field.schema is None:
        return content, at + number
    if field.bound is not None:
        count = counts[id(field)] = counts.get(id(field), 0) + 1
        malformed_unless(count <= field.bound, f"field {field.number} occurs more than {field.bound} times")
    return _read(field.schema, content, counts), at + number


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        malformed_unless(at < len(encoded), "it ends within a number")
        byte = encoded[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            malformed_unless(value < 1 << 64, "a number does not fit into 64 bits")
            return value, at
    raise MalformedError("a number does not fit into 64 bits")


def encode(schema: Schema, message: Message) -> bytes:
    """Encodes a message in its one encoding."""
    parts: list[bytes] = []
    for name, field in sorted(schema.items(), key=lambda item: item[1].number):
        value = message[name]
        for each in value if field.is_list else [value]:
            if each is None or (not field.chosen and not field.is_list and not each):
                continue
            parts.append(_written(field.tag))
            if field.wire_type == _VARINT:
                parts.append(_written(each))
            else:
                content = each if field.schema is None else encode(field.schema, each)
                parts += [_written(len(content)), content]
    return b"".join(parts)


def _written(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def only_one(otherwise: str, *choices: object) -> None:
    """Refuses the bytes unless exactly one of the choices is there."""
    malformed_unless(sum(choice is not None for choice in choices) == 1, otherwise)


def one_digest(content: bytes, name: str) -> bytes:
    """Checks the length of a field that is one digest."""
    malformed_unless(len(content) == 32, f"{name} does not have 32 bytes")
    return content


def digests(content: bytes, bound: int, name: str) -> list[bytes]:
    """Splits a field into digests, of which there are at most ``bound``."""
    malformed_unless(len(content) % 32 == 0, f"{name} are no whole number of digests")
    malformed_unless(len(content) <= 32 * bound, f"there are more than {bound} {name}")
    return [content[at : at + 32] for at in range(0, len(content), 32)]
