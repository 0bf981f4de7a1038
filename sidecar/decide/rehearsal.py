"""Gates rehearsed: what they would have said of each challenger, hour by hour, from the evidence that was kept.

Keeps: every hour is judged by today's formulas from the counts as they were then, never from a verdict of then.
Does not: guess what would have followed. After the first pass another champion would have stood; the hours after it
are what really happened. Called by: `record`. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from sidecar.config_gates import Gates
from sidecar.decide.evidence import Evidence
from sidecar.decide.evidence_record import read_record
from sidecar.decide.gates import GATES, judge
from sidecar.recorded import Move, Rehearsed, RehearsedHour
from sidecar.reports import Verdict

_PROMOTIONS = ("promote", "override")


class KeptHour(msgspec.Struct, frozen=True):
    """What could be known of a challenger at `at`, seconds since the epoch."""

    challenger: str
    at: float
    evidence: Evidence


def kept_hour(challenger: str, at: float, document: object) -> KeptHour:
    """Out of a kept record. Raises NotRecomputable."""
    return KeptHour(challenger, at, read_record(document).evidence)


def rehearse(hours: Iterable[KeptHour], gates: Gates, moves: Sequence[Move]) -> tuple[Rehearsed, ...]:
    """Each challenger's hours under these gates, in the order of their first; `moves` is what really happened."""
    by_challenger: dict[str, list[RehearsedHour]] = {}
    counts: dict[str, dict[str, Counter[Verdict]]] = {}
    for hour in hours:
        table = judge(gates, hour.evidence, hour.at)
        blocking = tuple(gate.name for gate in table.gates if gate.verdict in ("fail", "insufficient"))
        by_challenger.setdefault(hour.challenger, []).append(
            RehearsedHour(at=hour.at, champion=table.champion, verdict=table.verdict, blocking=blocking)
        )
        mine = counts.setdefault(hour.challenger, {name: Counter() for name in GATES})
        for gate in table.gates:
            mine[gate.name][gate.verdict] += 1
    return tuple(
        _rehearsed(challenger, looked, counts[challenger], moves) for challenger, looked in by_challenger.items()
    )


def _rehearsed(
    challenger: str, looked: Sequence[RehearsedHour], counts: dict[str, Counter[Verdict]], moves: Sequence[Move]
) -> Rehearsed:
    verdicts = Counter(hour.verdict for hour in looked)
    return Rehearsed(
        challenger=challenger,
        hours=len(looked),
        passed=verdicts["pass"],
        failed=verdicts["fail"],
        insufficient=verdicts["insufficient"],
        first_pass=next((hour.at for hour in looked if hour.verdict == "pass"), None),
        promoted=next(
            (move.at for move in moves if move.action in _PROMOTIONS and move.to_version == challenger), None
        ),
        gates={name: dict(found) for name, found in counts.items()},
        items=tuple(looked),
    )
