"""Network addresses: one spelling for each, and the network that one person has."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

IPV6_PREFIX = 64
"""What one subscriber has at least: he can send from each address of it (RFC 6177)."""

NAT64 = IPv6Network("64:ff9b::/96")
"""Where translators write IPv4 addresses for servers without IPv4 (RFC 6052)."""

_MAX_LENGTH = 64
# With brackets a port may follow, without them only where no second colon is: else it is a part of the address.
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d{1,5})?", re.ASCII)


def parse(text: str) -> Address | None:
    """Return the address that `text` is, as proxies write it; None for anything else.

    A port, brackets and a zone are left out; an IPv4 address in IPv6's clothes (`::ffff:192.0.2.1`) is an IPv4 address.
    """
    text = text.strip(" \t")
    if len(text) > _MAX_LENGTH:
        return None
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


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address in it, by NAT64, 6to4 (RFC 3056) or Teredo (RFC 4380).

    Not by a NAT64 with a prefix of its own (RFC 8215): where in it the IPv4 address lies its operator alone knows.
    """
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.teredo[1] if address.teredo else address.sixtofour
