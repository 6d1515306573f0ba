"""Our parsers of what proxies, browsers, services, endpoints and the kernel say: each answers, or refuses by name."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st
from multidict import CIMultiDict

from authsvc import addresses, breached_passwords, environment, key_rotation, key_sets, machine
from authsvc.commands import journal, names
from authsvc.config import Config
from authsvc.emails import EmailAddress
from authsvc.limits import Limits
from authsvc.operations import OperationError
from authsvc.passwords import scheme, supported
from authsvc.refusals import CrossSiteRequest, InvalidClient, Refusal
from authsvc.store.database import Database
from authsvc.web import service_clients
from authsvc.web.activity import RANGE
from authsvc.web.origins import MOST_PROXIES, client_address
from authsvc.web.reading import read_form, read_json, read_query
from authsvc.web.same_site import SameSite
from tests.attacks.tokens import ec_jwk
from tests.conftest import SIGNING_KEYS, FrozenClock
from tests.fuzz.conftest import HEADER, TEXT, Fuzz, mutants

T = TypeVar("T")
ADDRESSES = st.ip_addresses().map(str)
WRITTEN = st.sampled_from(["{}", " {}\t", "[{}]:80", "{}%eth0", "::ffff:{}", "{}:70000", "for={}"])
BYTES = st.binary(max_size=60)


def addresses_as_written() -> st.SearchStrategy[str]:
    written = st.tuples(WRITTEN, ADDRESSES).map(lambda pair: pair[0].format(pair[1]))
    return written | written.flatmap(lambda text: mutants(text, "0123456789abcdef.:[]%/ ,é\u0661\ud800")) | HEADER


def test_an_address_has_one_spelling_and_lies_in_one_network(fuzz: Fuzz) -> None:
    """LGN-13."""

    def claim(text: str) -> None:
        network, address = addresses.network_of(text), addresses.parse(text)
        assert (address is None) == (network == "unknown")
        if address is not None:
            assert addresses.parse(str(address)) == address == ip_address(str(address))
            assert address in ip_network(network)
            assert "%" not in str(address)

    fuzz(addresses_as_written(), claim)


@pytest.mark.parametrize(
    "setting, honest",
    [
        ("10.0.0.0/8, 2001:db8::/32", "203.0.113.7, 10.0.0.2, 2001:db8::1"),
        ("cloud-run", "203.0.113.7"),
        ("cloud-run-load-balancer", "203.0.113.7, 192.0.2.200"),
    ],
)
def test_whatever_a_client_writes_it_stays_who_it_is(fuzz: Fuzz, setting: str, honest: str) -> None:
    """LGN-13 (ASVS 4.1.3): what the proxies add on the right decides, before it may stand anything."""
    trusted = environment.trusted_proxies(setting)

    def claim(forged: list[str]) -> None:
        for lines in ([*forged, honest], [", ".join([*forged, honest])]):
            assert client_address("10.0.0.1", lines, trusted).address == "203.0.113.7"
        assert client_address("192.0.2.9", forged, None).address == "192.0.2.9"
        alone = client_address("10.0.0.1", forged, trusted)
        assert alone.address is not None
        assert str(ip_address(alone.address)) == alone.address

    fuzz(st.lists(addresses_as_written(), max_size=MOST_PROXIES + 2), claim)


def test_an_answer_about_breaches_is_read_or_refused(fuzz: Fuzz) -> None:
    """The protocol of Pwned Passwords: 35 digits, a colon, a count."""
    good = "0018A45C4D1DEF81644B54AB7F969B88D65:10\r\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:0\r\n"

    def claim(answer: bytes) -> None:
        try:
            found = breached_passwords.suffixes_in(answer)
        except ValueError:
            return
        assert all(len(each) == 35 and each.encode() in answer.upper() for each in found)
        assert len(found) <= answer.count(b":")

    lines = mutants(good, "0aF:\r\n \u0661\x85\u2028é").map(str.encode)
    fuzz(lines | BYTES | st.just(good.encode()), claim)
    assert breached_passwords.suffixes_in(good.encode()) == {"0018A45C4D1DEF81644B54AB7F969B88D65"}


def test_a_mark_of_a_known_browser_is_the_one_that_was_given(fuzz: Fuzz, config: Config) -> None:
    """LGN-09 (ASVS 6.3.4): it spares from the row of strangers, and for its account alone."""
    ada, bob = EmailAddress("ada@example.com"), EmailAddress("bob@example.com")
    nobody = Limits.none(Database(config.database), FrozenClock())
    limits = dataclasses.replace(nobody, keys=(b"k" * 32, b"old" * 11))
    good = limits.mark(ada)
    assert limits._is_known(ada, good)

    def claim(text: str) -> None:
        assert limits._is_known(ada, text) == (text == good)
        assert not limits._is_known(bob, text)

    fuzz(mutants(good, "0123456789.-_=+eA \x85é\u0661\ud800") | HEADER | TEXT | st.just(good), claim)


CLIENT = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
PAIR = f"{CLIENT}:se%2Bcret+"


def test_a_service_gives_one_credential_or_is_none(fuzz: Fuzz) -> None:
    """RFC 6749 §2.3.1, RFC 7617: an id in one spelling, and a secret that can be hashed."""

    def claim(given: tuple[list[str], dict[str, str]]) -> None:
        headers, fields = given
        request = make_mocked_request("POST", "/", CIMultiDict([(hdrs.AUTHORIZATION, value) for value in headers]))
        try:
            client_id, secret = service_clients._credential(request, fields)
        except Refusal:
            return
        assert str(client_id) == CLIENT or headers or fields
        assert len(headers) <= 1
        assert not (headers and "client_secret" in fields)
        secret.encode()

    odd = st.sampled_from([PAIR, f"{CLIENT}:%ED%A0%80", f"{CLIENT}:%FF", f"{{{CLIENT}}}:x"])
    pairs = (mutants(PAIR, ":%+-{} é\0") | odd).map(str.encode) | BYTES
    basic = pairs.map(lambda pair: f"Basic {base64.b64encode(pair).decode()}")
    headers = basic | basic.flatmap(lambda text: mutants(text, "BASICbasic =+/\t\xff")) | HEADER
    fields = st.dictionaries(st.sampled_from(["client_id", "client_secret"]), mutants(CLIENT, "{}-F \0é") | TEXT)
    fuzz(st.tuples(st.lists(headers, max_size=2), st.just({}) | fields), claim)


def test_a_credential_is_read_as_it_was_written() -> None:
    header = f"Basic {base64.b64encode(PAIR.encode()).decode()}"
    request = make_mocked_request("POST", "/", CIMultiDict({hdrs.AUTHORIZATION: header}))
    client_id, secret = service_clients._credential(request, {})
    assert (str(client_id), secret) == (CLIENT, "se+cret ")
    with pytest.raises(InvalidClient):
        service_clients._credential(make_mocked_request("POST", "/"), {})


@pytest.mark.parametrize(
    "name, good",
    [
        ("proc/self/cgroup", "12:memory:/docker/abc\n3:cpu,cpuacct:/docker\n0::/a/../b\n"),
        ("sys/fs/cgroup/memory.max", "536870912\n"),
        ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "536870912\n"),
        ("sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us", "150000\n"),
        ("proc/meminfo", "MemTotal:       8388608 kB\nMemFree:  1 kB\n"),
    ],
)
def test_what_the_kernel_says_is_a_limit_or_none(fuzz: Fuzz, tmp_path: Path, name: str, good: str) -> None:
    """A file of another kernel must not keep the service from its start."""
    files = {
        "proc/self/cgroup": "12:memory:/docker/abc\n3:cpu,cpuacct:/docker\n0::/\n",
        "sys/fs/cgroup/cpu/docker/cpu.cfs_period_us": "100000",
    }
    for path, text in {**files, name: good}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def claim(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        limit, cpus = machine.memory_limit(tmp_path), machine.cpus(tmp_path)
        assert limit is None or limit >= 0
        assert cpus >= 1

    encoded = mutants(good, "0:/,. \n-max\0\xb2\u0661é").map(str.encode)
    fuzz(encoded | BYTES | st.just(good.encode()), claim)


def test_a_published_key_set_is_read_or_refused(fuzz: Fuzz) -> None:
    """JWK-05: what `require_jwt` fetches."""
    public = {name: value for name, value in ec_jwk().items() if name != "d"}
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(sorted(public.values()))
    values = leaves | st.lists(leaves, max_size=2) | st.dictionaries(TEXT, leaves, max_size=2)
    changed = st.dictionaries(st.sampled_from(sorted(public)) | TEXT, values, max_size=3).map(lambda new: public | new)
    documents = (
        st.just({"keys": [public]}) | st.lists(changed | values, max_size=3).map(lambda keys: {"keys": keys}) | values
    )

    def claim(document: Any) -> None:
        try:
            keys = key_sets.read_published_keys(document)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - both ways out are right
            return
        assert keys
        assert key_sets.read_published_keys({"keys": [{}, *document["keys"]]}).keys() == keys.keys()
        assert all(key.kid == kid for kid, key in keys.items())

    fuzz(documents, claim)


def test_a_key_set_turns_or_the_operator_is_told_why_not(fuzz: Fuzz) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)

    def claim(text: str) -> None:
        try:
            turned = key_rotation.rotate(text, algorithm="ES256", lifetime_seconds=900, now=now, force=True)
        except ValueError as error:
            assert ec_jwk()["d"] not in str(error)  # noqa: PT017 - both ways out are right
            return
        key_sets.read_key_set(turned.text)

    fuzz(mutants(SIGNING_KEYS, '{}[]",:=019eE-\ud800é') | st.just(SIGNING_KEYS), claim)


def test_only_this_site_is_this_site(fuzz: Fuzz) -> None:
    """FRM-03."""
    site = SameSite("https://auth.example.com")

    def claim(given: tuple[str, str]) -> None:
        header, value = given
        headers = CIMultiDict({header: value, hdrs.HOST: "auth.example.com"})
        try:
            site.check(make_mocked_request("POST", "/", headers))
        except CrossSiteRequest:
            return
        assert value in ("https://auth.example.com", "same-origin", "none")

    origins = mutants("https://auth.example.com", "/:.@#?eE \t\xff") | mutants("same-origin", "-, SAME") | HEADER
    near = st.sampled_from(["same-origin", "none", "https://auth.example.com"])
    origins = origins | st.tuples(near, st.sampled_from(["", ",", ".evil.example", ":8443", "/"])).map("".join)
    fuzz(st.tuples(st.sampled_from([hdrs.ORIGIN, "Sec-Fetch-Site"]), origins), claim)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        return runner.run(coroutine)


def sent(content_type: str, body: bytes) -> web.Request:
    request = make_mocked_request("POST", "/", CIMultiDict({hdrs.CONTENT_TYPE: content_type}))
    request._read_bytes = body
    return request


def test_a_form_is_fields_or_refused(fuzz: Fuzz) -> None:
    """HTTP-14: no field is there twice, and every value can be stored or is refused by its reader."""

    def claim(body: bytes) -> None:
        try:
            fields = run(read_form(sent("application/x-www-form-urlencoded", body)))
        except Refusal:
            return
        json.dumps(fields, ensure_ascii=False).encode()
        assert len(fields) == len([pair for pair in body.split(b"&") if pair])

    good = "email=ada%40example.com&password=caf%C3%A9+x&next=%2F"
    twice = st.text("ab=&", max_size=12)
    fuzz((mutants(good, "%&=;+0aFdD8\0é") | twice).map(str.encode) | BYTES, claim)


def test_a_json_body_is_read_or_refused(fuzz: Fuzz) -> None:
    """HTTP-09."""

    def claim(body: bytes) -> None:
        request = sent("application/json", body)
        try:
            fields = run(read_json(request, service_clients.SHAPE))
        except Refusal:
            return
        fields.token.encode()

    good = '{"token": "a", "client_id": null}'
    fuzz(mutants(good, '{}[]":,\\ud8\0é').map(str.encode) | BYTES, claim)


def test_a_query_is_read_or_refused(fuzz: Fuzz) -> None:
    """SQL-03: numbers have their range before they are anybody's."""

    def claim(query: str) -> None:
        try:
            asked = read_query(make_mocked_request("GET", f"/?{query}"), RANGE)
        except Refusal:
            return
        assert 1 <= asked.limit <= 100
        assert asked.before is None or 1 <= asked.before < 2**63

    fuzz(mutants("before=9223372036854775807&limit=50", "%&=;+0-_9e.\xb2\xff") | HEADER, claim)


def test_an_operator_names_a_moment_and_an_account_or_is_told_how(fuzz: Fuzz) -> None:
    command = click.Command("journal")

    def claim(text: str) -> None:
        for read in (journal._moment, journal._address):
            try:
                read(click.Context(command), click.Option(["--x"]), text)
            except click.BadParameter as error:
                assert error.message.startswith("Give ")  # noqa: PT017 - both ways out are right
        try:
            names.account_name(text)
        except OperationError as error:
            assert str(error)  # noqa: PT017 - both ways out are right

    moments = mutants("2026-11-22T12:00:00+01:00", "0129TZW:-+. \u0661") | mutants("24h", "smhd9W-")
    fuzz(moments | mutants(CLIENT, "{}-:@urn") | addresses_as_written() | TEXT, claim)


@pytest.mark.parametrize(
    "good",
    [
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8E5Gk2hZ3yG0TtEZb3kKQ2lMZP0m2s5m5m0c0V0y6mU",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    ],
)
def test_a_stored_hash_is_of_a_known_kind_within_bounds_or_of_none(fuzz: Fuzz, good: str) -> None:
    """PWD-11: whatever an import or a table holds."""
    assert supported(good)

    def claim(text: str) -> None:
        assert scheme(text)
        if supported(text):
            assert text.isascii()
            assert text.startswith(("$argon2", "$2"))

    fuzz(mutants(good, "$=,0123456789ab/.\n\0é\u0661\ud800") | TEXT, claim)
    for place in range(len(good)):
        claim(f"{good[:place]}\u0661{good[place + 1 :]}")
