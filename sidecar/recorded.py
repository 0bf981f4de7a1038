"""What is told of the record: the trail's head, events that nobody took, what a stretch of time cost, rehearsals.

Frozen. Times are seconds since the epoch here and become RFC 3339 at the admin API's edge.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.reports import Verdict
from sidecar.standing import Alarm, ChampionSpan


class SignedHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest entry of the trail, to be kept elsewhere. `at`: when it was written; `key` names the key of `mac`."""

    seq: int
    hash: str
    at: float | None = None
    key: str | None = None
    mac: str | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a receiver never took. `given_up` is in seconds since the epoch, `happened` as in the event."""

    letter: int
    event: str
    type: str
    deployment: str
    receiver: str
    happened: str | None
    attempts: int
    given_up: float
    fault: str


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first; `dead` counts all of them, `waiting` the events that are still tried."""

    items: tuple[DeadLetter, ...]
    dead: int
    waiting: int


class VersionCost(msgspec.Struct, frozen=True, kw_only=True):
    """One version's rows within a stretch: those that it answered, and those that it scored in the shadow.

    `outcomes`: rows whose outcome is known; `mean_error`: mean absolute error where it predicts amounts, else None.
    """

    version: str
    answered: int
    shadowed: int
    outcomes: int
    right: int
    wrong: int
    mean_error: float | None


class PairCost(msgspec.Struct, frozen=True, kw_only=True):
    """A champion beside another version on the same rows.

    `champion_right`, `challenger_right`: only that one was right; `undecided`: they differ, and no outcome is known.
    """

    champion: str
    other: str
    rows: int
    disagreements: int
    champion_right: int
    challenger_right: int
    undecided: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What happened between two times, from stored decisions. Times are seconds since the epoch.

    Attributes:
        requests, rows: exact; read: of these rows, those that `versions` and `pairs` are counted from. Where it is
            fewer, they were taken in slices spread evenly over the time, and stand for all.
        kept_since: the oldest decision that is still kept; None where there is none.
        champions: who answered when; alarms: those that stood within the time.
    """

    deployment: str
    since: float
    until: float
    requests: int
    rows: int
    read: int
    kept_since: float | None
    versions: tuple[VersionCost, ...]
    pairs: tuple[PairCost, ...]
    champions: tuple[ChampionSpan, ...]
    alarms: tuple[Alarm, ...]


class RehearsedHour(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates would have said at one look; `blocking` names those that did not pass."""

    at: float
    champion: str
    verdict: Verdict
    blocking: tuple[str, ...]


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """One challenger under the rehearsed gates.

    Attributes:
        passed, failed, insufficient: of its `hours`; first_pass: when it would first have been let through.
        promoted: when it really became champion within the time; None where it did not.
        gates: gate -> verdict -> hours.
    """

    challenger: str
    hours: int
    passed: int
    failed: int
    insufficient: int
    first_pass: float | None
    promoted: float | None
    gates: dict[str, dict[Verdict, int]]
    items: tuple[RehearsedHour, ...]


class Move(msgspec.Struct, frozen=True, kw_only=True, rename={"from_version": "from", "to_version": "to"}):
    """A step of the champion that really happened."""

    at: float
    action: str
    actor: str
    from_version: str | None
    to_version: str | None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What these gates would have decided between two times, beside what happened.

    `kept_since`: the oldest look that is kept; `unreadable`: looks that another version kept in a form of its own.
    """

    deployment: str
    since: float
    until: float
    kept_since: float | None
    hours: int
    unreadable: int
    formulas: str
    settings: dict[str, Any]
    challengers: tuple[Rehearsed, ...]
    moves: tuple[Move, ...]
