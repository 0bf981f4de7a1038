"""Where a challenger may be that somebody sets by a call: whoever holds a token must not aim requests at anything.

Keeps: where cloud platforms answer with credentials, no copy goes, however the address is spelt; with
`admin.challenger_hosts` copies go to these hosts only. Addresses are judged as written: what a name resolves to is the
resolver's word, so who must be sure gives the list. The settings file is not judged, its writer runs the process.
Pure. Called by `config_file` for challengers of calls.
"""

from __future__ import annotations

import ipaddress
import re

from sidecar.address import parse_url

# A host that ends in a number is an address to resolvers, in spellings that look like none (WHATWG URL, 4.1).
_NUMERIC_END = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$")
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
# Not link-local, and answering with credentials all the same: AWS over IPv6, Alibaba Cloud, Oracle's former one.
_METADATA = frozenset(ipaddress.ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def egress_fault(url: str, allowed: tuple[str, ...]) -> str | None:
    """Why a call may not send copies to this URL, in a sentence; None where it may. `url` was checked before."""
    to = parse_url(url)
    if to.unix:
        return "a Unix socket is not among admin.challenger_hosts" if allowed else None
    host = to.host.lower().rstrip(".")
    refused = _refused(host)
    if refused is not None:
        return refused
    own = {host, f"[{host}]"}
    if allowed and not {name.lower() for name in allowed} & (own | {f"{each}:{to.port}" for each in own}):
        return f"{to.host}:{to.port} is not among admin.challenger_hosts"
    return None


def _refused(host: str) -> str | None:
    """Why nobody is sent there, whatever the settings say."""
    if host in _METADATA_NAMES:
        return "is where a cloud platform keeps credentials: no copy goes there"
    try:
        address = _plain(ipaddress.ip_address(host))
    except ValueError:
        if _NUMERIC_END.search(host):
            return "an IPv4 address is written as four decimal numbers"
        return None
    if address.is_link_local or address in _METADATA:
        return "is where a cloud platform keeps credentials: no copy goes there"
    if address.is_multicast or address.is_unspecified or address == ipaddress.IPv4Address("255.255.255.255"):
        return "is the address of no server"
    return None


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one stands for (RFC 4291 2.5.5, RFC 3056, RFC 6052), else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
