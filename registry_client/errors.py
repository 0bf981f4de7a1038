"""Everything that can go wrong with a registry, as a tree of nine classes.

Invariant: each message is one sentence a person can act upon; it names the model, version or file concerned.
Raised by every module of this package; a caller that does not care which catches `RegistryError`.
"""

from __future__ import annotations

from collections.abc import Iterable


class RegistryError(Exception):
    """Something about the registry, its documents or its location is not as it should be."""


class Unreachable(RegistryError):
    """The registry did not answer, or its folder cannot be read or written; trying again later may help."""


class Refused(Unreachable):
    """Somebody may not: the registry turns our credentials or our host away, an address is not one that may be asked,
    or a message is not signed by whom it must be.

    It is an Unreachable: what was known before stays good until somebody puts the credentials or settings right.
    """


class NotFound(RegistryError):
    """The registry answers, but has no such model, version, alias, artifact or baseline."""


class DigestMismatch(RegistryError):
    """Bytes are not those that were registered. `expected` and `found` are `sha256:<hex>`."""

    def __init__(self, subject: str, *, expected: str, found: str) -> None:
        super().__init__(f"{subject} has digest {found}, but {expected} was registered")
        self.subject = subject
        self.expected = expected
        self.found = found


class InvalidDocument(RegistryError):
    """A document is damaged, too large, of another format, or contradicts itself."""


class BadColumns(InvalidDocument, ValueError):
    """Columns that cannot be summed up, all at once: `faults` has one sentence for each."""

    def __init__(self, faults: Iterable[str], *, source: str = "") -> None:
        self.faults = tuple(faults)
        super().__init__((f"{source}: " if source else "") + "; ".join(self.faults))


class InvalidName(RegistryError):
    """A name could lead outside the registry, or is not one the registry accepts."""


class AlreadyExists(RegistryError):
    """A version is registered once; its bytes never change under the same name."""
