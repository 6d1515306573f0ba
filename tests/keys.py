"""Private keys, made once a run, and the settings that hold them."""

import json
from functools import cache

from authsvc import key_sets
from authsvc.config import Secret, Tokens

ISSUER = "https://auth.example.com"
SECRET = Secret("0123456789abcdef0123456789abcdef")


@cache
def jwk(name: str) -> dict[str, str]:
    """A private key, made once a run: `EC`, `EC2`, `RSA`."""
    return key_sets.generate_key("RS256" if name == "RSA" else "ES256")


def tokens_of(*names: str) -> Tokens:
    keys = None if names == ("HMAC",) else Secret(json.dumps({"keys": [jwk(name) for name in names]}))
    return Tokens(None if keys else SECRET, keys, ISSUER, "authsvc", 900, 0)
