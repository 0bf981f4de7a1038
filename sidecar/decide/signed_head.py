"""The head of the audit trail with a signature, and the keys that make and check one.

Keeps: who can write to every file here but does not hold a key cannot make a head that is taken for ours, so a trail
that was rewritten and sealed anew is found. A key is never shown. Keys are rotated by putting the new one first: it
signs from then on, signatures of the others are still taken.
Does not: read keys or files. Called by: `control/trail`, `control/store`, the command line through them.
Signature: `hmac-sha256:` and the HMAC-SHA256 (RFC 2104) in hex over the ASCII JSON list without spaces
["sidecar-audit-head/1", seq, hash, at, key], `key` being the key's name.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import msgspec

from sidecar.decide.audit_chain import Head
from sidecar.recorded import SignedHead

FORMAT = "sidecar-audit-head/1"
SHORTEST_KEY = 16


class Keyring:
    """The trail's keys, by name in their order; an empty one signs nothing and checks nothing."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[tuple[str, bytes], ...] = ()) -> None:
        for name, key in keys:
            if len(key) < SHORTEST_KEY:
                raise ValueError(f"the audit key {name} is shorter than {SHORTEST_KEY} bytes: nobody may guess it")
        self._keys = keys

    @property
    def signs(self) -> str | None:
        """The name of the key that signs."""
        return self._keys[0][0] if self._keys else None

    def sign(self, head: Head, at: float) -> SignedHead:
        """The head with a signature of the first key; unsigned where there is none."""
        if not self._keys:
            return SignedHead(seq=head.seq, hash=head.hash, at=at)
        name, key = self._keys[0]
        unsigned = SignedHead(seq=head.seq, hash=head.hash, at=at, key=name)
        return msgspec.structs.replace(unsigned, mac=_mac(unsigned, key))

    def fault(self, head: SignedHead) -> str | None:
        """Why this head is not one that a holder of a key has written; None where it is, or where no key is known."""
        if not self._keys:
            return None
        if head.mac is None or head.key is None:
            return (
                "the head is not signed, although a key is configured: somebody replaced it; or the key is new, then"
                " sign it once with `sidecar audit sign`"
            )
        try:
            # Every key, whatever it is called here: an auditor's copy may have another name.
            fits = [hmac.compare_digest(_mac(head, key), head.mac) for _, key in self._keys]
        except (TypeError, ValueError):
            fits = []
        if not any(fits):
            return f"the head's signature was not made with the key {head.key} that is known here: it was replaced"
        return None


def _mac(head: SignedHead, key: bytes) -> str:
    text = json.dumps([FORMAT, head.seq, head.hash, head.at, head.key], separators=(",", ":"), allow_nan=False)
    return f"hmac-sha256:{hmac.new(key, text.encode('ascii'), hashlib.sha256).hexdigest()}"
