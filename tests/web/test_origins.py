"""Whom a request comes from: as far to the left of X-Forwarded-For as trusted proxies wrote it, and no further."""

import dataclasses
import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.config import Config
from authsvc.environment import TrustedProxies, trusted_proxies
from authsvc.web.origins import client_address
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed

PEER, CLIENT, LIAR = "10.0.0.1", "203.0.113.7", "192.0.2.66"
NETWORKS = "10.0.0.0/8, 2001:db8:ffff::/48"


def read(setting: str | None, *lines: str, peer: str | None = PEER) -> str | None:
    return client_address(peer, lines, trusted_proxies(setting) if setting else None).address


@pytest.mark.parametrize(
    "setting, lines, client",
    [
        # Nobody is trusted.
        (None, [], PEER),
        (None, [CLIENT], PEER),
        # One proxy: the last entry, whatever stands before it.
        ("1", [], PEER),
        ("1", [CLIENT], CLIENT),
        ("cloud-run", [CLIENT], CLIENT),
        ("cloud-run", [f"{LIAR}, {CLIENT}"], CLIENT),
        ("1", [LIAR, CLIENT], CLIENT),
        ("1", [f"{LIAR},"], PEER),
        ("1", ["unknown"], PEER),
        ("1", [f"{LIAR},{CLIENT}:4711"], CLIENT),
        # Two: the second from the right.
        ("2", [f"{CLIENT}, 10.0.0.2"], CLIENT),
        ("cloud-run-load-balancer", [f"{LIAR}, {LIAR}, {CLIENT}, 198.51.100.1"], CLIENT),
        ("cloud-run-load-balancer", [f"{LIAR}, 2001:db8:1:2::3, 2600:1901:0:1::"], "2001:db8:1:2::3"),
        ("2", [f"{LIAR}, {CLIENT}", "10.0.0.2"], CLIENT),
        ("2", [CLIENT], PEER),
        ("2", [f"{LIAR}, unknown, 10.0.0.2"], PEER),
        # Networks: the first that is in none of them.
        (NETWORKS, [], PEER),
        (NETWORKS, [CLIENT], CLIENT),
        (NETWORKS, [f"{LIAR}, {CLIENT}, 10.0.0.2, [2001:db8:ffff::3]:80"], CLIENT),
        (NETWORKS, [f"{LIAR}, {CLIENT}, ::ffff:10.0.0.2"], CLIENT),
        (NETWORKS, [LIAR, f"{CLIENT},10.0.0.2"], CLIENT),
        (NETWORKS, [f"{LIAR}, garbage, 10.0.0.2"], PEER),
        (NETWORKS, ["10.0.0.3, 10.0.0.2"], PEER),
        (NETWORKS, [", ".join([LIAR] + ["10.0.0.2"] * 40)], PEER),
        (NETWORKS, ["," * 8000], PEER),
        (NETWORKS, [LIAR + "9" * 8000], PEER),
    ],
)
def test_the_header_counts_as_far_as_trusted_proxies_wrote_it(
    setting: str | None, lines: Sequence[str], client: str
) -> None:
    assert read(setting, *lines) == client


@pytest.mark.parametrize("peer", ["203.0.113.9", "::ffff:203.0.113.9", None, ""])
def test_who_is_no_trusted_proxy_has_nothing_to_say_of_his_address(peer: str | None) -> None:
    assert read(NETWORKS, LIAR, peer=peer) == ("203.0.113.9" if peer else None)


def test_the_other_end_has_one_spelling_too() -> None:
    assert read(None, peer="::ffff:203.0.113.9") == "203.0.113.9"
    assert read(None, peer="fe80::1%eth0") == "fe80::1"
    assert read(NETWORKS, CLIENT, peer="::ffff:10.0.0.1") == CLIENT


ENTRY = st.one_of(st.ip_addresses().map(str), st.text(max_size=20), st.just(PEER), st.just(CLIENT))
WHOM = st.sampled_from([trusted_proxies(text) for text in (NETWORKS, "1", "2", "3")])


@given(st.lists(ENTRY.map(lambda entry: entry.replace(",", ";")), max_size=8), WHOM, st.sampled_from([", ", "\n"]))
def test_what_a_client_sends_never_changes_what_the_proxies_say(
    written: list[str], trusted: TrustedProxies, between: str
) -> None:
    """LGN-13: nobody chooses the origin that he is counted by."""
    true = [CLIENT, *["10.0.0.2"] * (max(trusted.hops, 1) - 1)]
    # In one line, or each proxy in a line of its own.
    assert client_address(PEER, between.join([*written, *true]).split("\n"), trusted).address == CLIENT


@pytest.mark.parametrize("setting, address", [("127.0.0.0/8", CLIENT), ("1", CLIENT), (None, "127.0.0.1")])
async def test_sessions_and_journal_keep_the_client_s_address(
    config: Config, clock: FrozenClock, serve: Serve, log: io.StringIO, *, setting: str | None, address: str
) -> None:
    """And a header that nobody is trusted to send is told of once."""
    trusted = trusted_proxies(setting) if setting else None
    http = dataclasses.replace(config.http, trusted_proxies=trusted)
    client: Client = await serve(await composed(dataclasses.replace(config, http=http), clock))
    client.session.headers["X-Forwarded-For"] = f"{LIAR}, {CLIENT}"
    await make.user(client)
    known = make.bearer(await make.access_token(client))
    export = await (await client.get("/api/auth/me/export", headers=known)).json()
    assert {session["address"] for session in export["sessions"]} == {address}
    assert {entry["address"] for entry in export["activity"]} == {address}
    assert log.getvalue().count('"event":"forwarded_for_ignored"') == (0 if setting else 1)
