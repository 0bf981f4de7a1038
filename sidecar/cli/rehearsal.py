"""Gates rehearsed on what is kept: the answer of `gates --rehearse` and `gates --days`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from sidecar.cli.client import AdminClient
from sidecar.cli.failure import CommandFailed
from sidecar.cli.progress import working
from sidecar.cli.tables import console, table, text

DAYS = 7
_MOST_BYTES = 65_536
_ORDER = ("pass", "fail", "insufficient", "off")


class _Hour(msgspec.Struct, frozen=True):
    at: str
    champion: str
    verdict: str
    blocking: tuple[str, ...] = ()


class _Challenger(msgspec.Struct, frozen=True):
    challenger: str
    hours: int
    passed: int
    failed: int
    insufficient: int
    first_pass: str | None = None
    promoted: str | None = None
    gates: dict[str, dict[str, int]] = {}
    items: tuple[_Hour, ...] = ()


class _Move(msgspec.Struct, frozen=True, rename={"to": "to", "source": "from"}):
    at: str
    action: str
    actor: str
    to: str | None = None
    source: str | None = None


class _Rehearsal(msgspec.Struct, frozen=True):
    since: str
    until: str
    hours: int
    challengers: tuple[_Challenger, ...]
    moves: tuple[_Move, ...]
    unreadable: int = 0
    kept_since: str | None = None


def rehearse(api: AdminClient, path: str, gates: Path | None, days: int, challenger: str | None, as_json: bool) -> None:
    """Prints what the gates of that file, or those in force, would have decided."""
    body: dict[str, object] = {"days": days}
    if gates is not None:
        body["gates"] = _read(gates)
    if challenger is not None:
        body["challenger"] = challenger
    with working("judging the kept hours"):
        answer = api.post(f"{path}/gates/rehearsal", body)
    if as_json:
        click.echo(answer.text)
        return
    found, out = answer.read_as(_Rehearsal), console()
    out.print(text(f"{found.since} to {found.until}: {found.hours:,} looks, one an hour and challenger"))
    if not found.hours:
        out.print(text(f"nothing is kept of that time; the oldest look is of {found.kept_since or 'no time yet'}"))
    if found.unreadable:
        out.print(text(f"{found.unreadable:,} looks were kept by another version in a form that this one cannot read"))
    for each in found.challengers:
        _show(each)
    if found.moves:
        out.print(text("what really happened:"))
    for move in found.moves:
        out.print(text(f"{move.at} {move.action} {move.source or '–'} → {move.to or '–'} by {move.actor}"))


def _show(each: _Challenger) -> None:
    out = console()
    first = f"would first have passed at {each.first_pass}" if each.first_pass else "would never have passed"
    really = f"became champion at {each.promoted}" if each.promoted else "did not become champion"
    out.print(text(f"challenger {each.challenger}: {first}; it {really}"))
    counts = [(name, *(seen.get(verdict, 0) for verdict in _ORDER)) for name, seen in each.gates.items()]
    out.print(table(("gate (looks)", *_ORDER), counts, right=_ORDER))
    changes = [hour for n, hour in enumerate(each.items) if n == 0 or _differs(each.items[n - 1], hour)]
    rows = [(hour.at, hour.champion, hour.verdict, ", ".join(hour.blocking) or None) for hour in changes]
    out.print(table(("from", "champion", "verdict", "waits for"), rows))


def _differs(before: _Hour, hour: _Hour) -> bool:
    return (before.champion, before.verdict, before.blocking) != (hour.champion, hour.verdict, hour.blocking)


def _read(path: Path) -> dict[str, Any]:
    """The gates of a file: a section `gates:` as in the settings, or what stands in one. Raises CommandFailed."""
    try:
        text_read = path.read_bytes()[:_MOST_BYTES].decode()
        found = yaml.safe_load(text_read)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise CommandFailed(f"{path} is not YAML: write gates as under `gates:` in the settings") from None
    if isinstance(found, dict) and set(found) == {"gates"}:
        found = found["gates"]
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise CommandFailed(f"{path} holds no gates: write them as under `gates:` in the settings")
    return found
