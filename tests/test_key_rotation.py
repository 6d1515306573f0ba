"""One step of a rotation: what becomes of each key, in which order, and when it is too early."""

import dataclasses
import json
from typing import Any

import pytest

from authsvc import key_rotation
from authsvc.config import Secret
from authsvc.key_rotation import Rotation
from authsvc.key_sets import read_key_set, refresh_secrets
from tests.conftest import FrozenClock
from tests.keys import jwk, tokens_of

WAIT = 300 + 900 + 30


def rotate(text: str, clock: FrozenClock, algorithm: str | None = None) -> Rotation:
    rotation = key_rotation.rotate(text, algorithm=algorithm, lifetime_seconds=900, now=clock.now())
    read_key_set(rotation.text)
    clock.advance(WAIT)
    return rotation


def keys_of(text: str) -> list[Any]:
    found: list[Any] = json.loads(text)["keys"]
    return found


def states_of(text: str) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in keys_of(text)}


def test_a_key_is_next_then_current_then_previous_then_gone(clock: FrozenClock) -> None:
    first = key_rotation.first_set("ES256", clock.now())
    (a,) = states_of(first)
    assert states_of(first) == {a: "current"}
    second = rotate(first, clock).text
    _, b = states_of(second)
    assert states_of(second) == {a: "current", b: "next"}
    third = rotate(second, clock).text
    _, c, _ = states_of(third)
    assert states_of(third) == {b: "current", c: "next", a: "previous"}
    fourth = rotate(third, clock).text
    _, d, _ = states_of(fourth)
    assert states_of(fourth) == {c: "current", d: "next", b: "previous"}
    assert len({a, b, c, d}) == 4


def test_the_key_that_signs_stands_first_for_readers_that_know_no_states(clock: FrozenClock) -> None:
    text = key_rotation.first_set("ES256", clock.now())
    for _ in range(4):
        text = rotate(text, clock).text
        assert keys_of(text)[0]["kid"] == read_key_set(text).signing.kid


def test_what_becomes_of_each_key_is_said(clock: FrozenClock) -> None:
    text = rotate(rotate(key_rotation.first_set("ES256", clock.now()), clock).text, clock).text
    current, after, previous = states_of(text)
    rotation = rotate(text, clock)
    assert rotation.became == [
        f"{current} signed until now, and only verifies from now on.",
        f"{after} was published, and signs from now on.",
        f"{previous} is gone: its tokens are refused from now on.",
        f"{keys_of(rotation.text)[1]['kid']} is new: it is published, and signs after the next rotation.",
    ]
    assert rotation.advice == (
        "Roll this set out to every instance. Then wait at least 1230 seconds before you rotate again: 300 while"
        " services keep the old key set, 930 until the last token of the old key has expired."
    )
    assert "d" not in str(rotation).split()


@pytest.mark.parametrize("names", [["EC"], ["EC", "RSA"], ["RSA", "EC2", "EC"]])
def test_a_set_without_states_keeps_its_signing_key_and_gets_a_next_one(clock: FrozenClock, names: list[str]) -> None:
    """A key must be published before it signs."""
    rotation = rotate(json.dumps({"keys": [jwk(name) for name in names]}), clock)
    current, after, *previous = keys_of(rotation.text)
    assert current == {**jwk(names[0]), "state": "current"}
    assert previous == [{**jwk(name), "state": "previous"} for name in names[1:]]
    assert (after["state"], after["alg"]) == ("next", jwk(names[0])["alg"])
    assert rotation.became[0] == f"{current['kid']} signs as before."
    assert all(sentence.endswith(" verifies as before.") for sentence in rotation.became[1:-2])
    assert rotation.became[-1].startswith("refresh_secrets is new, derived from these keys")


def refresh_secrets_of(text: str) -> list[bytes]:
    return refresh_secrets(dataclasses.replace(tokens_of("EC"), keys=Secret(text)))


def test_a_new_set_has_a_refresh_secret_of_its_own_and_every_rotation_leaves_it(clock: FrozenClock) -> None:
    first, other = (key_rotation.first_set("ES256", clock.now()) for _ in range(2))
    (secret,) = refresh_secrets_of(first)
    assert len(secret) == 32
    assert secret not in refresh_secrets_of(other)
    text = first
    for _ in range(4):
        text = rotate(text, clock).text
        assert json.loads(text)["refresh_secrets"] == json.loads(first)["refresh_secrets"]


@pytest.mark.parametrize("names", [["EC"], ["EC", "RSA"], ["RSA", "EC2", "EC"]])
def test_a_set_without_refresh_secrets_keeps_those_that_were_derived(clock: FrozenClock, names: list[str]) -> None:
    text = json.dumps({"keys": [jwk(name) for name in names]})
    derived = refresh_secrets_of(text)
    assert len(derived) == len(names)
    for _ in range(4):
        text = rotate(text, clock).text
        assert refresh_secrets_of(text) == derived
    assert not {key["kid"] for key in keys_of(text)} & {jwk(name)["kid"] for name in names}


def test_an_algorithm_that_was_chosen_stays(clock: FrozenClock) -> None:
    text = rotate(json.dumps({"keys": [jwk("RSA")]}), clock, "ES256").text
    assert [key["alg"] for key in keys_of(text)] == ["RS256", "ES256"]
    text = rotate(text, clock).text
    assert [key["alg"] for key in keys_of(text)] == ["ES256", "ES256", "RS256"]
    text = rotate(text, clock, "RS256").text
    assert [key["alg"] for key in keys_of(text)] == ["ES256", "RS256", "ES256"]


def test_a_key_is_kept_whole_and_so_is_the_rest_of_the_set(clock: FrozenClock) -> None:
    """Secrets for other purposes come from `d`: the previous key keeps its own."""
    before = rotate(json.dumps({"keys": [{**jwk("EC"), "x5t": "kept"}], "note": "kept"}), clock).text
    after = rotate(before, clock).text
    now = int(clock.now().timestamp()) - WAIT
    assert json.loads(after)["note"] == "kept"
    assert keys_of(after)[2] == {**jwk("EC"), "x5t": "kept", "state": "previous", "since": now}
    assert keys_of(after)[0] == {**keys_of(before)[1], "state": "current", "since": now}


@pytest.mark.parametrize("seconds", [-60, 0, 1, WAIT - 1])
def test_a_rotation_that_comes_too_early_is_refused_unless_it_is_forced(clock: FrozenClock, seconds: int) -> None:
    text = rotate(key_rotation.first_set("ES256", clock.now()), clock).text
    clock.advance(seconds - WAIT)
    ago, left = max(seconds, 0), WAIT - seconds
    with pytest.raises(ValueError, match=rf"^was rotated {ago} seconds ago: .*; wait {left} seconds more, or give --f"):
        rotate(text, clock)
    forced = key_rotation.rotate(text, algorithm=None, lifetime_seconds=900, now=clock.now(), force=True)
    assert sorted(states_of(forced.text).values()) == ["current", "next", "previous"]
    assert forced.warning is not None
    assert forced.warning.startswith(f"the set was rotated {ago} seconds ago: ")
    assert f"wait {left} seconds more before you roll" in forced.warning


def test_a_rotation_that_comes_in_time_is_not_warned_of(clock: FrozenClock) -> None:
    text = rotate(key_rotation.first_set("ES256", clock.now()), clock).text
    assert rotate(text, clock).warning is None


def test_to_add_a_next_key_is_never_too_early(clock: FrozenClock) -> None:
    assert rotate(key_rotation.first_set("ES256", clock.now()), clock).warning is None


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "must be a private JWK set"),
        ("[]", "must be a private JWK set"),
        ('{"keys": []}', "must be a private JWK set"),
        (json.dumps({"keys": [{**jwk("EC"), "state": "next"}]}), "holds no current key"),
        (json.dumps({"keys": [{**jwk("EC"), "since": -1}]}), "holds key 1 whose since is no whole number"),
        (json.dumps({"keys": [{**jwk("EC"), "since": "1"}]}), "holds key 1 whose since is no whole number"),
        (json.dumps({"keys": [{**jwk("EC"), "since": True}]}), "holds key 1 whose since is no whole number"),
    ],
)
def test_what_cannot_be_rotated_is_one_sentence(clock: FrozenClock, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rotate(text, clock)
