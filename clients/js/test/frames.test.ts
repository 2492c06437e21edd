import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  decodeBeginning,
  decodeFrame,
  encodeRecord,
  fromHex,
  KeyError,
  MalformedError,
  PublicKey,
  toHex,
  verifyBeginningSignature,
  verifyFrameSignature,
} from "../src/index.js";
import { decompress } from "../src/lz4.js";
import { check, hex, vectors, type Answered } from "./vectors.js";

type Pinned = { keys: string[] };

interface Frames {
  keys: { secret: string; public: string }[];
  refused_keys: { of: string; public: string; error: string }[];
  frames: Answered<Pinned>[];
  beginnings: Answered<Pinned>[];
}

const { keys, refused_keys: refusedKeys, frames, beginnings } = vectors<Frames>("frames.json");

const pinned = ({ keys }: Pinned) => keys.map((key) => PublicKey.of(key));

test("every key is read, and every other point refused by its fault", () => {
  for (const key of keys) assert.equal(String(PublicKey.of(fromHex(key.public))), key.public);
  for (const { of, public: key, error } of refusedKeys) {
    assert.throws(
      () => PublicKey.of(key),
      (thrown) => thrown instanceof KeyError && thrown.code === error,
      of,
    );
  }
  for (const text of ["", "00", `${keys[0]!.public}\n`, "g".repeat(64)])
    assert.throws(() => PublicKey.of(text), KeyError);
});

test("every frame gets its answer", () => {
  const accepted = check(frames, (bytes, trusted) => {
    const { signer, commitId, frame } = verifyFrameSignature(decodeFrame(bytes), pinned(trusted));
    return {
      signer: String(signer),
      record: toHex(encodeRecord(frame.record)),
      commit_id: toHex(commitId),
      kzg_root: hex(frame.kzgRoot),
      outcomes: toHex(frame.outcomes),
      effects: toHex(frame.effects),
    };
  });
  assert.ok(accepted >= 5);
});

test("every beginning gets its answer", () => {
  const accepted = check(beginnings, (bytes, trusted) => {
    const { signer, treeId, beginning } = verifyBeginningSignature(decodeBeginning(bytes), pinned(trusted));
    return {
      signer: String(signer),
      tree_id: toHex(treeId),
      epoch: String(beginning.epoch),
      version: String(beginning.version),
      commit_id: toHex(beginning.commitId),
    };
  });
  assert.ok(accepted >= 2);
});

test("what is no block of LZ4 of the length is refused", () => {
  const block = (text: string) => fromHex(text.replaceAll(" ", ""));
  assert.equal(toHex(decompress(block("1f 61 0100 00 00"), 20)), "61".repeat(20));
  const wrong: [string, string, number][] = [
    ["no byte behind the literals", "1f 61 0100 00", 20],
    ["an offset of zero", "1f 61 0000 00 00", 20],
    ["an offset before the first byte", "1f 61 0200 00 00", 20],
    ["literals behind the end", "20 61", 2],
    ["a length without its end", "f0 ff", 300],
    ["one byte more", "1f 61 0100 00 00", 19],
    ["one byte less", "1f 61 0100 00 00", 21],
    ["half an offset", "1f 61 01", 20],
    ["no block", "", 1],
    ["no content", "00", 0],
    ["more than a block can stand for", "1f 61 0100 00 00", 255 * 6 + 1],
  ];
  for (const [name, bytes, length] of wrong)
    assert.throws(() => decompress(block(bytes), length), MalformedError, name);
});
