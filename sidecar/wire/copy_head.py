"""What every copy's head to one challenger has in common. Used by `request_head`; made once for each challenger."""

from __future__ import annotations

from sidecar.wire.hop_by_hop import CREDENTIALS


class CopyHead:
    """What every copy's head to one challenger has in common.

    Attributes:
        path, authority: as in RequestHead.champion_bytes.
        own: the mark and the challenger's own header lines; `host` tells whether a Host is among them.
        left_out: names of the caller's headers that no copy carries: credentials, and those that `own` replaces.
    """

    __slots__ = ("authority", "host", "left_out", "own", "path")

    def __init__(self, path: str | None, authority: str, version: str, headers: tuple[tuple[str, str], ...]) -> None:
        named = {name.lower().encode() for name, _ in headers}
        self.path = path
        self.authority = authority
        self.left_out = CREDENTIALS | named | {b"sidecar-shadow"}
        self.host = b"host" in named
        lines = [b"sidecar-shadow: %s\r\n" % version.encode()]
        lines += [b"%s: %s\r\n" % (name.encode(), value.encode("latin-1")) for name, value in headers]
        self.own = b"".join(lines)
