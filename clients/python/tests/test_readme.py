"""The example of README.md runs as it stands."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

from test_vectors import vectors

README = (Path(__file__).parents[1] / "README.md").read_text()
NAMES = {"value": "Value", "value_hash": "ValueHash"}


class Readme(unittest.TestCase):
    def test_the_example_verifies_and_refuses_against_another_commit_id(self) -> None:
        [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        vector = next(each for each in vectors("proofs.json") if each["trusted"][0]["kind"] == "commit_id")
        claims = vector["claims"][0]
        entry = claims["entries"][0]
        claim = "Absent" if entry["claim"] == "absent" else NAMES[next(iter(entry["claim"]))]
        commit_id = vector["trusted"][0]["commit_id"]

        def run(trusted: str) -> str:
            given = {"PROOF": vector["proof"], "COMMIT_ID": trusted, "KEY": entry["key"]}
            command = [sys.executable, "-c", code]
            return subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=True).stdout

        self.assertEqual(run(commit_id), f"version {claims['version']}: {claim}\n")
        self.assertRegex(run("00" * 32), r"^nothing is proven: refused \(ExpectedCommit\)")


if __name__ == "__main__":
    unittest.main()
