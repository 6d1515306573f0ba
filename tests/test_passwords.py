"""Hashes: which are verified, and what each costs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import argon2
import bcrypt
import pytest
from argon2.low_level import Type, hash_secret

from authsvc import passwords as passwords_module
from authsvc.config import PROFILES, Argon2Profile
from authsvc.password_policy import Password, PasswordPolicy
from authsvc.passwords import Passwords, Verdict, supported
from tests.conftest import CHEAP

POLICY = PasswordPolicy(8, 256, frozenset())
LONG = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"
# Of the reference implementation's own tests (phc-winner-argon2, test.c).
ARGON2_VECTORS = [
    "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ",
    "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
]
# Of crypt_blowfish (Openwall, wrapper.c); for these the prefixes 2a, 2b and 2y mean the same.
BCRYPT_VECTORS = [
    ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
    ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
    ("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"),
    ("$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", LONG),
    ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""),
]
ARGON2ID = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7"
BCRYPT = BCRYPT_VECTORS[0][0]
POISONED = [
    "$argon2id$v=19$m=131073,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=64,t=11,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=64,t=4294967295,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=1024,t=1,p=17$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=7,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    BCRYPT.replace("$05$", "$16$"),
    BCRYPT.replace("$05$", "$20$"),
    BCRYPT.replace("$05$", "$31$"),
    BCRYPT.replace("$05$", "$99$"),
    BCRYPT.replace("$05$", "$03$"),
]
FOREIGN = [
    "",
    "!",
    "*",
    " ",
    "hunter22",
    ARGON2ID[:-30],
    ARGON2ID[: ARGON2ID.rindex("$")],
    ARGON2ID + "\n",
    ARGON2ID + " ",
    ARGON2ID + "=",
    " " + ARGON2ID,
    ARGON2ID.replace("v=19", "v=20"),
    ARGON2ID.replace("t=1", "t=01"),
    ARGON2ID.replace("m=64", "m=٦٤"),
    ARGON2ID.replace("argon2id", "argon2x"),
    ARGON2ID.replace("m=64,t=1", "t=1,m=64"),
    BCRYPT[:-1],
    BCRYPT + "A",
    BCRYPT + "\n",
    BCRYPT.replace("$05$", "$5$"),
    BCRYPT.replace("$2a$", "$2x$"),
    BCRYPT.replace("$2a$", "$2$"),
    "{BLF-CRYPT}" + BCRYPT,
    "bcrypt$" + BCRYPT,
    "bcrypt_sha256$" + BCRYPT,
    "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
    "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
    "pbkdf2_sha256$260000$salt$hash",
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
    "$5$rounds=5000$salt$hash",
    "$6$rounds=5000$salt$hash",
    "$1$salt$hash",
    "5f4dcc3b5aa765d61d8327deb882cf99",
]
# They look right, and no library can decode them: spare bits of the salt's last character are not zero.
UNDECODABLE = [
    ARGON2ID.replace("c29tZXNhbHQ$", "c29tZXNhbHR$"),
    BCRYPT.replace("CCCCC.E5", "CCCCC/E5"),
]


@dataclass
class Spy:
    """Stands before the real hasher and notes which hashes it is asked about."""

    real: argon2.PasswordHasher
    verified: list[str] = field(default_factory=list)

    def hash(self, password: str) -> str:
        return self.real.hash(password)

    def verify(self, stored_hash: str, password: str) -> bool:
        self.verified.append(stored_hash)
        return bool(self.real.verify(stored_hash, password))


Make = Callable[..., Awaitable[Passwords]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Passwords] = []

    async def build(profile: Argon2Profile = CHEAP, threads: int = 1, **others: Any) -> Passwords:
        # In a thread: it hashes a decoy.
        made.append(await asyncio.to_thread(Passwords, profile, threads=threads, **{"queue_seconds": 5, **others}))
        return made[-1]

    yield build
    for passwords in made:
        await passwords.close()


@pytest.fixture
async def passwords(make: Make) -> Passwords:
    return await make()


def read(text: str) -> Password:
    return POLICY.read(text)


async def test_a_hash_verifies_its_password_and_no_other(passwords: Passwords) -> None:
    stored_hash = await passwords.hash(read("correct horse"))
    assert stored_hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await passwords.verify(read("correct horse"), stored_hash) is Verdict.MATCH
    for other in ("correct horsf", "correct horse ", "Correct horse", "", stored_hash):
        assert await passwords.verify(read(other), stored_hash) is Verdict.MISMATCH
    assert stored_hash != await passwords.hash(read("correct horse"))
    assert not passwords.needs_rehash(read("correct horse"), stored_hash)


async def test_every_character_of_the_longest_password_matters(passwords: Passwords) -> None:
    """REG-09, REG-12 (ASVS 6.2.8)."""
    stored_hash = await passwords.hash(read("x" * 256))
    assert await passwords.verify(read("x" * 255 + "y"), stored_hash) is Verdict.MISMATCH
    with_nul = await passwords.hash(read("aaaaaaa\0bbbbbbbb"))
    assert await passwords.verify(read("aaaaaaa\0cccccccc"), with_nul) is Verdict.MISMATCH


async def test_both_spellings_of_an_accent_verify(passwords: Passwords) -> None:
    """REG-14."""
    stored_hash = await passwords.hash(read("caf\u00e9 au lait"))
    assert await passwords.verify(read("cafe\u0301 au lait"), stored_hash) is Verdict.MATCH


@pytest.mark.parametrize("stored_hash", ARGON2_VECTORS)
async def test_published_argon2_hashes_verify(passwords: Passwords, stored_hash: str) -> None:
    """PWD-06."""
    assert supported(stored_hash)
    assert await passwords.verify(read("password"), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("Password"), stored_hash) is Verdict.MISMATCH


@pytest.mark.parametrize("version", [16, 19])
@pytest.mark.parametrize("variant", list(Type))
async def test_each_variant_and_version_verifies_and_only_the_current_one_stays(
    passwords: Passwords, variant: Type, version: int
) -> None:
    """PWD-06."""
    stored_hash = hash_secret(b"hunter22", b"somesalt", 4, 64, 2, 16, variant, version).decode()
    assert await passwords.verify(read("hunter22"), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("hunter23"), stored_hash) is Verdict.MISMATCH
    assert passwords.needs_rehash(read("hunter22"), stored_hash) is ((variant, version) != (Type.ID, 19))


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.parametrize("vector, text", BCRYPT_VECTORS)
async def test_published_bcrypt_hashes_verify(passwords: Passwords, prefix: str, vector: str, text: str) -> None:
    """PWD-01."""
    stored_hash = vector.replace("$2a$", prefix)
    assert supported(stored_hash)
    assert await passwords.verify(read(text), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("!" + text), stored_hash) is Verdict.MISMATCH
    assert passwords.needs_rehash(read(text), stored_hash) is (len(text.encode()) <= 72)


@pytest.mark.parametrize("text", ["é" * 36 + "tail", "x" * 71 + "é and a tail", "🦉" * 60])
async def test_bcrypt_compares_the_first_72_bytes_as_in_its_day(passwords: Passwords, text: str) -> None:
    """PWD-03: cut inside a character where the 72nd byte falls there."""
    stored_hash = bcrypt.hashpw(text.encode()[:72], bcrypt.gensalt(4)).decode()
    assert await passwords.verify(read(text), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read(text + " longer"), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("!" + text), stored_hash) is Verdict.MISMATCH
    assert not passwords.needs_rehash(read(text), stored_hash)


@pytest.mark.parametrize("stored_as", ["caf\u00e9 au lait", "cafe\u0301 au lait"])
async def test_a_bcrypt_hash_of_either_spelling_verifies_who_types_it_so(passwords: Passwords, stored_as: str) -> None:
    stored_hash = bcrypt.hashpw(stored_as.encode(), bcrypt.gensalt(4)).decode()
    assert await passwords.verify(read(stored_as), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("cafe au lait"), stored_hash) is Verdict.MISMATCH


async def test_nul_does_not_end_a_bcrypt_password(passwords: Passwords) -> None:
    """REG-12."""
    stored_hash = bcrypt.hashpw(b"aaaaaaa\0bbbbbbbb", bcrypt.gensalt(4)).decode()
    assert await passwords.verify(read("aaaaaaa\0bbbbbbbb"), stored_hash) is Verdict.MATCH
    assert await passwords.verify(read("aaaaaaa\0cccccccc"), stored_hash) is Verdict.MISMATCH


@pytest.mark.parametrize("stored_hash", POISONED + FOREIGN)
async def test_a_hash_beyond_the_bounds_or_of_another_kind_never_reaches_a_library(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch, stored_hash: str
) -> None:
    """PWD-02, PWD-04, PWD-07, PWD-08, PWD-09: the decoy is compared in its place."""
    spy = Spy(passwords._argon2)
    monkeypatch.setattr(passwords, "_argon2", spy)
    monkeypatch.setattr(passwords_module, "_compare_bcrypt", None)
    assert not supported(stored_hash)
    for text in ("hunter22", stored_hash):
        assert await passwords.verify(read(text), stored_hash) is Verdict.UNSUPPORTED
    assert spy.verified == [passwords._decoy] * 2


@pytest.mark.parametrize("stored_hash", UNDECODABLE)
async def test_a_hash_that_cannot_be_decoded_costs_a_decoy_too(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch, stored_hash: str
) -> None:
    """PWD-07, LGN-01: who has such a hash must not be told apart by a quick answer."""
    spy = Spy(passwords._argon2)
    monkeypatch.setattr(passwords, "_argon2", spy)
    assert supported(stored_hash)
    assert await passwords.verify(read("password"), stored_hash) is Verdict.UNSUPPORTED
    assert spy.verified[-1] == passwords._decoy


@pytest.mark.parametrize("text", ["m=131072,t=2,p=16", "m=26214,t=10,p=1", "m=8,t=1,p=1"])
def test_parameters_at_the_bound_are_within_it(text: str) -> None:
    assert supported(ARGON2ID.replace("m=64,t=1,p=1", text))
    assert supported(BCRYPT.replace("$05$", "$15$"))
    assert supported(BCRYPT.replace("$05$", "$04$"))


@pytest.mark.parametrize("text", ["m=131072,t=3,p=1", "m=26215,t=10,p=1"])
def test_memory_and_passes_are_bounded_together(text: str) -> None:
    """DOS-01 (ASVS 15.2.2): ten wrong passwords for such an account must not keep everybody waiting."""
    assert not supported(ARGON2ID.replace("m=64,t=1,p=1", text))


@pytest.mark.parametrize("stored_hash", [BCRYPT, ARGON2ID])
async def test_a_hash_that_costs_less_is_no_quicker_to_refuse(
    make: Make, monkeypatch: pytest.MonkeyPatch, stored_hash: str
) -> None:
    """LGN-05: never faster than the decoy."""
    stronger = await make(Argon2Profile(256, 2, 1))
    spy = Spy(stronger._argon2)
    monkeypatch.setattr(stronger, "_argon2", spy)
    assert await stronger.verify(read("certainly another"), stored_hash) is Verdict.MISMATCH
    assert spy.verified[-1] == stronger._decoy


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_makes_hashes_that_are_supported(name: str) -> None:
    profile = PROFILES[name]
    parameters = f"m={profile.memory_kib},t={profile.passes},p={profile.lanes}"
    assert supported(ARGON2ID.replace("m=64,t=1,p=1", parameters))


@pytest.mark.parametrize("profile", [Argon2Profile(16, 2, 1), Argon2Profile(64, 3, 2)])
async def test_an_unknown_user_costs_what_a_known_one_does(
    make: Make, monkeypatch: pytest.MonkeyPatch, profile: Argon2Profile
) -> None:
    """LGN-02, LGN-04: one comparison, with a hash of the current parameters."""
    passwords = await make(profile)
    spy = Spy(passwords._argon2)
    monkeypatch.setattr(passwords, "_argon2", spy)
    assert await passwords.verify(read("correct horse"), None) is Verdict.MISMATCH
    (decoy,) = spy.verified
    known = await passwords.hash(read("correct horse"))
    assert argon2.extract_parameters(decoy) == argon2.extract_parameters(known)
    assert supported(decoy)


async def test_nobody_can_log_in_with_a_decoy_of_another_process(make: Make) -> None:
    assert (await make())._decoy != (await make())._decoy


@pytest.mark.parametrize(
    "parameters, weaker",
    [
        ("m=64,t=3,p=1", False),
        ("m=64,t=2,p=1", True),
        ("m=63,t=3,p=1", True),
        ("m=64,t=4,p=1", False),
        ("m=1024,t=1,p=1", False),
        ("m=64,t=3,p=4", False),
    ],
)
async def test_a_weaker_hash_is_renewed_and_a_stronger_one_never_weakened(
    make: Make, parameters: str, *, weaker: bool
) -> None:
    """PWD-12 (ASVS 11.2.2)."""
    passwords = await make(Argon2Profile(64, 3, 1))
    assert passwords.needs_rehash(read("x" * 73), ARGON2ID.replace("m=64,t=1,p=1", parameters)) is weaker


@pytest.mark.parametrize(
    "stored_hash, at_once",
    [
        (ARGON2ID, 1),
        (POISONED[0], 1),
        (ARGON2ID.replace("m=64,t=1", "m=8,t=2"), 1),
        (ARGON2ID.replace("m=64,t=1", "m=8,t=1"), 3),
        (BCRYPT.replace("$05$", "$13$"), 1),
        (BCRYPT.replace("$05$", "$12$"), 3),
        (BCRYPT, 3),
        (None, 3),
    ],
)
async def test_hashes_of_more_memory_or_time_than_the_threads_are_there_for_take_turns(
    make: Make, monkeypatch: pytest.MonkeyPatch, stored_hash: str | None, at_once: int
) -> None:
    """DOS-01: each thread would need the memory of the largest that may be stored, and be busy with it for as long."""
    running, most, full = 0, 0, threading.Condition()

    def verify(_password: Password, _stored_hash: str | None) -> Verdict:
        nonlocal running, most
        with full:
            running += 1
            most = max(most, running)
            full.notify_all()
            # Whoever comes at the same time is waited for; who takes turns never comes.
            full.wait_for(lambda: most == 3, 0.3 if at_once == 1 else 10)
            running -= 1
        return Verdict.MISMATCH

    passwords = await make(CHEAP, 3)
    monkeypatch.setattr(passwords, "_verify", verify)
    await asyncio.gather(*(passwords.verify(read("hunter22"), stored_hash) for _ in range(3)))
    assert most == at_once


async def test_what_is_no_match_is_held_back_from_its_begin_and_a_match_is_not(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LGN-05."""
    held: list[float] = []

    async def sleep(seconds: float) -> None:
        held.append(seconds)

    passwords = await make(refusal_seconds=100)
    monkeypatch.setattr("authsvc.passwords.asyncio.sleep", sleep)
    stored_hash = await passwords.hash(read("hunter22"))
    assert await passwords.verify(read("hunter22"), stored_hash) is Verdict.MATCH
    assert not held
    for each in (stored_hash, None, FOREIGN[3], BCRYPT):
        await passwords.verify(read("certainly another"), each)
    assert len(held) == 4
    assert all(0 < seconds < 100 for seconds in held)


async def test_what_came_of_it_is_recorded_before_it_is_held_back(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """LGN-05: what is written for an account, and not for an unknown address, takes a time of its own."""
    done: list[object] = []

    async def sleep(_seconds: float) -> None:
        done.append("held back")

    async def record(verdict: Verdict) -> None:
        done.append(verdict)

    passwords = await make(refusal_seconds=100)
    monkeypatch.setattr("authsvc.passwords.asyncio.sleep", sleep)
    stored_hash = await passwords.hash(read("hunter22"))
    assert await passwords.verify(read("hunter22"), stored_hash, record=record) is Verdict.MATCH
    assert not done
    await passwords.verify(read("certainly another"), stored_hash, record=record)
    assert done == [Verdict.MISMATCH, "held back"]
