"""Turning the signing keys: what `authsvc keys rotate` makes of a JWK set. See docs/key-rotation.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authsvc import environment, key_sets
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.key_sets import CURRENT, MAX_AGE_SECONDS, NEXT, PREVIOUS, REFRESH_SECRETS
from authsvc.signing import LEEWAY_SECONDS

SINCE = "since"
"""When the key came into its state: seconds since the epoch (RFC 7519 §2, NumericDate). Never published."""

_TURN: Mapping[str, str | None] = {NEXT: CURRENT, CURRENT: PREVIOUS, PREVIOUS: None}
# So that a reader that knows no states, and signs with the first key, signs with the right one.
_ORDER = (CURRENT, NEXT, PREVIOUS)
_BECAME = {
    (NEXT, CURRENT): "was published, and signs from now on",
    (CURRENT, CURRENT): "signs as before",
    (CURRENT, PREVIOUS): "signed until now, and only verifies from now on",
    (PREVIOUS, PREVIOUS): "verifies as before",
    (PREVIOUS, None): "is gone: its tokens are refused from now on",
}

_FROZEN = f"{REFRESH_SECRETS} is new, derived from these keys: from now on refresh tokens outlive them."


@dataclass(frozen=True, repr=False)
class Rotation:
    """The next key set, `text`, and what to tell the operator."""

    text: str
    became: Sequence[str]
    """A sentence for each key, and one for `refresh_secrets` that are new."""
    advice: str
    warning: str | None
    """Why this rotation may refuse good tokens."""


def first_set(algorithm: str, now: datetime, entropy: Entropy | None = None) -> str:
    """Return a private JWK set with one new key, which signs, and a new secret for refresh tokens."""
    secret = (entropy or SystemEntropy()).token_bytes(key_sets.SECRET_BYTES)
    key = _in_state(key_sets.generate_key(algorithm), CURRENT, now)
    return _text({"keys": [key], REFRESH_SECRETS: [key_sets.base64url(secret)]})


def rotate(text: str, *, algorithm: str | None, lifetime_seconds: int, now: datetime, force: bool = False) -> Rotation:
    """Return the set after the one in `text`: each key goes one state on, and a new next key is made.

    A set without a next key gets one, and no key moves: a key is published before it signs. A set without
    `refresh_secrets` gets those that are derived from its keys now: no refresh token dies with a key.
    `algorithm` is that of the new key, by default that of the key which signs now; `lifetime_seconds` is the life of an
    access token. With `force` the keys turn too early as well, with a warning.

    Raises:
        ValueError: a sentence on what is wrong with the set, or on how long to wait.
    """
    environment.jwk_set(text)
    kids = list(key_sets.read_key_set(text).verification)
    document: dict[str, Any] = json.loads(text)
    members: list[dict[str, Any]] = document["keys"]
    before = key_sets.states_of(members)
    wait = MAX_AGE_SECONDS + lifetime_seconds + LEEWAY_SECONDS
    moments = list(_moments(members))
    early = _too_early(max(moments), wait, now) if moments and NEXT in before else None
    if early and not force:
        raise ValueError(f"{early}, or give --force")
    after = [_TURN[state] if NEXT in before else state for state in before]
    kept = [
        {**member, "state": then} if then == state else _in_state(member, then, now)
        for member, state, then in zip(members, before, after, strict=True)
        if then is not None
    ]
    (current,) = (member for member in kept if member["state"] == CURRENT)
    new = _in_state(key_sets.generate_key(algorithm or key_sets.algorithm_of(current)), NEXT, now)
    # Just those that the instances derive which do not have this set yet: each renews what the other gave.
    secrets = [key_sets.base64url(secret) for secret in key_sets.refresh_secrets_of(document)]
    in_order = sorted([*kept, new], key=lambda member: _ORDER.index(member["state"]))
    return Rotation(
        _text({**document, "keys": in_order, REFRESH_SECRETS: secrets}),
        [f"{kid} {_BECAME[state, then]}." for kid, state, then in zip(kids, before, after, strict=True)]
        + [f"{new['kid']} is new: it is published, and signs after the next rotation."]
        + ([] if REFRESH_SECRETS in document else [_FROZEN]),
        f"Roll this set out to every instance. Then wait at least {wait} seconds before you rotate again:"
        f" {MAX_AGE_SECONDS} while services keep the old key set, {lifetime_seconds + LEEWAY_SECONDS} until the last"
        " token of the old key has expired.",
        f"the set {early} before you roll the new one out." if early else None,
    )


def _too_early(since: int, wait: int, now: datetime) -> str | None:
    """Return the end of a sentence on what a rotation risks now, by the moment of the last; None where it is time."""
    seconds = round(now.timestamp()) - since
    if seconds >= wait:
        return None
    return (
        f"was rotated {max(seconds, 0)} seconds ago: services may not know the key that signs next, and good tokens of"
        f" the key that goes may still be in use; wait {wait - seconds} seconds more"
    )


def _moments(members: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    for number, member in enumerate(members, start=1):
        since = member.get(SINCE, 0)
        # `type is`: a bool is an int.
        if type(since) is not int or since < 0:
            raise ValueError(f"holds key {number} whose {SINCE} is no whole number of seconds since 1970")
        if SINCE in member:
            yield since


def _in_state(member: Mapping[str, Any], state: str, now: datetime) -> dict[str, Any]:
    return {**member, "state": state, SINCE: int(now.timestamp())}


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
