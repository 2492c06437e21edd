"""All vectors of core/tests/vectors, and the table of keys of SPEC.md."""

import json
import random
import re
import unittest
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trunkline_client import (
    Absent,
    ArgumentError,
    CommitId,
    KzgRoot,
    MalformedError,
    Proven,
    RefusedError,
    Root,
    StateDigest,
    TreeParams,
    Unproven,
    Value,
    check_audit,
    check_proof,
    decode_ancestor_proof,
    decode_audit_proof,
    decode_consistency_proof,
    decode_evidence,
    decode_proof,
    decode_record,
    provisional_root,
    provisional_start,
    submission_digest,
    verify_ancestor,
    verify_audit,
    verify_consistency,
    verify_evidence,
    verify_proof,
)
from trunkline_client.hashes import hash_leaf, key_of, plain
from trunkline_client.params import POLICIES
from trunkline_client.proof import Claim
from trunkline_client.ranges import HISTORY, OUTCOMES, digest_of_all
from trunkline_client.trusted import Nothing, Trusted
from trunkline_client.verify import verify_each

REPOSITORY = Path(__file__).resolve().parents[3]
KINDS = {"root": Root, "commit_id": CommitId, "state_digest": StateDigest, "kzg_root": KzgRoot}


def vectors(name: str) -> Any:
    return json.loads((REPOSITORY / "core/tests/vectors" / name).read_text())


def hexa(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def trusted_of(vector: dict[str, Any]) -> Trusted | Nothing:
    if vector["kind"] == "nothing":
        return Nothing()
    fields = {name: hexa(text) for name, text in vector.items() if name not in ("kind", "version")}
    if vector["kind"] == "root":
        return Root(version=int(vector["version"]), **{"kzg_root": None, **fields})
    return KINDS[vector["kind"]](**fields)


def answer(verify: Callable[[], Any]) -> tuple[str, Any]:
    """Returns the rule that refuses, or `accepted` and what is shown. Any other error is a failure."""
    try:
        return "accepted", verify()
    except (MalformedError, RefusedError) as error:
        return error.code, None


def written(shown: Any) -> dict[str, str]:
    """Returns the fields of a dataclass, as the vectors write them."""
    return {name: each.hex() if isinstance(each, bytes) else str(each) for name, each in asdict(shown).items()}


def claim_of(claim: Claim) -> Any:
    if isinstance(claim, Absent):
        return "absent"
    return {"value": claim.value.hex()} if isinstance(claim, Value) else {"value_hash": claim.value_hash.hex()}


class Proofs(unittest.TestCase):
    def test_every_proof_is_accepted_with_its_claims(self) -> None:
        for vector in vectors("proofs.json"):
            with self.subTest(vector["name"]):
                trusted = [trusted_of(each) for each in vector["trusted"]]
                shown = verify_each(decode_proof(bytes.fromhex(vector["proof"])), trusted)
                self.assertEqual(len(shown), len(vector["claims"]))
                for version, claims, held in zip(shown, vector["claims"], trusted, strict=True):
                    self.check_claims(version, claims, held)

    def check_claims(self, version: Proven | Unproven, claims: Any, held: Trusted | Nothing) -> None:
        proven = isinstance(version, Proven)
        entries = version.entries if proven else version.claimed_entries
        written = [{"key": each.key.hex(), "claim": claim_of(each.claim)} for each in entries]
        self.assertEqual(written, claims["entries"])
        self.assertEqual(proven, not isinstance(held, Nothing))
        if proven:
            binds = isinstance(held, (Root, CommitId))
            self.assertEqual(version.version, int(claims["version"]) if binds else None)
            self.assertIs(version.bound_to, type(held))
            self.assertEqual(version.claim(entries[0].key), entries[0].claim)
            self.assertIsNone(version.claim("a key of which nothing is said"))

    def test_every_forgery_is_refused_by_its_rule(self) -> None:
        for vector in vectors("refused.json"):
            with self.subTest(vector["name"]):
                trusted = [trusted_of(each) for each in vector["trusted"]]
                rule, _ = answer(lambda: verify_each(decode_proof(bytes.fromhex(vector["proof"])), trusted))
                self.assertEqual(rule, vector["rule"], vector["why"])

    def test_nothing_trusted_proves_nothing(self) -> None:
        proof = decode_proof(bytes.fromhex(vectors("proofs.json")[0]["proof"]))
        self.assertIsInstance(check_proof(proof)[0], Unproven)
        for nothing in (Nothing(), None, b"", "root"):
            with self.assertRaises(ArgumentError):
                verify_proof(proof, nothing)

    def test_what_is_no_argument_is_refused(self) -> None:
        audit, [ancestor, consistency, evidence] = (
            decode_audit_proof(bytes.fromhex(vectors("audits.json")[0]["proof"])),
            [
                decode(bytes.fromhex(all_vectors[0]["proof"]))
                for decode, all_vectors in (
                    (decode_ancestor_proof, vectors("history.json")["ancestors"]),
                    (decode_consistency_proof, vectors("history.json")["consistency"]),
                    (decode_evidence, vectors("evidence.json")),
                )
            ],
        )
        good = bytes(32)
        for wrong in (b"", bytes(31), bytes(33), "00" * 32, None):
            for attempt in (
                lambda: CommitId(wrong),
                lambda: StateDigest(wrong, good),
                lambda: StateDigest(good, wrong),
                lambda: KzgRoot(wrong, bytes(48)),
                lambda: KzgRoot(good, wrong),
                lambda: Root(wrong, 1, good, good, None),
                lambda: Root(good, 1, wrong, good, None),
                lambda: Root(good, 1, good, wrong, None),
                lambda: Root(good, 1, good, good, wrong or b""),
                lambda: Root(good, "1", good, good, None),
                lambda: verify_ancestor(ancestor, wrong),
                lambda: verify_consistency(consistency, wrong, good),
                lambda: verify_consistency(consistency, good, wrong),
                lambda: verify_evidence(evidence, wrong, good),
                lambda: verify_evidence(evidence, good, wrong),
                lambda: verify_audit(audit, wrong),
            ):
                with self.assertRaises(ArgumentError):
                    attempt()
            self.assertRaises((ArgumentError, MalformedError), decode_proof, wrong)

    def test_a_length_is_refused_before_anything_is_read(self) -> None:
        for bound, decode in (
            (64 << 20, decode_proof),
            (16_384, decode_ancestor_proof),
            (16_384, decode_consistency_proof),
            (33_562_624, decode_evidence),
            (8_192, decode_audit_proof),
        ):
            self.assertRaisesRegex(MalformedError, "the bound is", decode, bytes(bound + 1))
            self.assertRaisesRegex(MalformedError, "format 0", decode, bytes(bound))

    def test_one_field_does_not_occur_a_million_times(self) -> None:
        for field, reason in ((b"\x08\x01", "out of order"), (b"\x1a\x00", "more than 65536 times")):
            version = field * 1_000_000
            length = b"\x80\x89\x7a"  # 2,000,000
            self.assertRaisesRegex(MalformedError, reason, decode_proof, b"\x08\x02\x22" + length + version)


class Answered(unittest.TestCase):
    """Vectors that have their answer with them."""

    def check(self, all_vectors: Any, verify: Callable[[bytes, Any], Any]) -> None:
        accepted = 0
        for vector in all_vectors:
            with self.subTest(of=vector["of"], mutation=vector["mutation"]):
                rule, shown = answer(lambda: verify(bytes.fromhex(vector["proof"]), vector["trusted"]))
                self.assertEqual(rule, vector["rule"])
                self.assertEqual(shown, vector.get("shown"))
                accepted += rule == "accepted"
        self.assertGreater(accepted, 10)

    def test_every_ancestor_proof_gets_its_answer(self) -> None:
        def verify(proof: bytes, trusted: Any) -> Any:
            shown = verify_ancestor(decode_ancestor_proof(proof), bytes.fromhex(trusted["head"]))
            return written(shown)

        self.check(vectors("history.json")["ancestors"], verify)

    def test_every_consistency_proof_gets_its_answer(self) -> None:
        def verify(proof: bytes, trusted: Any) -> Any:
            given = [hexa(trusted[name]) for name in ("older", "head", "older_record")]
            shown = verify_consistency(decode_consistency_proof(proof), *given)
            return written(shown)

        self.check(vectors("history.json")["consistency"], verify)

    def test_all_evidence_gets_its_answer(self) -> None:
        def verify(proof: bytes, trusted: Any) -> Any:
            given = [bytes.fromhex(trusted[name]) for name in ("provisional_root", "commit_id")]
            shown = verify_evidence(decode_evidence(proof), *given)
            return {
                "tree_id": shown.tree_id.hex(),
                "version": str(shown.version),
                "sequence": str(shown.outcome.sequence),
                "index": str(shown.index),
                "submission": shown.outcome.submission.hex(),
                "outcome": shown.outcome.encode().hex(),
            }

        self.check(vectors("evidence.json"), verify)

    def test_every_audit_proof_gets_its_answer(self) -> None:
        def verify(proof: bytes, vector: Any) -> Any:
            trusted = trusted_of(vector)
            decoded = decode_audit_proof(proof)
            shown = check_audit(decoded) if isinstance(trusted, Nothing) else verify_audit(decoded, trusted)
            return {
                "binds": shown.binds,
                "tree_id": shown.tree_id.hex(),
                "version": None if shown.version is None else str(shown.version),
                "state_digest": shown.state_digest.hex(),
                "kzg_root": shown.kzg_root.hex(),
            }

        self.check(vectors("audits.json"), verify)


class Parts(unittest.TestCase):
    def test_every_name_has_the_key_of_the_table(self) -> None:
        spec = (REPOSITORY / "SPEC.md").read_text()
        table = re.findall(r"^\| `([a-z ]+)` \| `([0-9a-f]{64})` \|$", spec, re.MULTILINE)
        self.assertGreaterEqual(len(table), 20)
        for name, key in table:
            self.assertEqual(key_of(name).hex(), key, name)

    def test_every_record_has_its_bytes_and_its_commit_id(self) -> None:
        for vector in vectors("records.json")["records"]:
            record = decode_record(bytes.fromhex(vector["bytes"]))
            own = {"name": vector["name"], "bytes": record.encode().hex(), "commit_id": record.commit_id().hex()}
            self.assertEqual(written(record) | own, vector)

    def test_every_range_has_its_digest(self) -> None:
        records = vectors("records.json")
        for names, ranges in ((HISTORY, records["histories"]), (OUTCOMES, records["outcomes"])):
            for vector in ranges:
                items = [bytes.fromhex(item) for item in vector["items"]]
                self.assertEqual(digest_of_all(names, items).hex(), vector["digest"])

    def test_every_submission_has_its_digest_and_its_provisional_root(self) -> None:
        chain = vectors("records.json")["provisional"]
        root = provisional_start(bytes.fromhex(chain["last_durable_commit_id"]), int(chain["open_epoch"]))
        self.assertEqual(root.hex(), chain["start"])
        params = TreeParams(bytes(16), None, "bucket")
        for vector in chain["submissions"]:
            writes = [(bytes.fromhex(each["key"]), hexa(each["value"])) for each in vector["writes"]]
            required = [(bytes.fromhex(each["key"]), hexa(each["value_hash"])) for each in vector["requirements"]]
            digest = submission_digest(params, writes, required, bytes.fromhex(vector["metadata"]))
            self.assertEqual(digest.hex(), vector["submission_digest"])
            root = provisional_root(root, digest)
            self.assertEqual(root.hex(), vector["provisional_root"])

    def test_every_tree_has_its_id_and_every_leaf_its_hashes(self) -> None:
        for state in vectors("states.json"):
            params = TreeParams(bytes.fromhex(state["nonce"]), hexa(state["salt"]), POLICIES[state["policy"]])
            self.assertEqual(params.tree_id().hex(), state["tree_id"])
            for leaf in state["leaves"]:
                pair = bytes.fromhex(leaf["key_hash"]), bytes.fromhex(leaf["value_hash"])
                self.assertEqual(hash_leaf(*pair).hex(), leaf["leaf_digest"])
                if leaf["key"] is not None and leaf["value"] is not None:
                    hashed = params.key_hasher()(bytes.fromhex(leaf["key"])), plain(bytes.fromhex(leaf["value"]))
                    self.assertEqual(hashed, pair)


class Total(unittest.TestCase):
    def test_changed_bytes_are_decoded_or_malformed(self) -> None:
        seeded = random.Random(1)
        for decode, all_vectors in (
            (decode_proof, vectors("proofs.json")),
            (decode_ancestor_proof, vectors("history.json")["ancestors"]),
            (decode_consistency_proof, vectors("history.json")["consistency"]),
            (decode_evidence, vectors("evidence.json")),
            (decode_audit_proof, vectors("audits.json")),
        ):
            originals = [vector["proof"] for vector in all_vectors if vector.get("rule", "accepted") == "accepted"]
            rules = []
            for _ in range(1500):
                changed = bytearray.fromhex(seeded.choice(originals))
                at = seeded.randrange(len(changed))
                changed[at : at + seeded.choice((0, 1, 1, 1, 20))] = seeded.randbytes(seeded.choice((0, 1, 1, 1, 2)))
                rules.append(answer(lambda: decode(bytes(changed)))[0])
            self.assertGreater(rules.count("malformed"), 100)
            self.assertEqual(set(rules), {"malformed", "accepted"})


if __name__ == "__main__":
    unittest.main()
