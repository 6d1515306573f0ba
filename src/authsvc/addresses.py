"""Network addresses: one spelling for each, and the network that one person has."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address
from types import MappingProxyType
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

IPV6_PREFIX = 64
"""What one subscriber has at least: he can send from each address of it (RFC 6177)."""

NAT64 = IPv6Network("64:ff9b::/96")
"""Where translators write IPv4 addresses for servers without IPv4 (RFC 6052)."""

PRIVATE_IPV6 = IPv6Network("fc00::/7")
"""RFC 4193: nobody outside sends from there."""

LEAST_PREFIX: Mapping[int, int] = MappingProxyType({4: 8, 6: 16})
"""Of a network that is one party's, by version of IP: the largest private one of IPv4 is 10.0.0.0/8 (RFC 1918)."""

_EVERY_IPV4 = IPv4Network("0.0.0.0/0")
_MAX_LENGTH = 64
# With brackets a port may follow, without them only where no second colon is: else it is a part of the address.
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d{1,5})?", re.ASCII)


def parse(text: str) -> Address | None:
    """Return the address that `text` is, as proxies write it; None for anything else.

    A port, brackets and a zone are left out; an IPv4 address in IPv6's clothes (`::ffff:192.0.2.1`) is an IPv4 address.
    """
    text = text.strip(" \t")
    return _parse(text) if len(text) <= _MAX_LENGTH else None


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] if match[1] is not None else match[2]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(address: str | None) -> str:
    """Return what limits count as one origin: an IPv4 address, the /64 of an IPv6 address, or `unknown`.

    An address that a translator or a tunnel made from an IPv4 address counts as that: in one /64 are all clients of a
    NAT64 or of a Teredo server, and one client of 6to4 has 65,536 of them.
    """
    parsed = parse(address or "")
    if parsed is None:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        embedded = _embedded(parsed)
        return str(embedded or IPv6Network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)


def are_many(networks: Collection[IPv4Network | IPv6Network]) -> bool:
    """Tell whether strangers have addresses in them: one is too large to be one party's, or together they are all."""
    together = collapse_addresses(each for each in networks if isinstance(each, IPv4Network))
    return any(map(_is_wide, networks)) or _EVERY_IPV4 in together


def _is_wide(network: IPv4Network | IPv6Network) -> bool:
    is_private = isinstance(network, IPv6Network) and network.subnet_of(PRIVATE_IPV6)
    return network.prefixlen < LEAST_PREFIX[network.version] and not is_private


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in it, by NAT64, 6to4 (RFC 3056) or Teredo (RFC 4380).

    Not by a NAT64 with a prefix of its own (RFC 8215): where in it the IPv4 address lies its operator alone knows.
    """
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.teredo[1] if address.teredo else address.sixtofour
