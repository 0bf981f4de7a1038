"""The record read without a running sidecar: from a state folder, or from a file that was exported.

Keeps: nothing is written; a file's lines are the entries as they were sealed, so that their hashes can be checked.
Called by: the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from sidecar.control.database import StoreError
from sidecar.control.trail import check_entries, read_trail, verify_state_dir
from sidecar.decide.audit_chain import Head, check
from sidecar.decide.signed_head import Keyring
from sidecar.decision_report.facts import MOVES, report_of
from sidecar.decision_report.markdown import as_markdown
from sidecar.decision_report.page import as_page
from sidecar.errors import Invalid
from sidecar.recorded import SignedHead
from sidecar.standing import AuditCheck, AuditEntry

__all__ = ["Keyring", "as_lines", "head_of", "read_lines", "report", "verify_lines"]


def report(state_dir: Path, deployment: str | None, seq: int | None, form: str, now: float) -> str:
    """The report on a transition. Raises StoreError, Unknown, Invalid where a deployment has to be named."""
    entries = read_trail(state_dir)
    names = list(dict.fromkeys(entry.deployment for entry in entries if entry.action in MOVES))
    if deployment is None:
        if len(names) != 1:
            raise Invalid(f"name a deployment; the trail tells of {', '.join(names) or 'none'}")
        deployment = names[0]
    found = report_of(entries, deployment, seq, verify_state_dir(state_dir), now)
    return as_page(found) if form == "html" else as_markdown(found)


def head_of(entries: list[AuditEntry], keys: Keyring, now: float) -> SignedHead:
    """The newest entry's, to be kept elsewhere. Raises StoreError for a trail whose chain is broken."""
    found = check(entries, None, unheaded=len(entries))
    if not found.ok:
        raise StoreError(f"the audit trail does not hold: {found.fault}")
    return keys.sign(Head(found.entries, found.head), now)


def as_lines(entries: Iterable[AuditEntry]) -> bytes:
    """JSON lines, an entry each."""
    return b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)


def read_lines(path: Path) -> list[AuditEntry]:
    """Entries out of such a file. Raises StoreError naming the line that is none."""
    entries: list[AuditEntry] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror})") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entries.append(msgspec.json.decode(line, type=AuditEntry))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise StoreError(f"line {number} of {path} is no audit entry: it was damaged or edited") from error
    return entries


def verify_lines(path: Path, keys: Keyring, exported: SignedHead | None) -> AuditCheck:
    """Checks an exported trail by itself, and against a head that was kept elsewhere. Raises StoreError for none."""
    entries = read_lines(path)
    if not entries and exported is None:
        raise StoreError(f"{path} holds no entry: a trail begins with the first start, so this is none, or was cut off")
    return check_entries(entries, None, len(entries), keys, exported)
