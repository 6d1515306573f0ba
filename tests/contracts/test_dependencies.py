"""Libraries with known weaknesses that another one brings along are never loaded: SECURITY.md says which, and why."""

import re
import subprocess
import sys
from pathlib import Path

SECURITY = (Path(__file__).parents[2] / "SECURITY.md").read_text("utf-8")
# Everything is imported, an address is read, and both kinds of keys sign and verify: what that takes is loaded then.
SCRIPT = """
import sys
import authsvc.__main__, authsvc.app, authsvc.server, authsvc.middleware
from authsvc import emails, key_sets
emails.parse("ada@example.com")
for algorithm in ("ES256", "RS256"):
    keys = key_sets.read_key_set(key_sets.json.dumps({"keys": [key_sets.generate_key(algorithm)]}))
    assert keys.verification[keys.signing.kid].verifies(b"message", keys.signing.sign(b"message"))
print(*sys.modules)
"""


def test_what_is_said_never_to_be_loaded_is_not() -> None:
    """DEP-18 (ASVS 15.2.1): the modules at fault in CVE-2024-23342, CVE-2024-33663 and -33664 are not there."""
    told = set(re.findall(r"^\| `([\w.]+)` \|", SECURITY, re.MULTILINE))
    assert {"ecdsa", "rsa", "pyasn1", "jose.jwt", "jose.jws", "jose.jwe", "dns"} <= told
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "jose.backends.cryptography_backend" in loaded
    assert told & loaded == set()
