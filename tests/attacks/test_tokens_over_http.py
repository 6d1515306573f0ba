"""Bad access tokens over HTTP: one answer to all of them, and in the log nothing but the reason's code."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from authsvc.config import Config
from tests import make
from tests.attacks.tokens import (
    MISSING,
    NOW,
    REASONS,
    b64,
    ec_key,
    es256,
    forge,
    header,
    hs256,
    payload,
    raw,
    rs256,
    rsa_jwk,
    to_bytes,
)
from tests.conftest import Client
from tests.web.helpers import ME, Wire

# What differs from one line to the next, and is ours.
VOLATILE = {"time", "request_id", "httpRequest"}


def bad_tokens(claims: Callable[..., dict[str, object]]) -> list[tuple[str, str]]:
    """Return tokens beside the reason for which each is refused; each differs from a good one in one thing."""
    good = forge(header(), claims())
    head, body, signature = good.split(".")
    unsigned = b64(to_bytes(header(alg="none")))
    public = (
        ec_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    stranger = ec.derive_private_key(4711, ec.SECP256R1())
    return [
        # malformed
        ("x", "not_a_jws"),
        (f"{head}.{body}", "not_a_jws"),
        (f"{good}.{signature}", "not_a_jws"),
        (f"{good}=", "not_a_jws"),
        (f"{good}\udcff", "not_a_jws"),
        (forge(header(), claims(), lambda message: es256(message)[:-1]), "bad_signature"),
        (f"{head}.{b64(b'[' * 2700)}.{signature}", "bad_signature"),
        (f"{b64(b'[' * 2700)}.{body}.{signature}", "not_json"),
        (forge(header(crit=["x"]), claims()), "unsupported_header"),
        # of somebody else
        (forge(header(), claims(), lambda message: es256(message, stranger)), "bad_signature"),
        (forge(header(alg="RS256", kid=rsa_jwk()["kid"]), claims(), rs256), "unknown_key"),
        (forge(header(kid=MISSING), claims()), "unknown_key"),
        (forge(header(), claims(iss="https://evil.example")), "wrong_issuer_or_audience"),
        (forge(header(), claims(aud="another")), "wrong_issuer_or_audience"),
        # at another time
        (forge(header(), claims(iat=NOW - 900, exp=NOW - 30)), "expired"),
        (forge(header(), claims(iat=NOW + 31)), "issued_in_the_future"),
        (forge(header(), claims(nbf=NOW + 31)), "not_good_yet"),
        (forge(header(), claims(exp=NOW + 86_401)), "wrong_lifetime"),
        # unsigned, or with the public key for a secret
        (f"{unsigned}.{body}.", "not_a_jws"),
        (f"{unsigned}.{body}.{signature}", "wrong_algorithm"),
        (forge(header(alg="HS256"), claims(), hs256(public)), "wrong_algorithm"),
        # oversized
        (f"{good}{'x' * 4096}", "too_long"),
        # a member twice, of another kind, or missing
        (forge(header(), raw(claims(), '"sub":"x"')), "not_json"),
        (forge(raw(header(), '"alg":"none"'), claims()), "not_json"),
        (forge(header(typ="JWT"), claims()), "wrong_type"),
        (forge(header(typ=MISSING), claims()), "wrong_type"),
        (forge(header(), claims(exp=MISSING)), "wrong_claim"),
        (forge(header(), claims(sub=5)), "wrong_claim"),
    ]


@pytest.mark.parametrize("carrier", ["Authorization: Bearer ", "Cookie: access_token="])
async def test_every_bad_token_is_invalid_token_and_only_the_log_is_told_why(
    client: Client, config: Config, log: StringIO, carrier: str
) -> None:
    """TOK-01 to TOK-23 (RFC 6750 §3.1, ASVS 16.3.2)."""
    user, wire = await make.user(client), Wire(client.server.port)

    def claims(**changes: Any) -> dict[str, object]:
        return payload(**{"iss": config.tokens.issuer, "sub": user["id"], **changes})

    assert (await wire.get(ME, carrier + forge(header(), claims())))[0] == 200
    bodies, reasons = set(), set()
    for token, reason in bad_tokens(claims):
        told = len(log.getvalue())
        status, answer = await wire.get(ME, carrier + token)
        head, _, body = answer.partition("\r\n\r\n")
        assert (status, json.loads(body).get("code")) == (401, "invalid_token"), reason
        assert '\r\nWWW-Authenticate: Bearer error="invalid_token"\r\n' in head, reason
        lines = [json.loads(line) for line in log.getvalue()[told:].splitlines()]
        assert [{name: line[name] for name in line.keys() - VOLATILE} for line in lines] == [
            {
                "severity": "INFO",
                "event": "access_token_refused",
                "message": "access_token_refused",
                "reason": reason,
            },
            {"severity": "INFO", "event": "request", "message": f"GET {ME} 401", "code": "invalid_token"},
        ]
        bodies.add(body.replace(json.loads(body)["instance"], ""))
        reasons.add(reason)
    assert len(bodies) == 1
    assert reasons == REASONS
