"""One spelling for each network address, and the network that limits count as one."""

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from authsvc import addresses

WITH_IPV4 = [ipaddress.ip_network(text) for text in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32")]


@pytest.mark.parametrize(
    "text, address",
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[192.0.2.1]:4711", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::FFFF:c000:201]:80", "192.0.2.1"),
        ("::1", "::1"),
    ],
)
def test_every_way_to_write_an_address_is_one_address(text: str, address: str) -> None:
    """LGN-13"""
    assert str(addresses.parse(text)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "-",
        "localhost",
        "192.0.2",
        "192.0.2.1.5",
        "192.0.2.256",
        "192.0.2.010",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:123456",
        "192.0.2.1/24",
        "[192.0.2.1",
        "192.0.2.1]",
        "[]",
        "[::1]x",
        "[[::1]]",
        '"[::1]"',
        "for=192.0.2.1",
        "3221225985",
        "0xc0000201",
        "\u0661.1.1.1",
        "1.1.1.1\0",
        "1.1.1.1\n",
        ":::",
        "2001:db8::1::2",
        "%eth0",
        "::1" + " " * 100_000 + "x",
        "1" * 100_000,
    ],
)
def test_whatever_is_no_address_is_none(text: str) -> None:
    assert addresses.parse(text) is None


@given(st.text())
def test_no_text_is_more_than_an_address_or_nothing(text: str) -> None:
    parsed = addresses.parse(text)
    assert parsed is None or addresses.parse(str(parsed)) == parsed


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_address_is_itself_with_and_without_brackets_and_port(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    parsed = addresses.parse(str(address))
    assert parsed == (getattr(address, "ipv4_mapped", None) or address)
    assert parsed == addresses.parse(f"[{address}]:{port}") == addresses.parse(f"[{address}]")


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_who_has_a_64_is_one_origin_whatever_address_of_it_he_takes(address: ipaddress.IPv6Address, host: int) -> None:
    """LGN-13"""
    other = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
    neighbour = ipaddress.IPv6Address(int(address) ^ 1 << 64)
    assume(not any(each in network for each in (address, other, neighbour) for network in WITH_IPV4))
    assert addresses.network_of(str(address)) == addresses.network_of(str(other))
    assert addresses.network_of(str(address)) != addresses.network_of(str(neighbour))


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 2**80 - 1))
def test_an_ipv4_address_is_one_origin_whatever_translator_or_tunnel_it_comes_by(
    address: ipaddress.IPv4Address, other: ipaddress.IPv4Address, rest: int
) -> None:
    """LGN-13: RFC 6052, RFC 3056, RFC 4380."""
    nat64 = ipaddress.IPv6Address(0x64_FF9B << 96 | int(address))
    sixtofour = ipaddress.IPv6Address(0x2002 << 112 | int(address) << 80 | rest)
    flags_and_port = rest & 0xFFFFFFFF
    teredo = ipaddress.IPv6Address(
        0x2001_0000 << 96 | int(other) << 64 | flags_and_port << 32 | int(address) ^ 0xFFFFFFFF
    )
    assert {addresses.network_of(str(each)) for each in (nat64, sixtofour, teredo)} == {str(address)}


def test_a_translator_s_own_prefix_tells_nothing_of_an_ipv4_address() -> None:
    assert addresses.network_of("64:ff9b:1::192.0.2.1") == "64:ff9b:1::/64"


def test_an_ipv4_address_is_an_origin_of_its_own_and_no_address_is_one_for_all() -> None:
    assert addresses.network_of("::ffff:192.0.2.1") == addresses.network_of("192.0.2.1") == "192.0.2.1"
    assert addresses.network_of(None) == addresses.network_of("/run/socket") == "unknown"
